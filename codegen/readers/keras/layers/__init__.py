"""One file for each family: configuration and arrays become a layer."""
