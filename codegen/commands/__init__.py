"""The commands, one file each; `cli.py` only parses and prints."""
