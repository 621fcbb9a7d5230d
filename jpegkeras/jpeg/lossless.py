"""Mirror, turn and crop quantised coefficients: blocks change places, coefficients their signs.

Nothing is computed anew, so nothing is lost; the results are, bit for bit, those of jpegtran. A
component can only be cut between MCUs (T.81 A.2), so a partial MCU at the right or lower edge has
no place at the other edge. What becomes of it when the image is mirrored is up to `edges`:

    "keep"    it stays at its edge, not mirrored along that axis, as jpegtran does by default and
              so these functions do: no coefficient is lost, and the opposite operation gives the
              image back. The strip shows a wrong part of the picture.
    "trim"    it is cut off, as by jpegtran -trim: what is left is truly a mirror image. Where
              there is no whole MCU to be left, ValueError (jpegtran then leaves all as it is).
    "refuse"  ValueError, as by jpegtran -perfect.

An MCU is (8 * largest v) x (8 * largest h) pixels, of a single component 8 x 8 whatever its
factors. All functions return new images with arrays of their own. They turn what is stored and keep
the EXIF orientation; apply_orientation turns by it.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from jpegkeras.jpeg.types import (
    BLOCK_COEFFICIENTS,
    BLOCK_SIZE,
    ZIGZAG,
    Component,
    JpegCoefficients,
    count_blocks,
)

Edges = Literal["keep", "trim", "refuse"]
EDGES = ("keep", "trim", "refuse")

_ROWS, _COLUMNS = 0, 1
_AXIS_NAMES = ("height", "width")
# The axes to mirror along, and whether to transpose afterwards, by EXIF orientation (CIPA DC-008,
# tag 274): it says at which edges of the displayed image the stored rows and columns begin.
_ORIENTATIONS = {
    2: ((_COLUMNS,), False),
    3: ((_ROWS, _COLUMNS), False),
    4: ((_ROWS,), False),
    5: ((), True),
    6: ((_ROWS,), True),
    7: ((_ROWS, _COLUMNS), True),
    8: ((_COLUMNS,), True),
}

# The cosines of odd frequency along an axis change sign when a block is mirrored (T.81 A.3.3).
_SIGNS = {
    _ROWS: np.where(ZIGZAG // BLOCK_SIZE % 2 == 1, -1, 1).astype(np.int16),
    _COLUMNS: np.where(ZIGZAG % BLOCK_SIZE % 2 == 1, -1, 1).astype(np.int16),
}
# The zigzag position of the coefficient whose row and column are those of this one exchanged.
_TRANSPOSED = np.argsort(ZIGZAG)[ZIGZAG % BLOCK_SIZE * BLOCK_SIZE + ZIGZAG // BLOCK_SIZE]
#: How many of the lowest frequencies are the same ones after a transposition.
TRANSPOSABLE = tuple(
    n for n in range(1, BLOCK_COEFFICIENTS + 1) if sorted(_TRANSPOSED[:n]) == list(range(n))
)


def mcu_size(image: JpegCoefficients) -> tuple[int, int]:
    """Return height and width of an MCU in pixels (T.81 A.2.2, A.2.3)."""
    factors = [_mcu_blocks(image, component) for component in image.components]
    return BLOCK_SIZE * max(v for v, _ in factors), BLOCK_SIZE * max(h for _, h in factors)


def flip_horizontal(image: JpegCoefficients, *, edges: Edges = "keep") -> JpegCoefficients:
    """Mirror left to right, as jpegtran -flip horizontal.

    Raises:
        ValueError: the width is not a multiple of the MCU's and edges is "refuse"; or there is no
            whole MCU and edges is "trim".
    """
    return _mirror(image, (_COLUMNS,), edges)


def flip_vertical(image: JpegCoefficients, *, edges: Edges = "keep") -> JpegCoefficients:
    """Mirror top to bottom, as jpegtran -flip vertical.

    Raises:
        ValueError: as flip_horizontal, by the height.
    """
    return _mirror(image, (_ROWS,), edges)


def rotate_180(image: JpegCoefficients, *, edges: Edges = "keep") -> JpegCoefficients:
    """Turn by 180 degrees, as jpegtran -rotate 180.

    Raises:
        ValueError: as flip_horizontal, by height and width.
    """
    return _mirror(image, (_ROWS, _COLUMNS), edges)


def transpose(image: JpegCoefficients) -> JpegCoefficients:
    """Mirror along the diagonal from the upper left, as jpegtran -transpose.

    Quantisation tables and sampling factors are transposed too. Partial MCUs at the edges remain
    partial MCUs at the edges, so there is no choice about them.

    Raises:
        ValueError: the frequencies the image holds are not all there after a transposition; it has
            to be one of TRANSPOSABLE, whole diagonals of the zigzag.
    """
    n = image.num_frequencies
    if n not in TRANSPOSABLE:
        below = max(m for m in TRANSPOSABLE if m < n)
        above = min(m for m in TRANSPOSABLE if m > n)
        raise ValueError(
            f"an image of {n} frequencies cannot be transposed: rows become columns, and some of "
            f"the {n} lowest of the result are not among the {n} lowest of this one. Transpose an "
            f"image of {below} or {above} frequencies, or of all {BLOCK_COEFFICIENTS}, and leave "
            "out afterwards what is not needed."
        )
    order = _TRANSPOSED[:n]
    components = tuple(
        Component(
            np.ascontiguousarray(component.coefficients.transpose(1, 0, 2)[..., order]),
            component.quantization[order],
            component.sampling[::-1],
        )
        for component in image.components
    )
    return dataclasses.replace(image, height=image.width, width=image.height, components=components)


def transverse(image: JpegCoefficients, *, edges: Edges = "keep") -> JpegCoefficients:
    """Mirror along the diagonal from the upper right, as jpegtran -transverse.

    Raises:
        ValueError: as rotate_180 and transpose.
    """
    return transpose(_mirror(image, (_ROWS, _COLUMNS), edges))


def rotate_90(image: JpegCoefficients, *, edges: Edges = "keep") -> JpegCoefficients:
    """Turn clockwise by 90 degrees, as jpegtran -rotate 90.

    Raises:
        ValueError: as flip_vertical and transpose.
    """
    return transpose(_mirror(image, (_ROWS,), edges))


def rotate_270(image: JpegCoefficients, *, edges: Edges = "keep") -> JpegCoefficients:
    """Turn clockwise by 270 degrees, as jpegtran -rotate 270.

    Raises:
        ValueError: as flip_horizontal and transpose.
    """
    return transpose(_mirror(image, (_COLUMNS,), edges))


def apply_orientation(image: JpegCoefficients) -> JpegCoefficients:
    """Turn an image by its EXIF orientation, so that it is the right way up with orientation 1.

    Partial MCUs are trimmed along the axes that are mirrored: left where they are, they would show
    a strip of the picture in a wrong place. An image of orientation 1 is returned as it is.

    Raises:
        ValueError: as transpose, for orientations 5 to 8; or trimming would leave nothing.
    """
    if image.orientation == 1:
        return image
    axes, transposed = _ORIENTATIONS[image.orientation]
    image = _mirror(image, axes, "trim")
    if transposed:
        image = transpose(image)
    return dataclasses.replace(image, orientation=1)


def crop(image: JpegCoefficients, top: int, left: int, height: int, width: int) -> JpegCoefficients:
    """Cut out a rectangle, as jpegtran -crop WIDTHxHEIGHT+LEFT+TOP.

    Args:
        image: the image.
        top: the first row, in pixels, a multiple of the MCU's height (see mcu_size). jpegtran
            moves others to the next lower multiple.
        left: the first column, a multiple of the MCU's width.
        height: in pixels, at least 1.
        width: in pixels, at least 1.

    Raises:
        ValueError: the rectangle does not begin at an MCU, or is not within the image.
    """
    starts, sizes = (top, left), (height, width)
    limits, mcu = (image.height, image.width), mcu_size(image)
    for axis in (_ROWS, _COLUMNS):
        _check_span(axis, starts[axis], sizes[axis], limits[axis], mcu[axis])
    h_max = max(component.sampling[0] for component in image.components)
    v_max = max(component.sampling[1] for component in image.components)
    components = []
    for component in image.components:
        h, v = component.sampling
        mcu_rows, mcu_columns = _mcu_blocks(image, component)
        row, column = top // mcu[_ROWS] * mcu_rows, left // mcu[_COLUMNS] * mcu_columns
        rows, columns = count_blocks(height, v, v_max), count_blocks(width, h, h_max)
        coefficients = component.coefficients[row : row + rows, column : column + columns]
        components.append(_replace_coefficients(component, coefficients.copy()))
    return dataclasses.replace(image, height=height, width=width, components=tuple(components))


def _check_span(axis: int, start: int, size: int, limit: int, mcu: int) -> None:
    name, side = _AXIS_NAMES[axis], ("top", "left")[axis]
    if start < 0 or size < 1 or start + size > limit:
        raise ValueError(
            f"a crop must lie within the image, whose {name} is {limit} pixels; "
            f"got {side} {start} and {name} {size}."
        )
    if start % mcu:
        below = start // mcu * mcu
        nearest = f"{below} and {below + mcu}" if below + mcu < limit else f"{below}"
        raise ValueError(
            f"{side} must be a multiple of the MCU's {name}, {mcu} pixels; got {start}. "
            f"Nearest: {nearest}."
        )


def _mcu_blocks(image: JpegCoefficients, component: Component) -> tuple[int, int]:
    """Return rows and columns of blocks that an MCU has of a component (T.81 A.2.2, A.2.3)."""
    h, v = component.sampling
    return (v, h) if len(image.components) > 1 else (1, 1)


def _replace_coefficients(component: Component, coefficients: np.ndarray) -> Component:
    return Component(coefficients, component.quantization.copy(), component.sampling)


def _mirror(image: JpegCoefficients, axes: tuple[int, ...], edges: str) -> JpegCoefficients:
    """Mirror along these axes; T.81 A.3.3 says which coefficients change sign."""
    if edges not in EDGES:
        raise ValueError(f"edges must be one of {', '.join(EDGES)}; got {edges!r}.")
    mcu = mcu_size(image)
    whole = [size // mcu[axis] for axis, size in enumerate((image.height, image.width))]
    if edges != "keep":
        image = _cut_partial_mcus(image, axes, edges)
    components = []
    for component in image.components:
        coefficients = component.coefficients.copy()
        for axis in axes:
            moved = whole[axis] * _mcu_blocks(image, component)[axis]
            part = np.moveaxis(coefficients, axis, 0)[:moved]
            part[:] = part[::-1] * _SIGNS[axis][: image.num_frequencies]
        components.append(_replace_coefficients(component, coefficients))
    return dataclasses.replace(image, components=tuple(components))


def _cut_partial_mcus(
    image: JpegCoefficients, axes: tuple[int, ...], edges: str
) -> JpegCoefficients:
    """Trim partial MCUs along these axes; or refuse them, or that nothing would be left."""
    mcu = mcu_size(image)
    sizes = [image.height, image.width]
    for axis in axes:
        name, size = _AXIS_NAMES[axis], sizes[axis]
        if edges == "refuse" and size % mcu[axis]:
            raise ValueError(
                f"the {name} must be a multiple of the MCU's, {mcu[axis]} pixels, to be mirrored "
                f'without a rest; got {size}. edges="trim" cuts the rest off, edges="keep" leaves '
                "it where it is."
            )
        sizes[axis] = size // mcu[axis] * mcu[axis]
        if sizes[axis] == 0:
            raise ValueError(
                f"an image whose {name} is {size} pixels has no whole MCU, {mcu[axis]} pixels, to "
                "be mirrored; trimming would leave nothing of it. Decode it and mirror the pixels."
            )
    if sizes == [image.height, image.width]:
        return image
    return crop(image, 0, 0, *sizes)
