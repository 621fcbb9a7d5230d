"""Where the pieces of a JPEG stand (T.81 Annex B), for what changes or cuts files.

Takes whatever bytes there are: data that is no JPEG any more gives the pieces up to where it
breaks. Shares nothing with jpegkeras.jpeg.
"""

from __future__ import annotations

from typing import NamedTuple

SOI, EOI, SOS, DQT, DHT, DNL, DRI, APP1 = 0xD8, 0xD9, 0xDA, 0xDB, 0xC4, 0xDC, 0xDD, 0xE1
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
RESTARTS = frozenset(range(0xD0, 0xD8))
_WITHOUT_LENGTH = RESTARTS | {0x01, SOI, EOI}
#: What stands in the place of a marker for the entropy-coded data of a scan.
ENTROPY = -1


class Piece(NamedTuple):
    """A marker segment, or the entropy-coded data of a scan: data[start:end].

    The marker is its second byte, or ENTROPY. Fill bytes before a marker belong to its segment.
    """

    marker: int
    start: int
    end: int


def pieces(data: bytes | bytearray, skip: bool = False) -> list[Piece]:
    """Return the pieces of a JPEG in order.

    They end where no marker is found; with skip, bytes that are none are left out there.
    """
    found = []
    position = 0
    while True:
        start = position
        while position + 1 < len(data) and data[position] == data[position + 1] == 0xFF:
            position += 1
        if position + 2 > len(data):
            return found
        if data[position] != 0xFF or data[position + 1] == 0:
            position = data.find(b"\xff", position + 1)
            if position < 0 or not skip:
                return found
            continue
        marker = data[position + 1]
        position += 2
        if marker not in _WITHOUT_LENGTH:
            length = int.from_bytes(data[position : position + 2], "big")
            position += max(length, 2)
        if position > len(data):
            return found
        found.append(Piece(marker, start, position))
        if marker == SOS:
            end = entropy_end(data, position)
            found.append(Piece(ENTROPY, position, end))
            position = end


def entropy_end(data: bytes | bytearray, position: int) -> int:
    """Return where the first marker after position stands that is no restart marker."""
    while True:
        position = data.find(b"\xff", position)
        if position < 0 or position + 1 == len(data):
            return len(data)
        following = data[position + 1]
        if following == 0xFF:
            position += 1
        elif following == 0 or following in RESTARTS:
            position += 2
        else:
            return position


def end_of_sequential_image(data: bytes) -> int | None:
    """Return where the data ends of the scan that completes a sequential image.

    None if the frame is not sequential with Huffman coding, or no scan completes it.
    """
    missing = None
    for piece in pieces(data):
        body = data[piece.end :] if piece.marker == ENTROPY else data[piece.start : piece.end]
        body = body.lstrip(b"\xff")
        if piece.marker in FRAMES:
            if piece.marker not in (0xC0, 0xC1) or len(body) < 9:
                return None
            missing = {*body[9 : 9 + 3 * body[8] : 3]}
        elif piece.marker == SOS and missing is not None and len(body) > 3:
            missing -= {*body[4 : 4 + 2 * body[3] : 2]}
        elif piece.marker == ENTROPY and missing is not None and not missing:
            return piece.end
    return None
