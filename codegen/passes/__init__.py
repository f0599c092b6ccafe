"""Changes of a Program that targets ask for, one concern a file."""
