"""The picture of a batch: the right pixels, names and energies in the right places."""

from __future__ import annotations

import io

import numpy as np
import pytest
import scipy.fft
import tensorflow as tf
from PIL import Image

from jpegkeras import batch_picture
from jpegkeras.batch_picture import draw_batch, name_classes
from jpegkeras.jpeg import ZIGZAG, read_coefficients
from jpegkeras.sampling import COMPONENTS
from tests.datasets import draw_jpeg

NAMES = ("across", "down", "grain")


def inputs_of(jpegs, n=64):
    """A network's inputs, as they are in the files."""
    images = [read_coefficients(jpeg, n) for jpeg in jpegs]
    inputs = {
        key: np.stack([image.components[i].coefficients for image in images])
        for i, key in enumerate(COMPONENTS)
    }
    tables = [[component.quantization for component in image.components] for image in images]
    return {**inputs, "quantization": np.array(tables, np.uint16)}


def dequantized(inputs):
    return {
        key: inputs[key].astype(np.float32) * inputs["quantization"][:, None, i : i + 1, :]
        for i, key in enumerate(COMPONENTS)
    }


def open_png(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def contains(sheet, picture):
    """Whether a picture is somewhere on the sheet, pixel by pixel."""
    height, width = picture.shape[:2]
    rows, columns = np.nonzero((sheet == picture[0, 0]).all(axis=-1))
    return any(
        np.array_equal(sheet[row : row + height, column : column + width], picture)
        for row, column in zip(rows, columns)
    )


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_pictures_are_those_that_pillow_decodes_enlarged_by_a_whole_factor(tmp_path, subsampling):
    jpegs = [draw_jpeg(i % 3, i, subsampling=subsampling) for i in range(4)]
    draw_batch(inputs_of(jpegs), np.array([0, 1, 2, 0]), NAMES, tmp_path / "batch.png")
    sheet = open_png(tmp_path / "batch.png")
    pictures = batch_picture.decode(dequantized(inputs_of(jpegs)))
    for jpeg, picture in zip(jpegs, pictures):
        # Pillow's inverse DCT is one of whole numbers, ours is not.
        pixels = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))
        assert np.abs(picture.astype(int) - pixels).max() <= 3
        # 64 pixels become 192.
        assert contains(sheet, picture.repeat(3, axis=0).repeat(3, axis=1))


def test_bands_and_network_inputs_give_the_same_picture(tmp_path):
    inputs = inputs_of([draw_jpeg(i, 3) for i in range(3)], 16)
    draw_batch(inputs, np.arange(3), NAMES, tmp_path / "a.png")
    bands = {key: tf.constant(value) for key, value in dequantized(inputs).items()}
    draw_batch(bands, tf.one_hot([0, 1, 2], 3), NAMES, tmp_path / "b.png")
    np.testing.assert_array_equal(open_png(tmp_path / "a.png"), open_png(tmp_path / "b.png"))


def test_fewer_frequencies_show_what_is_left_of_the_picture():
    jpeg = draw_jpeg(2, 0, subsampling="4:4:4")
    bands = dequantized(inputs_of([jpeg], 6))
    blocks = np.zeros((*bands["y"].shape[1:3], 64))
    blocks[..., ZIGZAG[:6]] = bands["y"][0]
    samples = scipy.fft.idctn(blocks.reshape(*blocks.shape[:2], 8, 8), axes=(2, 3), norm="ortho")
    luma = samples.transpose(0, 2, 1, 3).reshape(48, 64) + 128
    pixels = batch_picture.decode({**bands, "cb": 0 * bands["cb"], "cr": 0 * bands["cr"]})[0]
    np.testing.assert_allclose(pixels[..., 0], luma.clip(0, 255), atol=0.51)
    np.testing.assert_array_equal(pixels[..., 0], pixels[..., 2])


def test_energies_are_mean_squares_at_their_frequencies():
    bands = dequantized(inputs_of([draw_jpeg(0, 1), draw_jpeg(1, 2)], 10))
    bands["cr"][1] = 0
    energies = batch_picture.log_energies(bands)
    assert energies.shape == (2, 3, 8, 8)
    for image in range(2):
        for component, key in enumerate(COMPONENTS):
            for band in range(10):
                row, column = divmod(int(ZIGZAG[band]), 8)
                expected = np.mean(bands[key][image, ..., band].astype(np.float64) ** 2)
                found = energies[image, component, row, column]
                np.testing.assert_allclose(10.0**found, expected, rtol=1e-9)
    # Stripes across vary from top to bottom.
    assert np.nansum(10 ** energies[0, 0, 1:, 0]) > 10 * np.nansum(10 ** energies[0, 0, 0, 1:])
    assert np.isnan(energies[0, 0, 7, 7])
    assert np.isneginf(energies[1, 2, 0, 0])


def test_bands_that_the_network_does_not_see_are_grey():
    energy = np.full((8, 8), np.nan)
    energy[0, 0], energy[0, 1] = 6.0, -np.inf
    drawn = np.asarray(batch_picture._draw_map(energy))
    assert (drawn[-1, -1] == batch_picture._ABSENT).all()
    assert drawn[0, 0].sum() > 600
    assert drawn[0, 6].sum() < 30


@pytest.mark.parametrize(
    ("target", "lines"),
    [
        (1, ["down"]),
        (np.int64(2), ["grain"]),
        (7, ["class 7"]),
        (-1, ["class -1"]),
        ([0.0, 1.0, 0.0], ["down"]),
        ([0.3, 0.0, 0.7], ["grain 0.70", "across 0.30"]),
        ([0.02, 0.96, 0.02], ["down 0.96"]),
        ([0.4, 0.35, 0.25], ["across 0.40", "down 0.35"]),
        ([0.0, 0.0, 0.0], []),
    ],
)
def test_classes_are_named_with_their_weights(target, lines):
    assert name_classes(np.asarray(target), NAMES) == lines


def test_names_that_the_font_lacks_are_numbers():
    names = ("Käfer", "甲虫", "жук", " ", "two\nlines")
    found = [name_classes(np.asarray(i), names)[0] for i in range(5)]
    assert found == ["Käfer", "class 1", "жук", "class 3", "two lines"]


def test_a_long_name_is_shortened_and_keeps_its_weight():
    text = batch_picture._shorten("a class with a very long name 0.70", 13, 150)
    assert text.endswith("… 0.70")
    assert text.startswith("a class")
    assert batch_picture._font(13).getlength(text) <= 150
    assert batch_picture._shorten("x" * 100, 13, 60).endswith("x…")


def test_at_most_32_images_are_drawn(tmp_path):
    inputs = inputs_of([draw_jpeg(i % 3, i, height=16, width=16) for i in range(40)], 4)
    labels = np.arange(40) % 3
    draw_batch(inputs, labels, NAMES, tmp_path / "all.png")
    first = {key: value[:32] for key, value in inputs.items()}
    draw_batch(first, labels[:32], NAMES, tmp_path / "first.png")
    np.testing.assert_array_equal(open_png(tmp_path / "all.png"), open_png(tmp_path / "first.png"))


@pytest.mark.parametrize(("height", "width"), [(8, 8), (640, 480), (16, 256)])
def test_pictures_of_any_size_are_drawn(tmp_path, height, width):
    jpegs = [draw_jpeg(i, i, height=height, width=width, subsampling="4:4:4") for i in range(2)]
    draw_batch(inputs_of(jpegs, 3), [0, 1], NAMES, tmp_path / "batch.png", title="x" * 300)
    sheet = open_png(tmp_path / "batch.png")
    assert sheet.shape[0] < 900
    assert sheet.shape[1] < 2300
    # Half of a picture of 640 pixels is shown, and all of its width.
    if height == 640:
        assert sheet.shape[0] > 320


def test_what_is_no_number_is_counted(tmp_path, monkeypatch):
    bands = dequantized(inputs_of([draw_jpeg(0, 0), draw_jpeg(1, 0)], 5))
    bands["y"][1, 0, 0, :3] = np.nan
    bands["cr"][1, 0, 0, 4] = np.inf
    written = []
    shorten = batch_picture._shorten
    monkeypatch.setattr(
        batch_picture, "_shorten", lambda text, *rest: written.append(text) or shorten(text, *rest)
    )
    draw_batch(bands, [0, 1], NAMES, tmp_path / "batch.png", title="a title")
    assert written == ["a title", "across", "down", "4 values not finite"]


def test_shapes_that_do_not_fit_are_errors(tmp_path):
    inputs = inputs_of([draw_jpeg(0, 0)], 5)
    path = tmp_path / "batch.png"
    with pytest.raises(ValueError, match="got 1 images and 2 targets"):
        draw_batch(inputs, [0, 1], NAMES, path)
    with pytest.raises(ValueError, match=r"\['cb'\] are missing"):
        draw_batch({key: inputs[key] for key in ("y", "cr")}, [0], NAMES, path)
    with pytest.raises(ValueError, match="times the blocks of chroma"):
        draw_batch({**inputs, "cr": inputs["cr"][:, :2]}, [0], NAMES, path)
    assert not path.exists()
