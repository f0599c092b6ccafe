"""What prints pages of the documentation."""
