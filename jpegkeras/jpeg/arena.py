"""Memory for coefficients that is used again once nobody looks at it any more.

Fresh memory comes from the kernel page by page, each page cleared: for the coefficients of a small
image that takes a good part of the time that decoding does, and freeing it hands the pages back.
"""

from __future__ import annotations

from collections import deque

import numpy as np

# Pieces kept, and the size of the largest one in coefficients: up to 128 MB in all, as a rule half.
_KEPT = 16
_LARGEST = 4 << 20

_free: deque[np.ndarray] = deque(maxlen=_KEPT)


class _Loan:
    """Owns a piece of memory for as long as an array refers to it."""

    def __init__(self, storage: np.ndarray):
        self._storage = storage
        self.__array_interface__ = storage.__array_interface__

    def __del__(self):
        if _free is None:  # Python is shutting down
            return
        _free.append(self._storage)


def allocate(size: int) -> np.ndarray:
    """Return int16 [size], of any content. The memory is free again when no view of it is left."""
    if size > _LARGEST:
        return np.empty(size, np.int16)
    for _ in range(len(_free)):
        try:
            storage = _free.pop()  # the last one is the likeliest to be in the cache
        except IndexError:  # another thread was quicker
            break
        if size <= storage.size <= 4 * size:
            return np.asarray(_Loan(storage))[:size]
        _free.appendleft(storage)
    return np.asarray(_Loan(np.empty(max(size, 1), np.int16)))[:size]
