"""Chroma subsampling: the names users give and the block arithmetic behind them.

A sampling is named as photographers name it ("4:2:0"). Here it is the pair (h, v): how many luma
samples stand beside, and below, one chroma sample. One MCU is then h × v luma blocks, one Cb and
one Cr block (ITU-T T.81 A.2.3), that is 8h × 8v pixels.
"""

from __future__ import annotations

BLOCK = 8
COMPONENTS = ("y", "cb", "cr")
# The samplings that a data set can have; `jpegkeras.jpeg` reads every other one too.
SAMPLINGS = {"4:4:4": (1, 1), "4:2:2": (2, 1), "4:2:0": (2, 2)}


def chroma_ratio(sampling: str) -> tuple[int, int]:
    """Returns (h, v) of a sampling. Raises ValueError for a name that is not in `SAMPLINGS`."""
    if sampling not in SAMPLINGS:
        raise ValueError(f"sampling must be one of {', '.join(SAMPLINGS)}; got {sampling!r}.")
    return SAMPLINGS[sampling]


def mcu_size(sampling: str) -> tuple[int, int]:
    """Returns an MCU's (height, width) in pixels: (16, 16) for 4:2:0."""
    h, v = chroma_ratio(sampling)
    return BLOCK * v, BLOCK * h
