"""Damaged and hostile model files without end: `python -m tests.fuzz --seconds 600`.

Every outcome must be a model that converts, or one refusal: never another exception, a crash or a
file that takes for ever. Guided by coverage where atheris is installed, by chance elsewhere.
"""
