"""The text of generated files: templates, numbers, names and comments, the banner, writing."""
