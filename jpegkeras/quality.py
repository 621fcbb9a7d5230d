"""The quantisation tables that libjpeg, and so Pillow, makes for a quality."""

from __future__ import annotations

import functools

import numpy as np

from jpegkeras.jpeg import ZIGZAG

# T.81 Tables K.1 and K.2, row by row.
_LUMA = """
    16  11  10  16  24  40  51  61
    12  12  14  19  26  58  60  55
    14  13  16  24  40  57  69  56
    14  17  22  29  51  87  80  62
    18  22  37  56  68 109 103  77
    24  35  55  64  81 104 113  92
    49  64  78  87 103 121 120 101
    72  92  95  98 112 100 103  99
"""
_CHROMA = """
    17  18  24  47  99  99  99  99
    18  21  26  66  99  99  99  99
    24  26  56  99  99  99  99  99
    47  66  99  99  99  99  99  99
    99  99  99  99  99  99  99  99
    99  99  99  99  99  99  99  99
    99  99  99  99  99  99  99  99
    99  99  99  99  99  99  99  99
"""
_UNCHANGED = 50
_MAX_STEP = 255


@functools.cache
def quantization_tables(quality: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the tables of luma and chroma, uint16 [64] in zigzag order, read-only.

    They are those of T.81 Annex K at quality 50, a multiple of them, in whole percents, at others,
    and from 1 to 255. Raises ValueError for a quality that is not from 1 to 100.
    """
    if not 1 <= quality <= 100:
        raise ValueError(f"quality must be from 1 to 100; got {quality}.")
    percent = 5000 // quality if quality < _UNCHANGED else 200 - 2 * quality
    return _scaled(_LUMA, percent), _scaled(_CHROMA, percent)


def _scaled(table: str, percent: int) -> np.ndarray:
    steps = np.array(table.split(), np.int64)[ZIGZAG]
    steps = np.clip((steps * percent + 50) // 100, 1, _MAX_STEP).astype(np.uint16)
    steps.setflags(write=False)
    return steps
