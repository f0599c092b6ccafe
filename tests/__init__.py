"""Tests of the generator and of everything that it generates."""
