"""Read, write and turn the quantised DCT coefficients inside JPEG files.

    image = read_coefficients("photo.jpg", num_frequencies=16)
    image.components[0].coefficients   # int16 [ceil(height / 8), ceil(width / 8), 16], zigzag
    image.components[0].quantization   # uint16 [16]
    write_coefficients(image)          # bytes of a baseline JPEG

The module lossless turns, mirrors and crops them.

Imports nothing else of jpegkeras, and no TensorFlow.
"""

from jpegkeras.jpeg.errors import JpegError, JpegFormatError, JpegUnsupportedError
from jpegkeras.jpeg.reader import MAX_PIXELS, MAX_SCANS, read_batch, read_coefficients
from jpegkeras.jpeg.types import ZIGZAG, Component, JpegCoefficients
from jpegkeras.jpeg.writer import write_coefficients

__all__ = [
    "MAX_PIXELS",
    "MAX_SCANS",
    "ZIGZAG",
    "Component",
    "JpegCoefficients",
    "JpegError",
    "JpegFormatError",
    "JpegUnsupportedError",
    "read_batch",
    "read_coefficients",
    "write_coefficients",
]
