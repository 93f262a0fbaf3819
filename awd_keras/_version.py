"""The version, which asks for nothing else of the package."""

__version__ = "0.1.0.dev0"
