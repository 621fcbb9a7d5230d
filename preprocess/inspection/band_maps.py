"""`bands.png`: where in the 8×8 block of frequencies the energy is, and where the zeros are."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

from jpegkeras.jpeg import ZIGZAG
from preprocess.inspection.bands import NAMES, Band
from preprocess.inspection.drawing import (
    FAINT_INK,
    INK,
    WHITE,
    Color,
    blend,
    hatch,
    ink_on,
    shorten,
    to_palette,
    write,
    write_upwards,
)

_SIDE = 8
_BANDS = _SIDE * _SIDE
_CELL = 48
_MAP = _SIDE * _CELL
_MARGIN = 28
_AXIS = 44  # left of a map: "vertical frequency" and the numbers of the rows
_GAP = 28  # between the two maps of a component
_HEADER = 84  # title and subtitle of the picture
_PANEL_HEADER = 46  # above a map: its title and the numbers of the columns
_PANEL = _PANEL_HEADER + _MAP + 48  # and "horizontal frequency" below it
_LEGEND = 80
_WIDTH = 2 * _MARGIN + 2 * (_AXIS + _MAP) + _GAP

_TITLE, _HEADING, _TEXT, _SMALL = 24, 17, 14, 13
_BLUES = ((248, 250, 253), (194, 217, 236), (113, 168, 208), (43, 108, 166), (11, 42, 92))
_REDS = ((253, 249, 244), (250, 221, 186), (240, 163, 96), (203, 96, 40), (108, 40, 16))
# Shares of the energy span many powers of ten; less than the least has the least one's colour.
_LEAST_SHARE = 1e-5
_DECADES = 5
_LEGEND_STEP = 16
_LEGEND_STEPS = _MAP // _LEGEND_STEP
_SHADES = 8  # of a letter's edges


def draw_band_maps(bands: dict[str, Sequence[Band]], title: str, subtitle: str) -> Image.Image:
    """Draws two 8×8 maps a component: its bands' shares of the energy, and their shares of zeros.

    Row and column of a cell are the vertical and the horizontal frequency (T.81 Figure A.6). What
    the records do not hold is hatched. The picture has a palette (mode P).
    """
    height = _HEADER + len(bands) * _PANEL + _LEGEND
    image = Image.new("RGB", (_WIDTH, height), WHITE)
    draw = ImageDraw.Draw(image)
    room = _WIDTH - 2 * _MARGIN
    write(draw, (_MARGIN, 24), shorten(title, _TITLE, room), _TITLE)
    write(draw, (_MARGIN, 56), shorten(subtitle, _TEXT, room), _TEXT, FAINT_INK)
    lefts = (_MARGIN + _AXIS, _WIDTH - _MARGIN - _MAP)
    for number, (component, entries) in enumerate(bands.items()):
        top = _HEADER + number * _PANEL
        name = NAMES[component]
        total = f"mean of a block: {_describe_energy(sum(band.energy for band in entries))}"
        energy = [(energy_color(band), format_energy(band.energy_share)) for band in entries]
        zeros = [(zeros_color(band), format_zeros(band.zeros)) for band in entries]
        _draw_map(image, lefts[0], top, f"{name}: share of energy, %", total, energy)
        _draw_map(image, lefts[1], top, f"{name}: zeros, %", "", zeros)
    top = height - _LEGEND + 12
    ticks = [(step / _DECADES, f"{100 * 10 ** (step - _DECADES):g}") for step in range(6)]
    _draw_legend(draw, lefts[0], top, _BLUES, ticks, "% of the component's energy, log scale")
    ticks = [(share / 100, str(share)) for share in range(0, 101, 20)]
    _draw_legend(draw, lefts[1], top, _REDS, ticks, "% of the coefficients that are zero")
    if any(len(entries) < _BANDS for entries in bands.values()):
        _draw_key(draw, lefts[1] + _MAP, top + 46)
    letters = ((WHITE, INK), (WHITE, FAINT_INK))
    kept = [blend(pair, step / _SHADES) for pair in letters for step in range(_SHADES + 1)]
    return to_palette(image, [*_scale(_BLUES), *_scale(_REDS), *kept])


def energy_color(band: Band) -> Color:
    """Returns the colour of a band's share of the energy."""
    return blend(_BLUES, 1 + _log10(band.energy_share) / _DECADES)


def zeros_color(band: Band) -> Color:
    """Returns the colour of a band's share of zeros."""
    return blend(_REDS, band.zeros)


def format_energy(share: float) -> str:
    """Returns a share of the energy in per cent, in at most five letters."""
    percent = 100 * share
    if not percent:
        return "0"
    if percent < 0.001:
        return "<.001"
    if percent < 0.9995:
        return f"{percent:.3f}".lstrip("0")
    if percent < 9.995:
        return f"{percent:.2f}"
    return "100" if percent > 99.95 else f"{percent:.1f}"


def format_zeros(share: float) -> str:
    """Returns a share of zeros in per cent; 100 and 0 are told from what only rounds to them."""
    percent = 100 * share
    if 99.5 <= percent < 100:
        return f"{math.floor(10 * percent) / 10:.1f}"
    if 0 < percent <= 0.5:
        return f"{max(percent, 0.1):.1f}".lstrip("0")
    return f"{percent:.0f}"


def _draw_map(
    image: Image.Image,
    left: int,
    top: int,
    title: str,
    note: str,
    cells: Sequence[tuple[Color, str]],
) -> None:
    draw = ImageDraw.Draw(image)
    write(draw, (left, top), title, _HEADING)
    write(draw, (left + _MAP, top + 3), note, _SMALL, FAINT_INK, "ra")
    grid_top = top + _PANEL_HEADER
    for place in range(_SIDE):
        middle = place * _CELL + _CELL // 2
        write(draw, (left + middle, grid_top - 6), str(place), _SMALL, FAINT_INK, "ms")
        write(draw, (left - 8, grid_top + middle), str(place), _SMALL, FAINT_INK, "rm")
    write(
        draw,
        (left + _MAP // 2, grid_top + _MAP + 6),
        "horizontal frequency",
        _SMALL,
        FAINT_INK,
        "ma",
    )
    write_upwards(image, (left - 32, grid_top + _MAP // 2), "vertical frequency", _SMALL, FAINT_INK)
    for zigzag, raster in enumerate(ZIGZAG.tolist()):
        row, column = divmod(raster, _SIDE)
        x, y = left + column * _CELL, grid_top + row * _CELL
        if zigzag >= len(cells):
            hatch(draw, (x, y, x + _CELL - 1, y + _CELL - 1))
            continue
        color, text = cells[zigzag]
        draw.rectangle((x, y, x + _CELL - 2, y + _CELL - 2), color)
        center = (x + _CELL // 2 - 1, y + _CELL // 2 - 1)
        write(draw, center, text, _TEXT, ink_on(color), "mm")
    draw.rectangle((left - 1, grid_top - 1, left + _MAP - 1, grid_top + _MAP - 1), None, FAINT_INK)


def _draw_legend(
    draw: ImageDraw.ImageDraw,
    left: int,
    top: int,
    anchors: Sequence[Color],
    ticks: Sequence[tuple[float, str]],
    caption: str,
) -> None:
    for step, color in enumerate(_scale(anchors)):
        x = left + step * _LEGEND_STEP
        draw.rectangle((x, top, x + _LEGEND_STEP - 1, top + 12), color)
    draw.rectangle((left - 1, top - 1, left + _MAP, top + 13), None, FAINT_INK)
    for position, text in ticks:
        x = left + round(position * (_MAP - 1))
        anchor = "la" if position == 0 else "ra" if position == 1 else "ma"
        write(draw, (x, top + 20), text, _SMALL, INK, anchor)
    write(draw, (left, top + 42), caption, _SMALL, FAINT_INK)


def _scale(anchors: Sequence[Color]) -> list[Color]:
    return [blend(anchors, step / (_LEGEND_STEPS - 1)) for step in range(_LEGEND_STEPS)]


def _draw_key(draw: ImageDraw.ImageDraw, right: int, middle: int) -> None:
    hatch(draw, (right - 92, middle - 4, right - 74, middle + 14))
    write(draw, (right, middle - 4), "not stored", _SMALL, FAINT_INK, "ra")


def _describe_energy(energy: float) -> str:
    return f"{energy:,.0f}" if energy < 1e9 else f"{energy:.3g}"


def _log10(share: float) -> float:
    return math.log10(max(share, _LEAST_SHARE))
