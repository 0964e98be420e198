"""The service: configuration, the stack of layers, HTTP, and the command line."""

__all__ = ["__version__"]

__version__ = "0.1.0"
