"""Exact transforms: against pixels, against jpegtran, in NumPy, eagerly and inside tf.data."""

from __future__ import annotations

import io
import shutil
import subprocess

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from jpegkeras import transforms
from jpegkeras.jpeg import (
    Component,
    JpegCoefficients,
    lossless,
    read_coefficients,
    write_coefficients,
)
from jpegkeras.layers import bands_to_samples
from jpegkeras.sampling import COMPONENTS, SAMPLINGS
from tests.datasets import draw_jpeg

jpegtran = pytest.mark.skipif(
    shutil.which("jpegtran") is None, reason="jpegtran (Debian: libjpeg-turbo-progs) is not there"
)


def planes_of(image):
    return {key: c.coefficients for key, c in zip(COMPONENTS, image.components)}


def run_jpegtran(data, *arguments):
    result = subprocess.run(["jpegtran", *arguments], input=data, capture_output=True, check=True)
    return read_coefficients(result.stdout)


@jpegtran
@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("quality", [30, 100])
def test_flip_equals_jpegtran(sampling, quality):
    data = draw_jpeg(2, 5, height=48, width=64, quality=quality, subsampling=sampling)
    expected = planes_of(run_jpegtran(data, "-flip", "horizontal"))
    planes = planes_of(read_coefficients(data))
    for key in COMPONENTS:
        flipped = transforms.flip_horizontal(planes[key])
        assert flipped.dtype == np.int16
        np.testing.assert_array_equal(flipped, expected[key])


@jpegtran
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_crop_equals_jpegtran(sampling):
    data = draw_jpeg(2, 6, height=64, width=96, subsampling=sampling)
    h, v = SAMPLINGS[sampling]
    top, left = 1, 2
    expected = planes_of(run_jpegtran(data, "-crop", f"32x32+{left * 8 * h}+{top * 8 * v}"))
    cropped = transforms.crop(planes_of(read_coefficients(data)), top, left, 32, sampling)
    assert list(cropped) == list(COMPONENTS)
    for key in COMPONENTS:
        np.testing.assert_array_equal(cropped[key], expected[key])


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_flip_mirrors_the_samples(sampling):
    image = read_coefficients(draw_jpeg(0, 7, subsampling=sampling))
    for component in image.components:
        bands = (component.coefficients * component.quantization).astype(np.float32)[np.newaxis]
        samples = np.asarray(bands_to_samples(bands))
        flipped = np.asarray(bands_to_samples(transforms.flip_horizontal(bands)))
        # A sample that falls half-way between two levels may round the other way.
        np.testing.assert_allclose(flipped, samples[:, :, ::-1], atol=1)
        assert np.mean(flipped == samples[:, :, ::-1]) > 0.999


def test_flip_of_few_bands_is_the_flip_of_all_cut_short():
    coefficients = np.random.default_rng(0).integers(-99, 99, (3, 4, 64)).astype(np.int16)
    np.testing.assert_array_equal(
        transforms.flip_horizontal(coefficients[..., :5]),
        transforms.flip_horizontal(coefficients)[..., :5],
    )


def test_flip_is_the_same_eagerly_and_inside_tf_data():
    coefficients = np.random.default_rng(1).integers(-99, 99, (4, 3, 4, 16)).astype(np.int16)
    expected = transforms.flip_horizontal(coefficients)
    eager = transforms.flip_horizontal(tf.constant(coefficients))
    mapped = tf.data.Dataset.from_tensor_slices(coefficients).map(transforms.flip_horizontal)
    assert eager.dtype == tf.int16
    np.testing.assert_array_equal(eager, expected)
    np.testing.assert_array_equal(list(mapped.as_numpy_iterator()), expected)


@pytest.mark.parametrize(
    ("size", "expected"), [((48, 64), (0, 1)), ((50, 79), (0, 1)), ((33, 95), (0, 1))]
)
def test_center_offsets_of_whole_mcus(size, expected):
    assert transforms.center_offsets(*size, 32, "4:2:0") == expected


def test_center_offsets_depend_on_the_mcu():
    assert transforms.center_offsets(48, 64, 32, "4:2:2") == (1, 1)
    assert transforms.center_offsets(48, 64, 32, "4:4:4") == (1, 2)


JPEGTRAN_OPTIONS = {
    "flip_horizontal": ["-flip", "horizontal"],
    "flip_vertical": ["-flip", "vertical"],
    "rotate_180": ["-rotate", "180"],
    "transpose": ["-transpose"],
    "transverse": ["-transverse"],
    "rotate_90": ["-rotate", "90"],
    "rotate_270": ["-rotate", "270"],
}
SQUARE_SAMPLINGS = ("4:4:4", "4:2:0")


def image_of(coefficients):
    """An image as the transforms take it, with its tables."""
    tables = np.array([component.quantization for component in coefficients.components])
    return {**planes_of(coefficients), "quantization": tables}


def drawn(sampling="4:2:0", height=48, width=64):
    """An image of tables that are not symmetric, so that a table not transposed is seen."""
    data = draw_jpeg(2, 8, height=height, width=width, quality=60, subsampling=sampling)
    return data, image_of(read_coefficients(data))


def check_equal(image, expected):
    assert image.keys() == expected.keys()
    for key, value in expected.items():
        assert image[key].dtype == value.dtype
        np.testing.assert_array_equal(image[key], value)


def in_tf_data(function, image, *, unknown_sizes):
    """What `function` makes of an image inside tf.data, where sizes may not be known before."""
    dataset = tf.data.Dataset.from_tensors(image)
    if unknown_sizes:
        shapes = {
            key: tf.TensorSpec([None, None, value.shape[-1]], tf.int16)
            for key, value in image.items()
            if key != "quantization"
        }
        if "quantization" in image:
            shapes["quantization"] = tf.TensorSpec([3, image["y"].shape[-1]], tf.uint16)
        dataset = tf.data.Dataset.from_generator(lambda: [image], output_signature=shapes)
    (result,) = dataset.map(function).as_numpy_iterator()
    return result


@jpegtran
@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("orientation", JPEGTRAN_OPTIONS)
def test_orientations_equal_jpegtran_and_the_lossless_ones(orientation, sampling):
    data, image = drawn(sampling)
    exchanged = transforms.ORIENTATIONS[orientation].transposed
    if exchanged and sampling not in SQUARE_SAMPLINGS:
        with pytest.raises(ValueError, match="4:4:4 and 4:2:0 can be turned"):
            transforms.turn_image(image, orientation, sampling)
        return
    turned = transforms.turn_image(image, orientation, sampling)
    check_equal(turned, image_of(run_jpegtran(data, *JPEGTRAN_OPTIONS[orientation])))
    check_equal(turned, image_of(getattr(lossless, orientation)(read_coefficients(data))))
    for key in COMPONENTS:  # each has a function of its own
        function = getattr(transforms, orientation)
        np.testing.assert_array_equal(function(image[key]), turned[key])


def test_every_orientation_is_tested():
    assert {*JPEGTRAN_OPTIONS, "identity"} == {*transforms.ORIENTATIONS}


def test_the_tables_tell_whether_they_were_transposed():
    _, image = drawn()
    order = transforms.transposed_order(64)
    assert (image["quantization"][..., order] != image["quantization"]).any()


PIXEL_ORIENTATIONS = {
    "identity": None,
    "flip_horizontal": Image.Transpose.FLIP_LEFT_RIGHT,
    "flip_vertical": Image.Transpose.FLIP_TOP_BOTTOM,
    "rotate_180": Image.Transpose.ROTATE_180,
    "transpose": Image.Transpose.TRANSPOSE,
    "transverse": Image.Transpose.TRANSVERSE,
    "rotate_90": Image.Transpose.ROTATE_270,  # Pillow's go the other way round
    "rotate_270": Image.Transpose.ROTATE_90,
}


@pytest.mark.parametrize("orientation", transforms.ORIENTATIONS)
def test_orientations_turn_the_pixels(orientation):
    coefficients = read_coefficients(drawn("4:4:4")[0])
    turned = transforms.turn_image(image_of(coefficients), orientation, "4:4:4")
    rows, cols, _ = turned["y"].shape
    components = tuple(
        Component(np.ascontiguousarray(turned[key]), table, (1, 1))
        for key, table in zip(COMPONENTS, turned["quantization"])
    )
    written = write_coefficients(JpegCoefficients(8 * rows, 8 * cols, components))
    actual = np.asarray(Image.open(io.BytesIO(written)), int)
    original = Image.open(io.BytesIO(write_coefficients(coefficients)))
    way = PIXEL_ORIENTATIONS[orientation]
    expected = np.asarray(original if way is None else original.transpose(way), int)
    # The decoder rounds rows and columns differently.
    assert np.abs(actual - expected).max() <= 4
    assert np.abs(actual - expected).mean() < 0.25


@pytest.mark.parametrize("unknown_sizes", [False, True])
@pytest.mark.parametrize("sampling", SQUARE_SAMPLINGS)
@pytest.mark.parametrize("orientation", transforms.ORIENTATIONS)
def test_orientations_are_the_same_in_numpy_eagerly_and_inside_tf_data(
    orientation, sampling, unknown_sizes
):
    _, image = drawn(sampling)
    expected = transforms.turn_image(image, orientation, sampling)

    def function(image):
        return transforms.turn_image(image, orientation, sampling)

    tensors = {key: tf.constant(value) for key, value in image.items()}
    check_equal({key: value.numpy() for key, value in function(tensors).items()}, expected)
    check_equal(in_tf_data(function, image, unknown_sizes=unknown_sizes), expected)


@pytest.mark.parametrize("n", range(1, 65))
def test_a_transpose_of_few_bands_is_that_of_all_cut_short_or_refused(n):
    coefficients = np.random.default_rng(n).integers(-99, 99, (3, 4, 64)).astype(np.int16)
    if n in lossless.TRANSPOSABLE:
        actual = transforms.transpose(coefficients[..., :n])
        np.testing.assert_array_equal(actual, transforms.transpose(coefficients)[..., :n])
        return
    with pytest.raises(ValueError, match=f"{n} frequencies cannot be transposed.*10, 15, 21"):
        transforms.transpose(coefficients[..., :n])


def test_an_unknown_orientation_is_refused():
    with pytest.raises(ValueError, match="one of identity, flip_horizontal.*got 'sideways'"):
        transforms.turn(np.zeros((1, 1, 1), np.int16), "sideways")


def test_partial_mcus_are_not_mirrored_or_moved():
    _, image = drawn(height=56)  # 3.5 MCUs
    for function in (
        lambda image: transforms.turn_image(image, "flip_vertical", "4:2:0"),
        lambda image: transforms.translate(image, 1, 0, "4:2:0"),
    ):
        with pytest.raises(ValueError, match=r"whole MCUs of 4:2:0.*\(7, 8\) and \(8, 8\)"):
            function(image)
        with pytest.raises(tf.errors.InvalidArgumentError, match="Crop it to whole MCUs first"):
            in_tf_data(function, image, unknown_sizes=True)
    flipped = transforms.turn_image(image, "flip_horizontal", "4:2:0")
    np.testing.assert_array_equal(flipped["y"], transforms.flip_horizontal(image["y"]))


@pytest.mark.parametrize("unknown_sizes", [False, True])
@pytest.mark.parametrize(("down", "across"), [(0, 0), (1, -2), (-2, 1), (3, 0), (0, -4), (9, 9)])
def test_translation_moves_the_samples(down, across, unknown_sizes):
    _, image = drawn()
    moved = transforms.translate(image, down, across, "4:2:0")
    for key in COMPONENTS:
        pixels = 16 if key == "y" else 8  # an MCU
        bands = image[key][np.newaxis].astype(np.float32)
        samples = np.asarray(bands_to_samples(bands))[0]
        expected = np.full_like(samples, 128)
        height, width = samples.shape
        for row in range(height):
            for col in range(0, width, 8):
                source = (row - down * pixels, col - across * pixels)
                if 0 <= source[0] < height and 0 <= source[1] < width:
                    expected[row, col : col + 8] = samples[source[0], source[1] : source[1] + 8]
        actual = np.asarray(bands_to_samples(moved[key][np.newaxis].astype(np.float32)))[0]
        np.testing.assert_array_equal(actual, expected)
        assert moved[key].dtype == np.int16

    def function(image):
        # As drawn in a graph: not known before.
        shifts = tf.constant([down, across]) + tf.cast(image["y"][0, 0, 0] * 0, tf.int32)
        return transforms.translate(image, shifts[0], shifts[1], "4:2:0")

    check_equal(in_tf_data(function, image, unknown_sizes=unknown_sizes), moved)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0, 40, "4:2:0"), "multiple of 16 pixels, an MCU of 4:2:0; got 40.*32 and 48"),
        ((0, 0, 0, "4:2:0"), "multiple of 16 .* got 0.*fit: 16"),
        ((0, 0, 64, "4:2:0"), "64 pixels does not fit an image of 3 × 4 MCUs.*of 16 up to 48"),
        ((2, 0, 32, "4:2:0"), "top must be 0 … 1 MCUs .* 32 pixels .* got 2"),
        ((0, -1, 32, "4:2:0"), "left must be 0 … 2 MCUs .* got -1"),
    ],
)
def test_a_crop_that_does_not_fit_says_what_fits(arguments, message):
    _, image = drawn()
    with pytest.raises(ValueError, match=message):
        transforms.crop(image, *arguments)
    with pytest.raises(ValueError, match=message):
        transforms.crop({key: tf.constant(value) for key, value in image.items()}, *arguments)
    with pytest.raises(ValueError, match=message):
        in_tf_data(lambda i: transforms.crop(i, *arguments), image, unknown_sizes=False)


def test_a_crop_that_does_not_fit_says_so_in_a_graph_too():
    _, image = drawn()

    def function(image):
        return transforms.crop(image, tf.constant(2), tf.constant(0), 32, "4:2:0")

    with pytest.raises(tf.errors.InvalidArgumentError, match="multiples of 16 up to"):
        in_tf_data(function, image, unknown_sizes=True)


def test_the_fitting_sizes_depend_on_the_sampling():
    _, image = drawn("4:4:4")
    with pytest.raises(ValueError, match="multiples of 8 up to 48"):
        transforms.crop(image, 0, 0, 56, "4:4:4")
    assert transforms.crop(image, 0, 1, 48, "4:4:4")["cb"].shape == (6, 6, 64)


@pytest.mark.parametrize("unknown_sizes", [False, True])
def test_crops_are_the_same_inside_tf_data(unknown_sizes):
    _, image = drawn()
    expected = transforms.crop(image, 1, 2, 32, "4:2:0")
    actual = in_tf_data(
        lambda i: transforms.crop(i, tf.constant(1), tf.constant(2), 32, "4:2:0"),
        image,
        unknown_sizes=unknown_sizes,
    )
    check_equal(actual, expected)
