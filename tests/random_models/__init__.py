"""Random models against the Keras that is installed.

table.py    every layer and operation, with every option that changes numbers
draw.py     a seed -> the description of a model, which is plain data
build.py    the description -> a live Keras model with random weights, and inputs for it
judge.py    the model through a file and the targets, compared with what Keras computes
shrink.py   the smallest description that still fails, and the folder that it is kept in
mutate.py   one value of a correct configuration changed to another legal one
__main__.py the long run: python -m tests.random_models --seconds 600 --seed 7
"""
