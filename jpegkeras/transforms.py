"""Exact transforms of quantised coefficients: pure functions, on NumPy arrays and tensors alike.

A component is `[rows, cols, n]`: blocks, then frequencies in zigzag order. An image is a dict of
the components `y`, `cb`, `cr`. Positions are in MCUs (`jpegkeras.sampling.mcu_size`), the unit in
which every component has whole blocks, so that nothing has to be recomputed: blocks change places,
coefficients change places and signs, and what comes out is, bit for bit, what jpegtran makes.

Everything works eagerly and inside tf.data. What does not fit is a ValueError wherever the sizes
are known when the function is called; in a graph that learns them later it is
tf.errors.InvalidArgumentError, with the same numbers.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import numpy as np

from jpegkeras.jpeg import ZIGZAG
from jpegkeras.jpeg.lossless import TRANSPOSABLE
from jpegkeras.sampling import BLOCK, COMPONENTS, SAMPLINGS, chroma_ratio, mcu_size

Array = TypeVar("Array")  # np.ndarray or tf.Tensor

_ROWS, _COLUMNS = -3, -2


class Orientation(NamedTuple):
    """How an image is turned: rows and columns mirrored, and then exchanged."""

    rows_mirrored: bool
    columns_mirrored: bool
    transposed: bool


#: The eight ways to lay a picture down, by jpegtran's names; rotations are clockwise.
ORIENTATIONS = {
    "identity": Orientation(False, False, False),
    "flip_horizontal": Orientation(False, True, False),
    "flip_vertical": Orientation(True, False, False),
    "rotate_180": Orientation(True, True, False),
    "transpose": Orientation(False, False, True),
    "transverse": Orientation(True, True, True),
    "rotate_90": Orientation(True, False, True),
    "rotate_270": Orientation(False, True, True),
}

# The cosines of odd frequency along an axis change sign when a block is mirrored (T.81 A.3.3).
_SIGNS = {
    _ROWS: np.where(ZIGZAG // BLOCK % 2 == 1, -1, 1).astype(np.int16),
    _COLUMNS: np.where(ZIGZAG % BLOCK % 2 == 1, -1, 1).astype(np.int16),
}
# The zigzag position of the coefficient whose row and column are those of this one exchanged.
_TRANSPOSED = np.argsort(ZIGZAG)[ZIGZAG % BLOCK * BLOCK + ZIGZAG // BLOCK]


def mirror_signs(num_frequencies: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the signs, int16 [n] each, that mirroring rows, and columns, gives coefficients."""
    return _SIGNS[_ROWS][:num_frequencies], _SIGNS[_COLUMNS][:num_frequencies]


def transposed_order(num_frequencies: int) -> np.ndarray:
    """Returns int64 [n]: which coefficient of a block stands at each place of its transpose.

    Raises ValueError unless the n lowest frequencies are whole diagonals of the zigzag
    (`jpegkeras.jpeg.lossless.TRANSPOSABLE`): else some that the transpose needs are not there.
    """
    if num_frequencies not in TRANSPOSABLE:
        fitting = ", ".join(map(str, TRANSPOSABLE))
        raise ValueError(
            f"{num_frequencies} frequencies cannot be transposed: rows become columns, and some of "
            f"the {num_frequencies} lowest of the result are not there. These can: {fitting}."
        )
    return _TRANSPOSED[:num_frequencies]


def flip_horizontal(component: Array) -> Array:
    """Mirrors `[..., rows, cols, n]` left to right, as `jpegtran -flip horizontal` does."""
    return turn(component, "flip_horizontal")


def flip_vertical(component: Array) -> Array:
    """Mirrors `[..., rows, cols, n]` top to bottom, as `jpegtran -flip vertical` does."""
    return turn(component, "flip_vertical")


def rotate_180(component: Array) -> Array:
    """Turns `[..., rows, cols, n]` by 180 degrees, as `jpegtran -rotate 180` does."""
    return turn(component, "rotate_180")


def transpose(component: Array) -> Array:
    """Mirrors `[..., rows, cols, n]` along the diagonal from the upper left.

    The result is `[..., cols, rows, n]`. Its quantisation table is the transpose of the old one:
    `table[transposed_order(n)]`; `turn_image` sees to that, and to the sampling. Raises ValueError
    as `transposed_order` does; so do the next three.
    """
    return turn(component, "transpose")


def transverse(component: Array) -> Array:
    """Mirrors along the diagonal from the upper right; see `transpose`."""
    return turn(component, "transverse")


def rotate_90(component: Array) -> Array:
    """Turns clockwise by 90 degrees; see `transpose`."""
    return turn(component, "rotate_90")


def rotate_270(component: Array) -> Array:
    """Turns clockwise by 270 degrees; see `transpose`."""
    return turn(component, "rotate_270")


def turn(component: Array, orientation: str) -> Array:
    """Turns `[..., rows, cols, n]` by one of `ORIENTATIONS`; rows and cols must be whole blocks.

    Raises ValueError for another name, and as `transposed_order` does.
    """
    way = _orientation(orientation)
    rows_signs, columns_signs = mirror_signs(component.shape[-1])
    if way.rows_mirrored:
        component = component[..., ::-1, :, :] * rows_signs
    if way.columns_mirrored:
        component = component[..., ::-1, :] * columns_signs
    if way.transposed:
        component = _transpose(component)
    return component


def turn_image(image: dict[str, Array], orientation: str, sampling: str) -> dict[str, Array]:
    """Turns the components of an image, and its `quantization` [3, n] if that is there.

    The image must be whole MCUs along the axes that are mirrored (`crop` makes it so). 4:2:2 turned
    on its side is 4:4:0, which no data set and no network here has: with the orientations that
    exchange rows and columns, 4:4:4 and 4:2:0 can be turned.

    Raises ValueError for any other, for a partial MCU, and as `turn` does.
    """
    way = _orientation(orientation)
    ratio_h, ratio_v = chroma_ratio(sampling)
    if way.transposed and ratio_h != ratio_v:
        fitting = " and ".join(name for name, (h, v) in SAMPLINGS.items() if h == v)
        raise ValueError(
            f"{orientation} turns {sampling} on its side, which no network here takes; {fitting} "
            "can be turned so."
        )
    image = _with_whole_mcus(image, way, sampling)
    turned = {key: turn(image[key], orientation) for key in COMPONENTS}
    if "quantization" in image:
        tables = image["quantization"]
        order = transposed_order(tables.shape[-1]) if way.transposed else None
        turned["quantization"] = tables if order is None else _take(tables, order)
    return turned


def crop(image: dict[str, Array], top: Array, left: Array, size: int, sampling: str) -> dict:
    """Cuts `size` × `size` pixels out of an image, beginning `top` and `left` MCUs from its corner.

    Returns components of size / 8 blocks a side for the luma and accordingly fewer for the chroma.

    Raises ValueError (in a graph: tf.errors.InvalidArgumentError) that says which sizes, or which
    positions, fit: a crop is whole MCUs, 8 pixels of 4:4:4, 16 of 4:2:0, that lie within the image.
    """
    ratio_h, ratio_v = chroma_ratio(sampling)
    mcu_height, mcu_width = mcu_size(sampling)
    _check_crop_size(size, sampling)
    counts = _count_mcus(image, sampling)
    wanted = (size // mcu_height, size // mcu_width)
    top, left = _check_place((top, left), counts, wanted, size, sampling)
    cropped = {}
    for key in COMPONENTS:
        v, h = (ratio_v, ratio_h) if key == "y" else (1, 1)
        rows, cols = wanted[0] * v, wanted[1] * h
        cropped[key] = image[key][top * v : top * v + rows, left * h : left * h + cols]
    return cropped


def translate(
    image: dict[str, Array], down: Array, across: Array, sampling: str
) -> dict[str, Array]:
    """Moves an image by so many MCUs down and to the right (negative: up and to the left).

    What moves in is blocks of zeros: mid-grey, 128 in each component. Sizes stay as they are. The
    image must be whole MCUs, or ValueError: a partial one would move away from its edge.
    """
    ratio_h, ratio_v = chroma_ratio(sampling)
    image = _with_whole_mcus(image, Orientation(True, True, False), sampling)
    moved = {}
    for key in COMPONENTS:
        v, h = (ratio_v, ratio_h) if key == "y" else (1, 1)
        moved[key] = _shift(_shift(image[key], down * v, _ROWS), across * h, _COLUMNS)
    return moved


def mcu_counts(height: Array, width: Array, sampling: str) -> tuple[Array, Array]:
    """Returns how many whole MCUs an image of this many pixels has, down and across."""
    mcu_height, mcu_width = mcu_size(sampling)
    return height // mcu_height, width // mcu_width


def center_offsets(height: Array, width: Array, size: int, sampling: str) -> tuple[Array, Array]:
    """Returns (top, left), in MCUs, of the central crop of `size` pixels."""
    down, across = mcu_counts(height, width, sampling)
    mcu_height, mcu_width = mcu_size(sampling)
    return (down - size // mcu_height) // 2, (across - size // mcu_width) // 2


def _orientation(name: str) -> Orientation:
    if name not in ORIENTATIONS:
        raise ValueError(f"orientation must be one of {', '.join(ORIENTATIONS)}; got {name!r}.")
    return ORIENTATIONS[name]


def _transpose(component: Array) -> Array:
    order = transposed_order(component.shape[-1])
    if isinstance(component, np.ndarray):
        return component.swapaxes(_ROWS, _COLUMNS)[..., order]
    import tensorflow as tf

    rank = len(component.shape)
    axes = [*range(rank - 3), rank - 2, rank - 3, rank - 1]
    return _take(tf.transpose(component, axes), order)


def _take(values: Array, order: np.ndarray) -> Array:
    if isinstance(values, np.ndarray):
        return values[..., order]
    import tensorflow as tf

    if values.dtype == tf.uint16:  # which TensorFlow gathers on the CPU alone
        return tf.cast(tf.gather(tf.cast(values, tf.int32), order, axis=-1), tf.uint16)
    return tf.gather(values, order, axis=-1)


def _shift(component: Array, shift: Array, axis: int) -> Array:
    """Moves blocks along an axis towards its end; zeros move in."""
    rank = len(component.shape)
    paddings: list[list[Any]] = [[0, 0] for _ in range(rank)]
    window = [slice(None)] * rank
    size = _sizes(component)[axis + 3]
    known = _known(shift)
    if known is not None:
        before, after = max(known, 0), max(-known, 0)
    else:
        import tensorflow as tf

        shift = tf.cast(shift, tf.int32)
        before, after = tf.maximum(shift, 0), tf.maximum(-shift, 0)
    paddings[axis] = [before, after]
    window[axis] = slice(after, after + size)
    if isinstance(component, np.ndarray):
        return np.pad(component, paddings)[tuple(window)]
    import tensorflow as tf

    moved = tf.pad(component, paddings)[tuple(window)]
    moved.set_shape(component.shape)
    return moved


def _known(value: Array) -> int | None:
    """Returns the number that an int, a NumPy scalar or an eager tensor is; None in a graph."""
    # Not by trying int(): AutoGraph makes that a cast.
    return int(value) if isinstance(value, (int, np.integer)) or hasattr(value, "numpy") else None


def _sizes(component: Array) -> tuple[Any, Any]:
    """Returns rows and cols of blocks: int where they are known now, else tensors."""
    sizes = tuple(component.shape[-3:-1])
    if None not in sizes:
        return sizes
    import tensorflow as tf

    shape = tf.shape(component)
    return shape[-3], shape[-2]


def _count_mcus(image: dict[str, Array], sampling: str) -> tuple[Any, Any]:
    """Returns how many MCUs, down and across, the components have whole."""
    ratio_h, ratio_v = chroma_ratio(sampling)
    luma, chroma = _sizes(image["y"]), _sizes(image["cb"])
    pairs = [(luma[0] // ratio_v, chroma[0]), (luma[1] // ratio_h, chroma[1])]
    if all(isinstance(value, int) for pair in pairs for value in pair):
        return tuple(map(min, pairs))
    import tensorflow as tf

    return tuple(tf.minimum(*pair) for pair in pairs)


def _check_crop_size(size: int, sampling: str) -> None:
    mcu = max(mcu_size(sampling))
    if size > 0 and size % mcu == 0:
        return
    below = size // mcu * mcu
    nearest = f"{below} and {below + mcu}" if below > 0 else f"{mcu}"
    raise ValueError(
        f"the size of a crop must be a positive multiple of {mcu} pixels, an MCU of {sampling}; "
        f"got {size}. Nearest that fit: {nearest}."
    )


def _check_place(
    start: tuple[Any, Any],
    counts: tuple[Any, Any],
    wanted: tuple[int, int],
    size: int,
    sampling: str,
) -> tuple[Any, Any]:
    """Returns `start`; in a graph, with the check that the crop lies within the image."""
    known_start = [_known(value) for value in start]
    known_counts = [_known(value) for value in counts]
    mcu_height, mcu_width = mcu_size(sampling)
    if None not in known_start + known_counts:
        _raise_unless_it_fits(known_start, known_counts, wanted, size, sampling)
        return tuple(known_start)
    import tensorflow as tf

    start = tuple(tf.cast(value, tf.int64) for value in start)
    counts = tuple(tf.cast(value, tf.int64) for value in counts)
    fits = [
        tf.logical_and(first >= 0, first + need <= count)
        for first, need, count in zip(start, wanted, counts)
    ]
    data = [f"a crop of {size} pixels, {wanted[0]} x {wanted[1]} MCUs, from MCU", *start]
    data += ["does not fit an image of", *counts, f"MCUs of {mcu_height} x {mcu_width} pixels"]
    data += [f"({sampling}). Sizes that fit: multiples of {max(mcu_size(sampling))} up to"]
    data += [tf.minimum(counts[0] * mcu_height, counts[1] * mcu_width)]
    check = tf.debugging.Assert(tf.logical_and(*fits), data)
    with tf.control_dependencies([check] if check is not None else []):
        return tuple(map(tf.identity, start))


def _raise_unless_it_fits(
    start: list[int],
    counts: list[int],
    wanted: tuple[int, int],
    size: int,
    sampling: str,
) -> None:
    mcu_height, mcu_width = mcu_size(sampling)
    mcu = max(mcu_height, mcu_width)
    image = f"an image of {counts[0]} × {counts[1]} MCUs of {mcu_height} × {mcu_width} pixels"
    if wanted[0] > counts[0] or wanted[1] > counts[1]:
        largest = min(counts[0] * mcu_height, counts[1] * mcu_width) // mcu * mcu
        fitting = f"multiples of {mcu} up to {largest}" if largest else "none"
        raise ValueError(
            f"a crop of {size} pixels does not fit {image} ({sampling}). Sizes that fit: {fitting}."
        )
    for name, first, count, need in zip(("top", "left"), start, counts, wanted):
        if not 0 <= first <= count - need:
            raise ValueError(
                f"{name} must be 0 … {count - need} MCUs for a crop of {size} pixels of {image}; "
                f"got {first}."
            )


def _with_whole_mcus(image: dict[str, Array], way: Orientation, sampling: str) -> dict[str, Array]:
    """Returns the image; in a graph, with the check that no MCU is partial along mirrored axes."""
    ratio_h, ratio_v = chroma_ratio(sampling)
    luma, chroma = _sizes(image["y"]), _sizes(image["cb"])
    axes = [
        (luma[0], chroma[0] * ratio_v) if way.rows_mirrored else (0, 0),
        (luma[1], chroma[1] * ratio_h) if way.columns_mirrored else (0, 0),
    ]
    known = [[_known(value) for value in pair] for pair in axes]
    problem = (
        f"an image whose luma has not whole MCUs of {sampling} cannot be mirrored or moved: its "
        "last, partial MCU has no place at the other edge. Crop it to whole MCUs first. Blocks of "
        "luma, and those that the chroma stands for, down and across:"
    )
    if all(None not in pair for pair in known):
        if any(a != b for a, b in known):
            raise ValueError(f"{problem} {luma} and {chroma[0] * ratio_v, chroma[1] * ratio_h}.")
        return image
    import tensorflow as tf

    whole = tf.reduce_all([tf.equal(*pair) for pair in axes])
    check = tf.debugging.Assert(whole, [problem, *axes[0], *axes[1]])
    with tf.control_dependencies([check] if check is not None else []):
        return {key: tf.identity(value) for key, value in image.items()}
