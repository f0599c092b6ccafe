"""Readers of JSON files of audio tools: RTNeural, AIDA-X and GuitarML."""
