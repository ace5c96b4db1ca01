"""oddframe: learns what is normal from unlabelled footage and points at what is not."""

__version__ = "0.1.0"
