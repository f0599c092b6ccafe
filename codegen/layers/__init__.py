"""The layers, one file for each family: weights, checks, and how they are lowered."""
