"""What both pictures are drawn with: Pillow's own font, colour scales, hatching, fitted text."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]

WHITE: Color = (255, 255, 255)
INK: Color = (32, 36, 42)
FAINT_INK: Color = (104, 112, 122)
_NO_CHARACTER = "\uffff"
_HATCH_STEP = 7
# Rec. 601 luma, below which white text reads better than black.
_DARK = 140


@functools.cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Returns the font that comes with Pillow, `size` pixels high; it has ASCII and little more."""
    return ImageFont.load_default(size)


def spell(text: str) -> str | None:
    """Returns the text as the font can show it, without accents, in one line.

    None where the font lacks the letters, as of most scripts but Latin.
    """
    letters = unicodedata.normalize("NFKD", " ".join(text.split()))
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return plain if plain and all(map(_has_glyph, plain)) else None


def shorten(text: str, size: int, width: float) -> str:
    """Returns the text, or what of its beginning, and an ellipsis, fits into `width` pixels."""
    measure = font(size).getlength
    if measure(text) <= width:
        return text
    kept = text
    while kept and measure(f"{kept.rstrip()}…") > width:
        kept = kept[:-1]
    return f"{kept.rstrip()}…"


def write(
    draw: ImageDraw.ImageDraw,
    position: tuple[float, float],
    text: str,
    size: int,
    color: Color = INK,
    anchor: str = "la",
) -> None:
    """Writes one line; `anchor` is Pillow's: "la" left and top, "mm" centred both ways, …"""
    draw.text(position, text, color, font(size), anchor)


def write_upwards(
    image: Image.Image, center: tuple[int, int], text: str, size: int, color: Color = INK
) -> None:
    """Writes one line that runs upwards, centred."""
    left, top, right, bottom = font(size).getbbox(text)
    line = Image.new("L", (int(right - left) + 2, int(bottom - top) + 2))
    ImageDraw.Draw(line).text((1 - left, 1 - top), text, 255, font(size))
    line = line.rotate(90, expand=True)
    corner = (center[0] - line.width // 2, center[1] - line.height // 2)
    image.paste(color, corner, line)


def blend(anchors: Sequence[Color], position: float) -> Color:
    """Returns the colour at `position`, 0 to 1, between colours that are evenly spaced."""
    place = min(max(position, 0.0), 1.0) * (len(anchors) - 1)
    index = min(int(place), len(anchors) - 2)
    share = place - index
    return tuple(round(a + share * (b - a)) for a, b in zip(anchors[index], anchors[index + 1]))


def ink_on(color: Color) -> Color:
    """Returns the text colour that is legible on `color`."""
    red, green, blue = color
    return WHITE if 0.299 * red + 0.587 * green + 0.114 * blue < _DARK else INK


def hatch(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int]) -> None:
    """Fills a box (left, top, right, bottom; the last two outside) with grey stripes."""
    left, top, right, bottom = box
    draw.rectangle((left, top, right - 1, bottom - 1), (238, 239, 241))
    width, height = right - left, bottom - top
    for start in range(-height, width, _HATCH_STEP):
        # From the lower edge up to the right, cut off at the box.
        first, last = max(start, 0), min(start + height, width)
        line = (left + first, bottom - 1 - (first - start))
        draw.line((*line, left + last - 1, bottom - (last - start)), (202, 205, 209))


def to_palette(image: Image.Image, kept: Sequence[Color]) -> Image.Image:
    """Returns the RGB image with a palette (mode P), as a drawing's PNG is a third as large then.

    The colours to be `kept`, and of the others those that it has most of, up to 256, stay as they
    are; the rest, of the edges of letters, become the nearest. (Pillow's own `quantize` would not
    keep any exactly.)
    """
    pixels = np.asarray(image).reshape(-1, 3)
    packed = pixels.astype(np.int32) @ (1 << 16, 1 << 8, 1)
    colors, places, counts = np.unique(packed, return_inverse=True, return_counts=True)
    channels = np.stack([colors >> 16, colors >> 8 & 255, colors & 255], axis=-1)
    common = channels[np.argsort(-counts, kind="stable")].tolist()
    palette = np.array(list(dict.fromkeys(map(tuple, [*kept, *common])))[:256])
    distances = ((channels[:, np.newaxis] - palette) ** 2).sum(axis=-1)
    indices = distances.argmin(axis=1).astype(np.uint8)[places]
    drawing = Image.fromarray(indices.reshape(image.height, image.width)).convert("L")
    drawing.putpalette(palette.astype(np.uint8).tobytes())
    return drawing


@functools.cache
def _has_glyph(letter: str) -> bool:
    missing, found = (font(24).getmask(each) for each in (_NO_CHARACTER, letter))
    return (missing.size, bytes(missing)) != (found.size, bytes(found))
