"""The checksum of TFRecord files (tensorflow/core/lib/hash/crc32c.h)."""

from __future__ import annotations

import google_crc32c

_MASK_DELTA = 0xA282EAD8


def masked_crc(data: bytes) -> int:
    """Returns the CRC-32C of data, rotated and shifted as TFRecord files hold it."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF
