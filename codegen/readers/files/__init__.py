"""Containers, read with suspicion: what comes out is names and arrays."""
