"""`samples.png`: records decoded to pixels, side by side, each with its class and its size."""

from __future__ import annotations

import dataclasses
import io
import math
import warnings
from collections.abc import Sequence

from PIL import Image, ImageDraw

from jpegkeras.jpeg import JpegCoefficients, write_coefficients
from preprocess.inspection.drawing import (
    FAINT_INK,
    INK,
    WHITE,
    Color,
    shorten,
    spell,
    write,
)

BOX = 144  # into which every picture is fitted
_LABEL = 46  # two lines below it
_GAP = 14
_MARGIN = 28
_HEADER = 92
_LEAST_COLUMNS = 3  # so wide is a sheet at least, for its title
_USUAL_COLUMNS = 8
_TITLE, _TEXT, _SMALL = 24, 14, 12
_GROUND: Color = (240, 241, 243)
_FRAME: Color = (214, 217, 221)
# A picture that is longer is shown by its middle, or it would be a line.
_LONGEST = 6


@dataclasses.dataclass(frozen=True)
class Tile:
    """One picture of a sheet, or None where it cannot be shown, and the two lines below it.

    `title` is written as far as the font has its letters, else `substitute` is.
    """

    picture: Image.Image | None
    title: str
    substitute: str
    caption: str


def decode(image: JpegCoefficients) -> Image.Image | None:
    """Returns the RGB pixels that libjpeg decodes from the coefficients; missing ones are zero.

    None for what no baseline JPEG can hold, and for more pixels than Pillow decodes.
    """
    try:
        data = write_coefficients(image)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(io.BytesIO(data)).convert("RGB")
    except (ValueError, Image.DecompressionBombError):
        return None


def fit(picture: Image.Image) -> tuple[Image.Image, bool]:
    """Returns the picture as large as fits into `BOX` × `BOX`, and whether it was cut.

    A small one grows by a whole factor, so that its pixels are seen as they are; of one that is
    more than `_LONGEST` times as long as it is wide the middle is cut out.
    """
    longest = _LONGEST * min(picture.size)
    cut = max(picture.size) > longest
    if cut:
        width, height = (min(side, longest) for side in picture.size)
        left, top = (picture.width - width) // 2, (picture.height - height) // 2
        picture = picture.crop((left, top, left + width, top + height))
    factor = BOX // max(picture.size)
    if factor:
        size = (picture.width * factor, picture.height * factor)
        return picture.resize(size, Image.Resampling.NEAREST), cut
    scale = BOX / max(picture.size)
    size = tuple(max(1, round(side * scale)) for side in picture.size)
    return picture.resize(size, Image.Resampling.LANCZOS), cut


def draw_contact_sheet(tiles: Sequence[Tile], title: str, subtitle: str) -> Image.Image:
    """Draws the tiles row by row, eight in a row, or more if there are very many."""
    columns = min(len(tiles), max(_USUAL_COLUMNS, math.ceil(math.sqrt(len(tiles)))))
    rows = -(-len(tiles) // max(columns, 1))
    across, down = BOX + _GAP, BOX + _LABEL + _GAP
    width = 2 * _MARGIN + max(columns, _LEAST_COLUMNS) * across - _GAP
    sheet = Image.new("RGB", (width, _HEADER + rows * down - _GAP + _MARGIN), WHITE)
    draw = ImageDraw.Draw(sheet)
    room = width - 2 * _MARGIN
    write(draw, (_MARGIN, 24), shorten(title, _TITLE, room), _TITLE)
    write(draw, (_MARGIN, 56), shorten(subtitle, _TEXT, room), _TEXT, FAINT_INK)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        _draw_tile(sheet, tile, _MARGIN + column * across, _HEADER + row * down)
    return sheet


def _draw_tile(sheet: Image.Image, tile: Tile, left: int, top: int) -> None:
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((left, top, left + BOX - 1, top + BOX - 1), _GROUND)
    caption = tile.caption
    if tile.picture is None:
        middle = (left + BOX // 2, top + BOX // 2)
        write(draw, middle, "cannot be shown", _SMALL, FAINT_INK, "mm")
    else:
        picture, cut = fit(tile.picture)
        caption = f"{caption} cut" if cut else caption
        corner = (left + (BOX - picture.width) // 2, top + (BOX - picture.height) // 2)
        sheet.paste(picture, corner)
    draw.rectangle((left - 1, top - 1, left + BOX, top + BOX), None, _FRAME)
    title = spell(tile.title) or spell(tile.substitute) or ""
    write(draw, (left, top + BOX + 7), shorten(title, _TEXT, BOX), _TEXT, INK)
    caption = shorten(caption, _SMALL, BOX)
    write(draw, (left, top + BOX + 26), caption, _SMALL, FAINT_INK)
