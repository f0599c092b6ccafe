"""What holds for any model, with random names, sizes and texts."""
