"""Readers of JSON files of audio tools: RTNeural and AIDA-X, GuitarML, Neural Amp Modeler."""
