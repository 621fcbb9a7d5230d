"""Neural networks straight from JPEG: Keras networks on the DCT coefficients inside JPEG files."""

__version__ = "0.1.0"
