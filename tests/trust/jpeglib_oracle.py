"""The same answers as libjpeg.py's from the package jpeglib: slower, and for whole files only."""

from __future__ import annotations

import tempfile
from pathlib import Path

import jpeglib
import numpy as np

from tests.trust.libjpeg import Plane, Reading

_COLOR_SPACES = {"JCS_GRAYSCALE": "grayscale", "JCS_YCbCr": "YCbCr", "JCS_RGB": "RGB"}
# T.81 Figure A.6: the raster index of each zigzag position.
_ZIGZAG = sorted(
    range(64), key=lambda i: (sum(divmod(i, 8)), divmod(i, 8)[sum(divmod(i, 8)) % 2 == 0])
)


class JpeglibOracle:
    """jpeglib behind the interface of libjpeg.Oracle; it gives no warnings."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory()
        self._path = Path(self._folder.name) / "image.jpg"
        self.version = f"libjpeg {jpeglib.version.get()} of jpeglib {jpeglib.__version__}"

    def read(self, data: bytes, max_memory: int = 0) -> Reading:
        """Return what libjpeg reads; the memory is not limited."""
        self._path.write_bytes(data)
        try:
            image = jpeglib.read_dct(str(self._path))
            image.load()
        except OSError as error:
            return Reading(str(error))
        color_space = _COLOR_SPACES.get(str(image.jpeg_color_space).rsplit(".", 1)[-1], "unknown")
        arrays = (image.Y, image.Cb, image.Cr)[: image.num_components]
        planes = []
        for index, array in enumerate(arrays):
            v, h = (int(factor) for factor in image.samp_factor[index])
            table = image.qt[image.quant_tbl_no[index]].reshape(64)[_ZIGZAG].astype(np.uint16)
            flat = array.reshape(*array.shape[:2], 64)[..., _ZIGZAG]
            planes.append(Plane(flat, table, (h, v)))
        return Reading(
            None,
            (),
            image.height,
            image.width,
            color_space,
            bool(image.progressive_mode),
            tuple(planes),
        )
