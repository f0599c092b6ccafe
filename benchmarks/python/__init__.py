"""Competitors in Python."""
