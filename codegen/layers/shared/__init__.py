"""What families of layers share: axes, windows."""
