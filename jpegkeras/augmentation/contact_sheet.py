"""Draws pictures in rows and columns under their titles, with Pillow."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jpegkeras.augmentation.columns import Column

_WHITE, _INK, _FAINT = (255, 255, 255), (32, 36, 42), (104, 112, 122)
_MARGIN, _GAP, _HEADER, _TITLES, _PANEL_GAP = 16, 6, 68, 44, 14
_LARGE, _TEXT, _SMALL = 22, 14, 12
# Pictures are enlarged by a whole factor until a title has room beside the next one.
_LEAST_SIDE = 96
# More columns than that go below, as a panel of the same rows: a page shows no wider sheet.
_PANEL = 11


def draw_sheet(columns: Sequence[Column], title: str, subtitle: str) -> Image.Image:
    """Returns the sheet: a row an image, a column a transform; many columns in several panels."""
    count, height, width, _ = columns[0].pictures.shape
    factor = -(-_LEAST_SIDE // width)
    across, down = width * factor + _GAP, height * factor + _GAP
    panel_height = _TITLES + count * down + _PANEL_GAP
    panels = -(-len(columns) // _PANEL)
    per_panel = -(-len(columns) // panels)
    size = (2 * _MARGIN + per_panel * across - _GAP, _HEADER + panels * panel_height)
    sheet = Image.new("RGB", size, _WHITE)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, 14), title, _INK, _font(_LARGE))
    draw.text((_MARGIN, 44), subtitle, _FAINT, _font(_TEXT))
    for index, column in enumerate(columns):
        panel, place = divmod(index, per_panel)
        left, top = _MARGIN + place * across, _HEADER + panel * panel_height
        draw.text((left, top + 6), column.title, _INK, _font(_TEXT))
        draw.text((left, top + 24), column.amount, _FAINT, _font(_SMALL))
        for row, picture in enumerate(column.pictures):
            enlarged = np.repeat(np.repeat(picture, factor, axis=0), factor, axis=1)
            sheet.paste(Image.fromarray(enlarged), (left, top + _TITLES + row * down))
    return sheet


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
