"""Input number i of seed s: one of the small JPEGs, changed in one to eight ways.

The bytes depend on nothing but (s, i) and the list of seeds, whatever the number of processes.
"""

from __future__ import annotations

import numpy as np

from tests.trust import anatomy
from tests.trust.anatomy import DHT, DQT, DRI, ENTROPY, FRAMES, RESTARTS, SOS

MAX_STACKED = 8
#: One input in so many is not damaged.
_WHOLE = 100
#: Duplications and splices stop here, so that inputs stay small.
MAX_BYTES = 8192
_EDGES = (0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF)
_SIZES = (0, 1, 7, 8, 9, 16, 17, 64, 255, 256, 4096, 32767, 32768, 65500, 65535)
_LENGTHS = (0, 1, 2, 3, 255, 256, 65534, 65535)
_MARKERS = (*range(0xC0, 0xE0), 0xE0, 0xE1, 0xEE, 0xF0, 0xF7, 0xFE, 0x01, 0x02)


class Draws:
    """Random integers, drawn many at a time."""

    def __init__(self, seed: int, number: int):
        self._rng = np.random.default_rng([seed, number])
        self._left: list[int] = []

    def below(self, limit: int) -> int:
        """Return an integer from 0 to limit - 1."""
        if not self._left:
            self._left = self._rng.integers(0, 1 << 31, 48).tolist()
        return self._left.pop() % limit

    def pick(self, items):
        """Return one of the items."""
        return items[self.below(len(items))]

    def edge(self) -> int:
        """Return a byte, often one at the edge of a range."""
        return self.pick(_EDGES) if self.below(2) else self.below(256)

    def length(self, largest: int) -> int:
        """Return a length from 1 to largest, more often a short one."""
        return 1 + self.below(1 + self.below(largest))

    def random_bytes(self, size: int) -> bytes:
        """Return that many random bytes."""
        return bytes(self.below(256) for _ in range(size))


def make_input(seed: int, number: int, seeds: tuple[tuple[str, bytes], ...]) -> bytes:
    """Return input number `number` of this seed."""
    draws = Draws(seed, number)
    data = bytearray(draws.pick(seeds)[1])
    if draws.below(_WHOLE) == 0:
        return bytes(data)
    for _ in range(1 if draws.below(2) else 1 + draws.below(MAX_STACKED)):
        if data:
            draws.pick(_MUTATIONS)(data, draws, seeds)
        if len(data) > MAX_BYTES:
            del data[MAX_BYTES:]
    return bytes(data)


def _flip_bit(data, draws, seeds):
    data[draws.below(len(data))] ^= 1 << draws.below(8)


def _flip_entropy_bits(data, draws, seeds):
    at = _place_in(data, draws, ENTROPY)
    for _ in range(draws.length(4)):
        data[min(at + draws.below(8), len(data) - 1)] ^= 1 << draws.below(8)


def _set_byte(data, draws, seeds):
    data[draws.below(len(data))] = draws.edge()


def _cut(data, draws, seeds):
    del data[draws.below(len(data)) :]


def _splice(data, draws, seeds):
    other = draws.pick(seeds)[1]
    if draws.below(2):
        data[draws.below(len(data)) :] = other[draws.below(len(other)) :]
    else:  # at the borders of segments
        data[_border(data, draws) :] = other[_border(other, draws) :]


def _delete_range(data, draws, seeds):
    at = draws.below(len(data))
    del data[at : at + draws.length(64)]


def _insert_bytes(data, draws, seeds):
    at = draws.below(len(data) + 1)
    size = draws.length(24)
    data[at:at] = bytes([draws.edge()]) * size if draws.below(3) == 0 else draws.random_bytes(size)


def _duplicate_range(data, draws, seeds):
    start, at = draws.below(len(data)), draws.below(len(data))
    data[at:at] = data[start : start + draws.length(200)]


def _swap_bytes(data, draws, seeds):
    a, b = draws.below(len(data)), draws.below(len(data))
    data[a], data[b] = data[b], data[a]


def _delete_segment(data, draws, seeds):
    _, start, end = _any_piece(data, draws)
    del data[start:end]


def _duplicate_segment(data, draws, seeds):
    _, start, end = _any_piece(data, draws)
    segment = bytes(data[start:end])
    at = _border(data, draws) if draws.below(2) else end
    data[at:at] = segment * (draws.length(20) if draws.below(8) == 0 else 1)


def _swap_segments(data, draws, seeds):
    first, second = sorted((_any_piece(data, draws), _any_piece(data, draws)), key=lambda p: p[1])
    if first.end <= second.start:
        between = data[first.end : second.start]
        swapped = data[second.start : second.end] + between + data[first.start : first.end]
        data[first.start : second.end] = swapped


def _duplicate_scan(data, draws, seeds):
    """A scan again, with its data: after itself or anywhere."""
    pieces = anatomy.pieces(data)
    scans = [index for index, piece in enumerate(pieces[:-1]) if piece.marker == SOS]
    if scans:
        index = draws.pick(scans)
        scan = bytes(data[pieces[index].start : pieces[index + 1].end])
        at = pieces[index + 1].end if draws.below(2) else _border(data, draws)
        data[at:at] = scan * draws.length(3)


def _transplant_segment(data, draws, seeds):
    other = draws.pick(seeds)[1]
    _, start, end = _any_piece(other, draws)
    at = _border(data, draws)
    data[at:at] = other[start:end]


def _change_length(data, draws, seeds):
    piece = _any_piece(data, draws)
    at = piece.start + 2
    if piece.marker == ENTROPY or at + 2 > len(data):
        return
    length = int.from_bytes(data[at : at + 2], "big")
    if draws.below(2):
        length = draws.pick(_LENGTHS)
    else:
        length += draws.below(9) - 4
    data[at : at + 2] = (length & 0xFFFF).to_bytes(2, "big")


def _change_marker(data, draws, seeds):
    piece = _any_piece(data, draws)
    if piece.marker != ENTROPY and piece.start + 1 < len(data):
        data[piece.start + 1] = draws.pick(_MARKERS)


def _change_huffman_table(data, draws, seeds):
    body = _body(data, draws, (DHT,))
    if body is None or body[1] - body[0] < 18:
        return
    start, end = body
    kind = draws.below(6)
    if kind == 0:  # class and number
        data[start] = draws.pick((0x00, 0x01, 0x02, 0x03, 0x10, 0x11, 0x12, 0x13, draws.edge()))
    elif kind == 1:
        data[start + 1 + draws.below(16)] = draws.edge()
    elif kind == 2:  # as many codes as before, of other lengths
        a, b = (start + 1 + draws.below(16) for _ in range(2))
        if data[a] and data[b] < 255:
            data[a] -= 1
            data[b] += 1
    elif kind == 3:  # all codes of 16 bits: only the slow path of a decoder finds them
        count = sum(data[start + 1 : start + 17])
        if count < 256:
            data[start + 1 : start + 17] = bytes([0] * 15 + [count])
    else:
        for _ in range(draws.length(4)):
            symbol = draws.edge() if draws.below(2) else draws.below(16) << 4 | draws.below(11)
            data[start + 17 + draws.below(end - start - 17)] = symbol


def _change_quantization_table(data, draws, seeds):
    body = _body(data, draws, (DQT,))
    if body is not None:
        at = body[0] if draws.below(3) == 0 else body[0] + draws.below(body[1] - body[0])
        data[at] = draws.pick((0x01, 0x02, 0x03, 0x10, 0x11, 0x04, draws.edge()))


def _change_frame_size(data, draws, seeds):
    body = _body(data, draws, FRAMES)
    if body is None or body[1] - body[0] < 6:
        return
    at = body[0] + draws.pick((1, 3))
    size = int.from_bytes(data[at : at + 2], "big")
    size = draws.pick(_SIZES) if draws.below(2) else size + draws.below(33) - 16
    data[at : at + 2] = (size & 0xFFFF).to_bytes(2, "big")


def _change_frame_component(data, draws, seeds):
    body = _body(data, draws, FRAMES)
    if body is None or body[1] - body[0] < 9:
        return
    components = (body[1] - body[0] - 6) // 3
    at = body[0] + 6 + 3 * draws.below(components)
    kind = draws.below(4)
    if kind == 0:
        data[at] = draws.below(6)
    elif kind == 1:
        data[at + 1] = draws.below(6) << 4 | draws.below(6)
    elif kind == 2:
        data[at + 2] = draws.below(6)
    else:
        data[at : at + 3] = draws.random_bytes(3)


def _change_frame_kind(data, draws, seeds):
    frames = [piece for piece in anatomy.pieces(data) if piece.marker in FRAMES]
    if frames:
        piece = draws.pick(frames)
        data[piece.start + 1] = draws.pick((0xC0, 0xC1, 0xC2, 0xC2, 0xC0 + draws.below(16)))
        if draws.below(4) == 0 and piece.end > piece.start + 4:
            data[piece.start + 4] = draws.pick((8, 12, 16, draws.edge()))


def _change_scan(data, draws, seeds):
    body = _body(data, draws, (SOS,))
    if body is None or body[1] - body[0] < 6:
        return
    start, end = body
    kind = draws.below(5)
    if kind == 0:
        data[start] = draws.below(6)
    elif kind == 1:
        data[start + 1 + draws.below(end - start - 4)] = draws.below(5)
    elif kind == 2:
        data[start + 1 + draws.below(end - start - 4)] = draws.below(5) << 4 | draws.below(5)
    elif kind == 3:  # band
        data[end - 3 + draws.below(2)] = draws.pick((0, 1, 2, 5, 6, 63, 64, draws.edge()))
    else:  # successive approximation
        high = draws.below(4)
        low = draws.pick((high - 1 & 15, high, 0, draws.below(16)))
        data[end - 1] = high << 4 | low


def _change_restart_interval(data, draws, seeds):
    interval = draws.pick((0, 1, 2, 3, 7, 100, 65535, draws.below(65536))).to_bytes(2, "big")
    body = _body(data, draws, (DRI,))
    if body is not None and body[1] - body[0] == 2:
        data[body[0] : body[1]] = interval
    else:
        at = _border(data, draws)
        data[at:at] = b"\xff\xdd\x00\x04" + interval


def _change_restarts(data, draws, seeds):
    """A restart marker more, less, or of another number."""
    places = [
        at for at in _find_all(data, b"\xff") if at + 1 < len(data) and data[at + 1] in RESTARTS
    ]
    kind = draws.below(4)
    if kind == 0 or not places:
        at = _place_in(data, draws, ENTROPY)
        data[at:at] = bytes([0xFF, 0xD0 + draws.below(8)])
    elif kind == 1:
        at = draws.pick(places)
        del data[at : at + 2]
    elif kind == 2:
        data[draws.pick(places) + 1] = 0xD0 + draws.below(8)
    else:  # an interval is lost
        at = draws.pick(places)
        following = next((place for place in places if place > at), at + 2)
        del data[at:following]


def _sprinkle(data, draws, seeds):
    for _ in range(draws.length(12)):
        at = draws.below(len(data))
        if draws.below(2):
            data[at] = 0xFF
        else:
            data[at:at] = b"\xff"


def _insert_marker(data, draws, seeds):
    at = _place_in(data, draws, ENTROPY) if draws.below(2) else _border(data, draws)
    data[at:at] = bytes([0xFF, draws.pick(_MARKERS)])


def _append_image(data, draws, seeds):
    data += draws.pick(seeds)[1]


# What the kinds of damage weigh: those that keep a file nearly whole come more than once.
_MUTATIONS = (
    *[_flip_bit, _flip_entropy_bits, _set_byte] * 3,
    *[_change_huffman_table, _change_frame_size, _change_frame_component, _change_scan] * 2,
    *[_duplicate_scan, _change_restart_interval, _change_restarts] * 2,
    _cut,
    _splice,
    _delete_range,
    _insert_bytes,
    _duplicate_range,
    _swap_bytes,
    _delete_segment,
    _duplicate_segment,
    _swap_segments,
    _transplant_segment,
    _change_length,
    _change_marker,
    _change_quantization_table,
    _change_frame_kind,
    _sprinkle,
    _insert_marker,
    _append_image,
)


def _find_all(data, what):
    at = data.find(what)
    while at >= 0:
        yield at
        at = data.find(what, at + 1)


def _any_piece(data, draws) -> anatomy.Piece:
    pieces = anatomy.pieces(data)
    return draws.pick(pieces) if pieces else anatomy.Piece(ENTROPY, 0, len(data))


def _border(data, draws) -> int:
    """Where a segment ends."""
    pieces = anatomy.pieces(data)
    return draws.pick(pieces).end if pieces else 0


def _place_in(data, draws, marker) -> int:
    """Somewhere in a piece of that marker, or anywhere if there is none."""
    pieces = [piece for piece in anatomy.pieces(data) if piece.marker == marker]
    if not pieces:
        return draws.below(len(data))
    piece = draws.pick(pieces)
    return min(piece.start + draws.below(max(piece.end - piece.start, 1)), len(data) - 1)


def _body(data, draws, markers) -> tuple[int, int] | None:
    """Where the parameters of such a segment begin and end; None without one, or an empty one."""
    pieces = [piece for piece in anatomy.pieces(data) if piece.marker in markers]
    if not pieces:
        return None
    _, start, end = draws.pick(pieces)
    while data[start + 1] == 0xFF:
        start += 1
    return (start + 4, end) if start + 4 < end else None
