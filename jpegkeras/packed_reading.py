"""JPEGs' bytes → packed images, many at a time, each packed as soon as it is decoded.

That is what `jpegkeras.jpeg.read_batch` and `jpegkeras.packing.pack` do one after the other. But
the coefficients of an image lie in a piece of memory that the next image uses again, and so they
never leave the processor's cache: writing and reading them elsewhere takes as long as packing does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numba import njit

from jpegkeras.jpeg import arena, reader, sequential
from jpegkeras.jpeg.scan import OK
from jpegkeras.jpeg.types import BLOCK_COEFFICIENTS
from jpegkeras.packing import PackedPlane, pack_blocks
from jpegkeras.record_format import PackedImage
from jpegkeras.sampling import COMPONENTS, SAMPLINGS

# Bytes of coefficients that are packed by one call, unless one image alone has more.
_BATCH_BYTES = 4 << 20
# Of a block, on an average over a batch: coefficients that int8 cannot hold. Where there are more,
# an image is left to who packs one by one.
_OVERFLOWS, _LEAST_OVERFLOWS = 4, 4096
_LANES = 2
# No image has them, mostly.
_NO_OVERFLOWS = np.empty(0, np.int64), np.empty(0, np.int16)


class Form(NamedTuple):
    """What is known of an image before its coefficients.

    `height`, `width` in pixels; `sampling`: its name, "" for one that no data set has or for other
    than three components; `rgb`, `orientation` as of `JpegCoefficients`.
    """

    height: int
    width: int
    sampling: str
    rgb: bool
    orientation: int


class _Layout(NamedTuple):
    """Where an image's planes lie among its blocks.

    `planes`: of each component (rows, cols) of blocks, its first block, and the one after its last;
    `spans` the latter two as int64 [3, 2]; `blocks`: of all; `quantization`: uint16 [3, n].
    """

    planes: tuple[tuple[tuple[int, int], int, int], ...]
    spans: np.ndarray
    blocks: int
    quantization: np.ndarray


def read_packed(
    items: Sequence[bytes], num_frequencies: int, is_wanted: Callable[[Form], bool]
) -> list[PackedImage | None]:
    """Returns for each JPEG what `pack_image` makes of its coefficients, or None.

    None is for what is not wanted, and for what is not read here: all but undamaged images of three
    components in one sequential scan. The images of one call share memory.
    """
    images: list[PackedImage | None] = [None] * len(items)
    for batch in _cut(items, num_frequencies, is_wanted):
        numbers, pending = zip(*batch)
        for number, image in zip(numbers, _read(pending, num_frequencies)):
            images[number] = image
    return images


def _cut(
    items: Sequence[bytes], num_frequencies: int, is_wanted: Callable[[Form], bool]
) -> Iterator[list[tuple[int, reader.Pending]]]:
    """Yields the wanted images with their places in `items`, as many as one call packs."""
    batch: list[tuple[int, reader.Pending]] = []
    left = _BATCH_BYTES
    for number, content in enumerate(items):
        one = reader.find_scan(content)
        form = one and _form(one.header)
        if form is None or not form.sampling or not is_wanted(form):
            continue
        size = 2 * one.header.plan.blocks * num_frequencies
        if batch and size > left:
            yield batch
            batch, left = [], _BATCH_BYTES
        batch.append((number, one))
        left -= size
    if batch:
        yield batch


@functools.lru_cache(maxsize=64)
def _form(header: reader.Header) -> Form:
    frame = header.frame
    factors = [sampling for *_, sampling in header.components]
    name = ""
    if len(factors) == len(COMPONENTS) and factors[1] == factors[2]:
        (h, v), (chroma_h, chroma_v) = factors[:2]
        ratios = {(chroma_h * x, chroma_v * y): name for name, (x, y) in SAMPLINGS.items()}
        name = ratios.get((h, v), "")
    return Form(frame.height, frame.width, name, header.rgb, header.orientation)


@functools.lru_cache(maxsize=64)
def _layout(header: reader.Header, num_frequencies: int) -> _Layout:
    tables = np.array([table[:num_frequencies] for *_, table, _ in header.components])
    tables.setflags(write=False)  # images share it
    planes = tuple(
        ((rows, cols), first, first + rows * cols) for first, rows, cols, *_ in header.components
    )
    return _Layout(planes, np.array([span for _, *span in planes]), header.plan.blocks, tables)


def _read(pending: Sequence[reader.Pending], num_frequencies: int) -> Iterator[PackedImage | None]:
    """Yields the packed images of one batch, None for those that are not whole."""
    data, jobs = reader.join_scans(pending)
    jobs[:, reader.OFFSETS] *= num_frequencies
    layouts = [_layout(one.header, num_frequencies) for one in pending]
    blocks = [layout.blocks for layout in layouts]
    # Of an image first all DC, then all AC, then perhaps a byte.
    starts = [0]
    for number in blocks:
        starts.append(starts[-1] + (number * (num_frequencies + 1) + 1) // 2 * 2)
    dc = arena.allocate(starts[-1] // 2)
    ac = dc.view(np.int8)
    lanes = min(_LANES, len(pending))
    scratch = arena.allocate(lanes * max(blocks) * num_frequencies).reshape(lanes, -1)
    room = max(_LEAST_OVERFLOWS, sum(blocks) * _OVERFLOWS)
    index, value = np.empty(room, np.int64), np.empty(room, np.int16)
    found = np.empty((len(pending), len(COMPONENTS), 2), np.int64)
    sums = np.zeros((len(pending), len(COMPONENTS), 3, BLOCK_COEFFICIENTS), np.int64)
    statuses, ends = np.empty((2, len(pending)), np.int64)
    spans = np.array([layout.spans for layout in layouts])
    _decode_and_pack(
        data, jobs, spans, np.array(starts), num_frequencies, scratch,
        dc, ac, index, value, found, sums, statuses, ends,
    )  # fmt: skip
    whole = reader.find_whole(data, statuses, ends).tolist()
    sums = sums[..., :num_frequencies]
    rows = zip(pending, layouts, starts, whole, found.tolist(), sums)
    for one, layout, start, is_whole, image_found, image_sums in rows:
        if not is_whole:
            yield None
            continue
        overflows = [_take_overflows(index, value, *place) for place in image_found]
        image_dc, image_ac = dc[start // 2 :], ac[start + 2 * layout.blocks :]
        planes = _planes(layout, num_frequencies, image_dc, image_ac, overflows, image_sums)
        height, width, sampling, *_ = _form(one.header)
        yield PackedImage(height, width, sampling, layout.quantization, planes)


def _planes(
    layout: _Layout,
    num_frequencies: int,
    dc: np.ndarray,
    ac: np.ndarray,
    overflows: Sequence[tuple[np.ndarray, np.ndarray]],
    sums: np.ndarray,
) -> tuple[PackedPlane, ...]:
    bands = num_frequencies - 1
    return tuple(
        [
            PackedPlane(shape, dc[first:end], ac[first * bands : end * bands], *lists, band_sums)
            for (shape, first, end), lists, band_sums in zip(layout.planes, overflows, sums)
        ]
    )


def _take_overflows(
    index: np.ndarray, value: np.ndarray, first: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns copies in ascending order, so that the lists need not be kept."""
    if not count:
        return _NO_OVERFLOWS
    order = first + np.argsort(index[first : first + count])
    return index[order], value[order]


@njit(cache=True, nogil=True)
def _decode_and_pack(  # noqa: ANN202
    data, jobs, spans, starts, count, scratch,  # noqa: ANN001
    dc, ac, overflow_index, overflow_value, found, sums, statuses, ends,  # noqa: ANN001
):  # fmt: skip
    """Decodes scans as `sequential.decode_scans` does, and packs each that is OK.

    `scratch`: int16 [1 or 2, blocks × count], for the coefficients of as many images. `found`:
    int64 [images, 3, 2], where in the overflows those of a plane begin, and how many; an image that
    they have no room for is declined.
    """
    workspace = sequential.make_workspace(jobs)
    number = used = 0
    while True:
        number, one, other = sequential.decode_on(
            data, jobs, number, count, scratch[0], scratch[-1], statuses, ends, workspace
        )
        if one < 0 and other < 0:
            return
        for image, lane in ((one, scratch[0]), (other, scratch[-1])):
            if image < 0 or statuses[image] != OK:
                continue
            first_dc, before = starts[image] // 2, used
            first_ac = starts[image] + 2 * spans[image].max()
            for plane in range(spans.shape[1]):
                first, end = spans[image, plane]
                overflows = pack_blocks(
                    lane[first * count : end * count].reshape(end - first, count),
                    dc[first_dc + first : first_dc + end],
                    ac[first_ac + first * (count - 1) : first_ac + end * (count - 1)],
                    overflow_index[used:],
                    overflow_value[used:],
                    sums[image, plane],
                )
                found[image, plane] = used, overflows
                used += overflows
                if used > len(overflow_index):
                    statuses[image] = sequential.DECLINED
                    used = before
                    break
