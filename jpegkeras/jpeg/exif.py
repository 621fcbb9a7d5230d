"""The one thing of EXIF that coefficients need: which way up the image is."""

from __future__ import annotations

_HEADER = b"Exif\0\0"
_BYTE_ORDERS = {b"II*\0": "little", b"MM\0*": "big"}
_ORIENTATION = 0x0112
_SHORT = 3
_ENTRY_BYTES = 12


def is_exif(payload: bytes) -> bool:
    """Say whether an APP1 segment's parameters are EXIF (Exif 2.3, 4.7.2)."""
    return payload.startswith(_HEADER)


def parse_orientation(payload: bytes) -> int:
    """Return the orientation, 1 to 8, that EXIF gives (Exif 2.3, 4.6.4 A); 1 if it gives none.

    EXIF is not the image: what is damaged or makes no sense there counts as none.
    """
    data = payload[len(_HEADER) :]
    order = _BYTE_ORDERS.get(data[:4])
    if order is None:
        return 1

    def read(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], order)

    directory = read(4, 4)
    for number in range(read(directory, 2)):
        at = directory + 2 + _ENTRY_BYTES * number
        if at + _ENTRY_BYTES > len(data):
            break
        if read(at, 2) == _ORIENTATION:
            orientation = read(at + 8, 2)
            plain = read(at + 2, 2) == _SHORT and read(at + 4, 4) == 1
            return orientation if plain and 1 <= orientation <= 8 else 1
    return 1
