import io

import jpeglib
import numpy as np
import pytest
from PIL import Image, ImageFont

from jpegkeras.jpeg import Component, JpegCoefficients, read_coefficients
from preprocess.inspection import band_maps, contact_sheet, drawing
from preprocess.inspection.bands import Band
from preprocess.inspection.contact_sheet import BOX, Tile
from preprocess.inspection.samples import choose_places

# Row and column of some zigzag positions, T.81 Figure A.6.
PLACES = {0: (0, 0), 1: (0, 1), 2: (1, 0), 3: (2, 0), 5: (0, 2), 9: (3, 0), 35: (7, 0), 63: (7, 7)}


def jpeg(seed=0, height=40, width=56, mode="RGB", **options):
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    picture.convert(mode).save(out, "JPEG", **{"quality": 85, **options})
    return out.getvalue()


def pixels(picture):
    return np.asarray(picture.convert("RGB"))


def bands(count, energy=1e5):
    """Bands of falling energy and rising share of zeros; each has a colour of its own."""
    energies = [energy / (1 + index) ** 2 for index in range(count)]
    total = sum(energies) or 1
    return [
        Band(index, 0, 0, 0.0, energies[index] ** 0.5, index / 64, energies[index], share / total)
        for index, share in enumerate(energies)
    ]


def band_picture(count, **components):
    entries = {"y": bands(count), "cb": bands(count), "cr": bands(count), **components}
    return pixels(band_maps.draw_band_maps(entries, "title", "subtitle"))


def cell(picture, panel, kind, row, column):
    """The pixels of one cell, without its border; `kind` 0 is the energy, 1 the zeros."""
    left = (72, 528)[kind] + 48 * column
    top = 84 + 46 + panel * 478 + 48 * row
    return picture[top : top + 47, left : left + 47]


@pytest.mark.parametrize("panel", [0, 1, 2])
def test_each_band_is_in_its_row_and_column_in_its_colour(panel):
    picture = band_picture(64)
    for index, (row, column) in PLACES.items():
        band = bands(64)[index]
        for kind, color in enumerate((band_maps.energy_color(band), band_maps.zeros_color(band))):
            found = cell(picture, panel, kind, row, column)
            # All round the number.
            assert (found[[0, 1, -2, -1]] == color).all(), (index, kind)
            assert (found != color).any()


@pytest.mark.parametrize("count", [1, 16, 63])
def test_what_is_not_stored_is_grey_and_has_no_number(count):
    picture = band_picture(count)
    order = sorted(
        ((row, column) for row in range(8) for column in range(8)),
        key=lambda place: (sum(place), place[0] if sum(place) % 2 else place[1]),
    )
    for index, place in enumerate(order):
        for kind in (0, 1):
            found = cell(picture, 1, kind, *place).astype(int)
            grey = (np.ptp(found, axis=-1) < 10).all() and found.min() > 180
            assert grey == (index >= count), (index, kind)
    assert (picture[-40:] != band_picture(64)[-40:]).any()  # the key to the hatching


def test_a_component_without_energy_says_so():
    empty = [Band(i, 0, 0, 0.0, 0.0, zeros=1.0, energy=0.0, energy_share=0.0) for i in range(16)]
    picture = band_picture(16, cb=empty, cr=empty)
    assert (cell(picture, 1, 0, 0, 0)[0] == band_maps.energy_color(empty[0])).all()
    assert min(band_maps.energy_color(empty[0])) > 240
    assert max(band_maps.zeros_color(empty[0])) < 120


def test_colours_follow_the_logarithm_of_the_share():
    shares = [1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5, 1e-9, 0.0]
    colors = [
        band_maps.energy_color(Band(0, 0, 0, 0.0, 0.0, 0.0, share, share)) for share in shares
    ]
    brightness = [sum(color) for color in colors]
    steps = np.diff(brightness[:6])
    assert (steps > 60).all()
    assert colors[5] == colors[6] == colors[7]


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (1.0, "100"),
        (0.9999, "100"),
        (0.9994, "99.9"),
        (0.7658, "76.6"),
        (0.0999, "9.99"),
        (0.0999999, "10.0"),
        (0.01234, "1.23"),
        (0.00999999, "1.00"),
        (0.00213, ".213"),
        (1e-5, ".001"),
        (9e-6, "<.001"),
        (0.0, "0"),
    ],
)
def test_shares_of_energy_are_written_in_few_letters(share, text):
    assert band_maps.format_energy(share) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0"),
        (1e-6, ".1"),
        (0.004, ".4"),
        (0.006, "1"),
        (0.365, "36"),
        (0.991, "99"),
        (0.995, "99.5"),
        (0.99999, "99.9"),
        (1.0, "100"),
    ],
)
def test_shares_of_zeros_are_0_and_100_only_where_they_are(share, text):
    assert band_maps.format_zeros(share) == text


def test_every_number_fits_into_its_cell():
    font = ImageFont.load_default(14)
    shares = [*np.geomspace(1e-12, 1, 500), 0.0]
    for text in {
        form(s) for s in shares for form in (band_maps.format_energy, band_maps.format_zeros)
    }:
        assert font.getlength(text) < 44, text


def test_long_titles_stay_inside_the_picture():
    entries = {key: bands(4) for key in ("y", "cb", "cr")}
    picture = pixels(band_maps.draw_band_maps(entries, "W" * 200, "w" * 400))
    assert (picture[:, -20:] == 255).all()
    assert (picture[:80] < 100).any()


def test_a_palette_keeps_the_flat_colours():
    rng = np.random.default_rng(0)
    array = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    array[:, :32] = (7, 130, 201)
    array[0, 40:] = (1, 2, 3)
    drawn = drawing.to_palette(Image.fromarray(array), [(1, 2, 3)])
    assert drawn.mode == "P"
    assert (pixels(drawn)[:, :32] == (7, 130, 201)).all()
    assert (pixels(drawn)[0, 40:] == (1, 2, 3)).all()
    # Noise of all colours in 256 of them; a wrong one would be 128 away on the average.
    assert np.abs(pixels(drawn).astype(int) - array).mean() < 40


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("size", [(40, 56), (8, 8), (1, 1), (3, 200)])
def test_decoding_gives_libjpegs_pixels(subsampling, size):
    data = jpeg(1, *size, subsampling=subsampling)
    decoded = contact_sheet.decode(read_coefficients(data))
    assert (np.asarray(decoded) == pixels(Image.open(io.BytesIO(data)))).all()


@pytest.mark.parametrize("count", [1, 16])
def test_frequencies_that_are_not_stored_are_decoded_as_zeros(tmp_path, count):
    (tmp_path / "whole.jpg").write_bytes(jpeg(2))
    whole = jpeglib.read_dct(str(tmp_path / "whole.jpg"))
    rows, columns = np.divmod(np.array(drawing_order()), 8)
    for plane in (whole.Y, whole.Cb, whole.Cr):
        plane[..., rows[count:], columns[count:]] = 0
    whole.write_dct(str(tmp_path / "lowest.jpg"))
    decoded = contact_sheet.decode(read_coefficients(tmp_path / "whole.jpg", num_frequencies=count))
    assert (np.asarray(decoded) == pixels(Image.open(tmp_path / "lowest.jpg"))).all()


def drawing_order():
    places = ((row, column) for row in range(8) for column in range(8))
    order = sorted(places, key=lambda p: (sum(p), p[0] if sum(p) % 2 else p[1]))
    return [8 * row + column for row, column in order]


def test_grayscale_is_decoded():
    decoded = contact_sheet.decode(read_coefficients(jpeg(3, mode="L")))
    assert decoded.mode == "RGB"
    assert np.ptp(np.asarray(decoded), axis=-1).max() == 0


def test_what_no_jpeg_can_hold_has_no_picture():
    blocks = np.full((1, 1, 2), 3000, np.int16)
    image = JpegCoefficients(8, 8, (Component(blocks, np.ones(2, np.uint16), (1, 1)),))
    assert contact_sheet.decode(image) is None
    sheet = contact_sheet.draw_contact_sheet([Tile(None, "a", "b", "c")], "title", "subtitle")
    assert sheet.width > BOX


@pytest.mark.parametrize(
    ("size", "fitted", "cut"),
    [
        ((8, 8), (144, 144), False),
        ((1, 1), (144, 144), False),
        ((64, 48), (128, 96), False),
        ((100, 60), (100, 60), False),
        ((144, 144), (144, 144), False),
        ((145, 144), (144, 143), False),
        ((4000, 3000), (144, 108), False),
        ((600, 100), (144, 24), False),
        ((2000, 16), (96, 16), True),
        ((3, 900), (24, 144), True),
        ((1, 65000), (24, 144), True),
        ((65000, 100), (144, 24), True),
    ],
)
def test_pictures_of_every_size_fit(size, fitted, cut):
    picture, was_cut = contact_sheet.fit(Image.new("RGB", size, "red"))
    assert (picture.size, was_cut) == (fitted, cut)
    assert (pixels(picture) == (255, 0, 0)).all()


def test_the_pixels_of_small_pictures_stay_as_they_are():
    small = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    picture, _ = contact_sheet.fit(Image.fromarray(small))
    assert (pixels(picture) == small.repeat(18, axis=0).repeat(18, axis=1)).all()


def test_the_middle_of_a_long_picture_is_shown():
    long = np.zeros((10, 900, 3), np.uint8)
    long[:, 420:480] = 200
    picture, cut = contact_sheet.fit(Image.fromarray(long))
    assert cut
    assert (pixels(picture) == 200).all()


def test_a_sheet_keeps_its_margins_and_the_gaps_between_tiles():
    picture = Image.new("RGB", (300, 200), "navy")
    tiles = [Tile(picture, "W" * 90, "class 0", "#123456789  65500x65500 or more")] * 9
    sheet = pixels(contact_sheet.draw_contact_sheet(tiles, "W" * 300, "w" * 300))
    across = BOX + 14
    assert sheet.shape[1] == 2 * 28 + 8 * across - 14
    assert (sheet[:, :26] == 255).all()
    assert (sheet[:, -26:] == 255).all()
    assert (sheet[-20:] == 255).all()
    for gap in range(1, 8):
        left = 28 + gap * across - 14
        assert (sheet[92:, left + 2 : left + 12] == 255).all()


def test_tiles_stand_row_by_row():
    colors = [(20 * index, 255 - 20 * index, 99) for index in range(11)]
    tiles = [
        Tile(Image.new("RGB", (BOX, BOX), color), f"t{index}", "", "c")
        for index, color in enumerate(colors)
    ]
    sheet = pixels(contact_sheet.draw_contact_sheet(tiles, "title", "subtitle"))
    for index, color in enumerate(colors):
        row, column = divmod(index, 8)
        top, left = 92 + row * (BOX + 46 + 14), 28 + column * (BOX + 14)
        assert (sheet[top : top + BOX, left : left + BOX] == color).all()


@pytest.mark.parametrize(("count", "columns"), [(1, 3), (2, 3), (8, 8), (64, 8), (1000, 32)])
def test_the_width_of_a_sheet(count, columns):
    tiles = [Tile(Image.new("RGB", (2, 2)), "a", "b", "c")] * count
    sheet = contact_sheet.draw_contact_sheet(tiles, "title", "subtitle")
    assert sheet.width == 2 * 28 + columns * (BOX + 14) - 14


@pytest.mark.parametrize(
    ("text", "spelt"),
    [
        ("coast, shore", "coast, shore"),
        ("café Ångström", "cafe Angstrom"),
        ("two\nlines \t here", "two lines here"),
        ("狗", None),
        ("\udcff", None),
        ("\x00", None),
        (" ", None),
        ("", None),
    ],
)
def test_names_are_written_as_far_as_the_font_goes(text, spelt):
    assert drawing.spell(text) == spelt


def test_shortened_names_fit_and_keep_their_beginning():
    short = drawing.shorten("a very long class name, and more of it", 14, 120)
    assert short.startswith("a very long")
    assert short.endswith("…")
    assert drawing.font(14).getlength(short) <= 120
    assert drawing.shorten("short", 14, 120) == "short"
    assert drawing.shorten("long", 14, 1) == "…"


@pytest.mark.parametrize(("records", "samples"), [(960, 32), (33, 32), (32, 32), (5, 32), (7, 1)])
def test_samples_are_spread_evenly(records, samples):
    places = choose_places(records, samples, seed=0)
    count = min(records, samples)
    assert len(places) == count
    for number, place in enumerate(places):
        assert number * records // count <= place < (number + 1) * records // count
    assert places == choose_places(records, samples, seed=0)


def test_samples_depend_on_the_seed_and_may_be_none():
    assert choose_places(10_000, 32, 0) != choose_places(10_000, 32, 1)
    assert choose_places(10, 0, 0) == choose_places(0, 10, 0) == []
