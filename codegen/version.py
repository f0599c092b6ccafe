"""The version of the generator, which banners name."""

__version__ = "0.1.0"
