"""One batch as the network sees it: a picture of each image, and of the energy of its bands."""

from __future__ import annotations

import functools
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops
from PIL import Image, ImageDraw, ImageFont

from jpegkeras.files import replacing
from jpegkeras.layers import CoefficientsToPixels, zigzag_positions
from jpegkeras.sampling import COMPONENTS

MOST_IMAGES = 32
# The longer side of a picture on the sheet: a smaller one grows by a whole factor to at least the
# first, a larger one shrinks by a whole factor to at most the second, so that pixels stay pixels.
_LEAST_SIDE, _MOST_SIDE = 160, 320
_SHEET_WIDTH = 2200
_LEAST_WIDTH = 720  # for the title and the legend
_CELL = 6  # pixels of a band in its 8 × 8 map
_MAP, _MAP_GAP = 8 * _CELL, 5
_GAP, _MARGIN, _LINE = 16, 28, 18
_HEADER, _FOOTER = 64, 42
_TITLE, _TEXT, _SMALL = 22, 13, 12
_WHITE, _INK, _FAINT, _FRAME = (255, 255, 255), (32, 36, 42), (104, 112, 122), (214, 217, 221)
_ABSENT = (226, 228, 231)
# The scale of a map: log10 of a band's mean square. Coefficients are whole multiples of a
# quantisation step of 1 or more; a DC of 1024 is a white image.
_LOWEST, _HIGHEST = -2.0, 6.0
# A class of less weight is not named: label smoothing gives each a little.
_LEAST_WEIGHT = 0.05
_MOST_NAMES = 2


def draw_batch(
    features: Mapping[str, Any],
    targets: Any,  # noqa: ANN401
    class_names: Sequence[str],
    path: str | os.PathLike,
    *,
    title: str = "One batch as the network sees it",
) -> None:
    """Draws the first 32 images of a batch, or all, into a PNG.

    Each image is decoded from the bands that there are, with zeros for the others, as libjpeg does
    it; beside it are the bands of Y, Cb and Cr, 8 × 8 each, with frequencies from left to right and
    from top to bottom and brighter for more energy. Below are the classes with their weights.

    Args:
      features: `y`, `cb`, `cr`, [B, rows, cols, n]: dequantised and perhaps augmented bands, or
        with the key `quantization`, [B, 3, n], a network's inputs (see `jpegkeras.layers`).
        Tensors of any backend, or arrays.
      targets: labels, whole numbers [B], or the weights of the classes, [B, classes].
      class_names: the classes' names in the order of their labels.
      path: the file to write, whole or not at all.
      title: what stands above.

    Raises:
      ValueError: the shapes do not fit each other.
      OSError: the file cannot be written.
    """
    bands = _to_bands(features)
    targets = ops.convert_to_numpy(targets)[:MOST_IMAGES]
    if not 0 < len(targets) == len(bands["y"]):
        raise ValueError(
            f"a batch must have one image or more, and as many targets; got {len(bands['y'])} "
            f"images and {len(targets)} targets."
        )
    lines = [name_classes(target, class_names) for target in targets]
    for line, count in zip(lines, _make_finite(bands)):
        line += [f"{count:,} values not finite"] if count else []
    pictures, energies = decode(bands), log_energies(bands)
    with replacing(path) as temporary:
        _draw_sheet(pictures, energies, lines, title).save(temporary, "PNG")


def decode(bands: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns the pixels that the bands stand for: uint8 [B, 8·rows, 8·cols, 3], RGB."""
    factor = tuple(bands["y"].shape[axis] // bands["cb"].shape[axis] for axis in (1, 2))
    tensors = {key: ops.convert_to_tensor(bands[key]) for key in COMPONENTS}
    pixels = CoefficientsToPixels(factor)(tensors)
    return ops.convert_to_numpy(pixels).astype(np.uint8)


def log_energies(bands: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns log10 of the mean square of each band over an image's blocks.

    float64 [B, 3, 8, 8]: components, vertical and horizontal frequency. −inf for a band of zeros,
    NaN for one that the network does not see.
    """
    first = bands["y"]
    energies = np.full((len(first), len(COMPONENTS), 8, 8), np.nan)
    rows, cols = np.array(zigzag_positions()[: first.shape[-1]]).T
    for index, key in enumerate(COMPONENTS):
        squares = np.square(bands[key], dtype=np.float64).mean(axis=(1, 2))
        with np.errstate(divide="ignore"):
            energies[:, index, rows, cols] = np.log10(squares)
    return energies


def name_classes(target: Any, class_names: Sequence[str]) -> list[str]:  # noqa: ANN401
    """Returns the lines below a picture: the class, or the two heaviest with their weights.

    `target`: a label, or the weights of the classes [classes]. Classes below 0.05 are left out.
    """
    target = np.asarray(target)
    if target.ndim == 0:
        return [_class_name(int(target), class_names)]
    weights = target.astype(np.float64)
    heaviest = np.argsort(-weights, kind="stable")[:_MOST_NAMES]
    return [
        _class_name(int(label), class_names)
        + ("" if weights[label] > 0.995 else f" {weights[label]:.2f}")
        for label in heaviest
        if weights[label] >= _LEAST_WEIGHT
    ]


def _class_name(label: int, class_names: Sequence[str]) -> str:
    """The name, or the label where the font has no letters for it, or it has none."""
    name = " ".join(class_names[label].split()) if 0 <= label < len(class_names) else ""
    return name if name and _has_glyphs(name) else f"class {label}"


def _to_bands(features: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The first images' dequantised bands as arrays, float32."""
    missing = [key for key in COMPONENTS if key not in features]
    if missing:
        raise ValueError(f"features must have the keys {list(COMPONENTS)}; {missing} are missing.")
    bands = {key: _first_images(features[key]) for key in COMPONENTS}
    if "quantization" in features:
        tables = _first_images(features["quantization"])
        for index, key in enumerate(COMPONENTS):
            bands[key] = bands[key] * tables[:, None, index : index + 1, :]
    return bands


def _first_images(values: Any) -> np.ndarray:  # noqa: ANN401
    return ops.convert_to_numpy(values[:MOST_IMAGES]).astype(np.float32)


def _make_finite(bands: dict[str, np.ndarray]) -> np.ndarray:
    """Makes zeros of what is no number; returns how many there were in each image."""
    counts = np.zeros(len(bands["y"]), np.int64)
    for key in COMPONENTS:
        lost = ~np.isfinite(bands[key])
        counts += lost.sum(axis=(1, 2, 3))
        bands[key] = np.where(lost, np.float32(0), bands[key])
    return counts


def _draw_sheet(
    pictures: np.ndarray, energies: np.ndarray, lines: Sequence[Sequence[str]], title: str
) -> Image.Image:
    images = [_fit(picture) for picture in pictures]
    width, height = images[0].size
    height = max(height, len(COMPONENTS) * (_MAP + _MAP_GAP) - _MAP_GAP)
    across = width + _MAP_GAP + _MAP + _GAP
    down = height + max(map(len, lines)) * _LINE + _GAP
    columns = max(1, min(len(images), (_SHEET_WIDTH - 2 * _MARGIN) // across))
    rows = -(-len(images) // columns)
    size = (
        max(2 * _MARGIN + columns * across - _GAP, _LEAST_WIDTH),
        _HEADER + rows * down + _FOOTER,
    )
    sheet = Image.new("RGB", size, _WHITE)
    draw = ImageDraw.Draw(sheet)
    title = _shorten(title, _TITLE, sheet.width - 2 * _MARGIN)
    draw.text((_MARGIN, 18), title, _INK, _font(_TITLE))
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        left, top = _MARGIN + column * across, _HEADER + row * down
        _draw_picture(sheet, image, energies[index], (left, top))
        for number, line in enumerate(lines[index]):
            place = (left, top + height + 5 + number * _LINE)
            text = _shorten(line, _TEXT, across - _GAP)
            draw.text(place, text, _FAINT if number else _INK, _font(_TEXT))
    _draw_legend(sheet)
    return sheet


def _draw_picture(
    sheet: Image.Image, image: Image.Image, energies: np.ndarray, place: tuple[int, int]
) -> None:
    """Draws one image, framed, and the maps of its components beside it, one below the other."""
    left, top = place
    sheet.paste(image, place)
    frame = (left - 1, top - 1, left + image.width, top + image.height)
    ImageDraw.Draw(sheet).rectangle(frame, None, _FRAME)
    for number, energy in enumerate(energies):
        corner = (left + image.width + _MAP_GAP, top + number * (_MAP + _MAP_GAP))
        sheet.paste(_draw_map(energy), corner)


def _fit(picture: np.ndarray) -> Image.Image:
    image = Image.fromarray(picture)
    longest = max(image.size)
    if longest > _MOST_SIDE:
        return image.reduce(-(-longest // _MOST_SIDE))
    factor = -(-_LEAST_SIDE // longest)
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def _draw_map(energy: np.ndarray) -> Image.Image:
    """Draws log10 energies [8, 8], `_CELL` pixels a band; what is not there is grey."""
    colors = _colors(energy)
    colors[np.isnan(energy)] = _ABSENT
    return Image.fromarray(colors.repeat(_CELL, axis=0).repeat(_CELL, axis=1))


def _colors(energy: np.ndarray) -> np.ndarray:
    """The colours, uint8 [..., 3], of log10 energies on the scale of the maps."""
    import matplotlib

    share = (np.nan_to_num(energy, neginf=_LOWEST) - _LOWEST) / (_HIGHEST - _LOWEST)
    return matplotlib.colormaps["magma"](np.clip(share, 0, 1), bytes=True)[..., :3].copy()


def _draw_legend(sheet: Image.Image) -> None:
    draw = ImageDraw.Draw(sheet)
    top = sheet.height - _FOOTER + 6
    text = "bands of Y, Cb and Cr, one below the other: mean square 0.01"
    draw.text((_MARGIN, top), text, _FAINT, _font(_SMALL))
    left = _MARGIN + int(_font(_SMALL).getlength(text)) + 8
    ramp = _colors(np.linspace(_LOWEST, _HIGHEST, 120))
    sheet.paste(Image.fromarray(np.tile(ramp, (12, 1, 1))), (left, top + 2))
    draw.text((left + 128, top), "1,000,000", _FAINT, _font(_SMALL))
    left += 128 + int(_font(_SMALL).getlength("1,000,000")) + 20
    draw.rectangle((left, top + 2, left + 11, top + 13), _ABSENT)
    draw.text((left + 18, top), "not seen by the network", _FAINT, _font(_SMALL))


def _shorten(text: str, size: int, width: float) -> str:
    """The text, or what of its beginning, and an ellipsis, fits; a weight at its end stays."""
    measure = _font(size).getlength
    if measure(text) <= width:
        return text
    head, space, tail = text.rpartition(" ")
    if not tail.replace(".", "").isdigit():
        head, tail = text, ""
    end = f"…{space}{tail}" if tail else "…"
    while head and measure(f"{head.rstrip()}{end}") > width:
        head = head[:-1]
    return f"{head.rstrip()}{end}"


def _font_path() -> pathlib.Path:
    # Comes with matplotlib, and has more letters than the one that comes with Pillow.
    import matplotlib

    return pathlib.Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(_font_path()), size)


@functools.cache
def _letters() -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(_font_path())).get_charmap())


def _has_glyphs(text: str) -> bool:
    return all(ord(letter) in _letters() for letter in text)
