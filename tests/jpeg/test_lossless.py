"""Mirrored, turned and cropped coefficients are those of jpegtran, bit for bit."""

from __future__ import annotations

import dataclasses
import functools
import io
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image, ImageOps

from jpegkeras.jpeg import Component, JpegCoefficients, lossless, read_coefficients
from jpegkeras.jpeg.writer import write_coefficients
from tests.jpeg import encoder
from tests.jpeg.conftest import draw_pixels, save

SAMPLINGS = {
    "gray": ((1, 1),),
    "gray by factors 2": ((2, 2),),
    "4:4:4": ((1, 1),) * 3,
    "4:4:4 by factors 2": ((2, 1),) * 3,
    "4:2:2": ((2, 1), (1, 1), (1, 1)),
    "4:4:0": ((1, 2), (1, 1), (1, 1)),
    "4:2:0": ((2, 2), (1, 1), (1, 1)),
    "4:1:1": ((4, 1), (1, 1), (1, 1)),
    "4:1:0": ((4, 2), (1, 1), (1, 1)),
    "3:2": ((3, 1), (2, 1), (2, 1)),
    "luma smaller": ((1, 1), (2, 2), (2, 2)),
    "chroma unlike": ((2, 2), (2, 1), (1, 2)),
}
# Height and width: MCUs whole in all of the samplings, in one direction, in some, in none; none at
# all.
SIZES = [(64, 96), (64, 75), (41, 96), (40, 72), (70, 83), (33, 17), (7, 90), (5, 3)]

OPERATIONS = {
    "flip_horizontal": ["-flip", "horizontal"],
    "flip_vertical": ["-flip", "vertical"],
    "transpose": ["-transpose"],
    "transverse": ["-transverse"],
    "rotate_90": ["-rotate", "90"],
    "rotate_180": ["-rotate", "180"],
    "rotate_270": ["-rotate", "270"],
}
MIRRORING = [name for name in OPERATIONS if name != "transpose"]
# The axes of the stored image that an operation mirrors.
MIRRORED = {
    "flip_horizontal": ["width"],
    "flip_vertical": ["height"],
    "transverse": ["height", "width"],
    "rotate_90": ["height"],
    "rotate_180": ["height", "width"],
    "rotate_270": ["width"],
}
BACK = {"rotate_90": "rotate_270", "rotate_270": "rotate_90"}


@functools.cache
def encoded(sampling, size):
    return encoder.encode(encoder.draw_image(sum(size), *size, SAMPLINGS[sampling]))


def draw(sampling, size):
    return read_coefficients(encoded(sampling, size))


def run_jpegtran(data, *options):
    if shutil.which("jpegtran") is None:
        pytest.skip("jpegtran (libjpeg-turbo) is not installed")
    return subprocess.run(["jpegtran", "-copy", "none", *options], input=data, capture_output=True)


def jpegtran(data, *options):
    done = run_jpegtran(data, *options)
    assert done.returncode == 0
    assert done.stderr == b""
    return read_coefficients(done.stdout)


def check_same(image, expected):
    assert (image.height, image.width) == (expected.height, expected.width)
    assert len(image.components) == len(expected.components)
    for a, b in zip(image.components, expected.components):
        np.testing.assert_array_equal(a.coefficients, b.coefficients)
        np.testing.assert_array_equal(a.quantization, b.quantization)
        assert a.coefficients.flags.c_contiguous
        # libjpeg gives a single component the factors 1, whatever it had; they mean nothing.
        assert a.sampling == b.sampling or len(image.components) == 1


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_as_jpegtran(operation, sampling):
    for size in SIZES:
        expected = jpegtran(encoded(sampling, size), *OPERATIONS[operation])
        check_same(getattr(lossless, operation)(draw(sampling, size)), expected)


@pytest.mark.parametrize("operation", MIRRORING)
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_trimmed_as_jpegtran(operation, sampling):
    for size in SIZES:
        image = draw(sampling, size)
        mcu = dict(zip(("height", "width"), lossless.mcu_size(image)))
        turn = getattr(lossless, operation)
        if any(getattr(image, name) < mcu[name] for name in MIRRORED[operation]):
            with pytest.raises(ValueError, match="no whole MCU"):
                turn(image, edges="trim")
            continue
        expected = jpegtran(encoded(sampling, size), *OPERATIONS[operation], "-trim")
        check_same(turn(image, edges="trim"), expected)


@pytest.mark.parametrize("operation", MIRRORING)
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_refused_where_jpegtran_refuses(operation, sampling):
    seen = set()
    for size in SIZES:
        image, turn = draw(sampling, size), getattr(lossless, operation)
        done = run_jpegtran(encoded(sampling, size), *OPERATIONS[operation], "-perfect")
        seen.add(done.returncode)
        if done.returncode:
            with pytest.raises(ValueError, match="must be a multiple of the MCU's"):
                turn(image, edges="refuse")
        else:
            check_same(turn(image, edges="refuse"), read_coefficients(done.stdout))
    assert seen == {0, 1}


def test_refusal_names_the_stored_side():
    image = draw("4:2:0", (64, 75))
    for operation in ("flip_horizontal", "rotate_270", "rotate_180", "transverse"):
        with pytest.raises(ValueError, match="width must be .* 16 pixels, .* got 75"):
            getattr(lossless, operation)(image, edges="refuse")
    for operation in ("flip_vertical", "rotate_90"):
        getattr(lossless, operation)(image, edges="refuse")


def test_edges_are_checked():
    with pytest.raises(ValueError, match="keep, trim, refuse; got 'perfect'"):
        lossless.rotate_90(draw("gray", (5, 3)), edges="perfect")


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_doing_and_undoing(operation, sampling):
    back = getattr(lossless, BACK.get(operation, operation))
    for size in SIZES:
        image = draw(sampling, size)
        check_same(back(getattr(lossless, operation)(image)), image)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_compositions(sampling):
    for size in SIZES:
        image = turned = draw(sampling, size)
        for operation in ("rotate_90", "rotate_180", "rotate_270"):
            turned = lossless.rotate_90(turned)
            check_same(getattr(lossless, operation)(image), turned)
        check_same(lossless.rotate_90(turned), image)
        check_same(lossless.rotate_180(lossless.transpose(image)), lossless.transverse(image))
        check_same(
            lossless.flip_vertical(lossless.flip_horizontal(image)), lossless.rotate_180(image)
        )


@pytest.mark.parametrize("operation", [*OPERATIONS, "crop"])
def test_the_image_itself_is_left_alone(operation):
    image, untouched = draw("4:2:0", (70, 83)), draw("4:2:0", (70, 83))
    arguments = (0, 0, 70, 83) if operation == "crop" else ()
    result = getattr(lossless, operation)(image, *arguments)
    for component in result.components:
        component.coefficients[:] = 1
        component.quantization[:] = 1
    check_same(image, untouched)


def test_what_is_not_a_matter_of_place_is_kept():
    image = dataclasses.replace(draw("4:4:4", (16, 24)), rgb=True, orientation=6, complete=False)
    for operation in OPERATIONS:
        result = getattr(lossless, operation)(image)
        assert (result.rgb, result.orientation, result.complete) == (True, 6, False)
    result = lossless.crop(image, 8, 8, 8, 8)
    assert (result.rgb, result.orientation, result.complete) == (True, 6, False)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_crop_as_jpegtran(sampling):
    for size in [(64, 96), (70, 83)]:
        image = draw(sampling, size)
        mcu_height, mcu_width = lossless.mcu_size(image)
        for down, across, height, width in [
            (0, 0, image.height, image.width),
            (0, 0, 1, 1),
            (1, 1, 8, 8),
            (1, 0, 17, 21),
            (0, 2, 9, 19),
            (1, 1, image.height - mcu_height, image.width - mcu_width),
            (2, 1, image.height - 2 * mcu_height, 33),
        ]:
            top, left = down * mcu_height, across * mcu_width
            expected = jpegtran(encoded(sampling, size), "-crop", f"{width}x{height}+{left}+{top}")
            check_same(lossless.crop(image, top, left, height, width), expected)


def test_sizes_of_mcus():
    sizes = {name: lossless.mcu_size(draw(name, (64, 96))) for name in SAMPLINGS}
    assert sizes["gray"] == sizes["gray by factors 2"] == sizes["4:4:4"] == (8, 8)
    assert sizes["4:2:2"] == sizes["4:4:4 by factors 2"] == (8, 16)
    assert (sizes["4:4:0"], sizes["4:2:0"], sizes["4:1:1"]) == ((16, 8), (16, 16), (8, 32))
    assert (sizes["4:1:0"], sizes["3:2"]) == ((16, 32), (8, 24))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (20, 0, 8, 8),
            "top must be a multiple of the MCU's height, 16 .* got 20. Nearest: 16 and 32",
        ),
        (
            (0, 15, 8, 8),
            "left must be a multiple of the MCU's width, 16 .* got 15. Nearest: 0 and 16",
        ),
        ((0, 81, 2, 2), "Nearest: 80[.]"),
        ((-16, 0, 8, 8), "within the image, whose height is 70 pixels; got top -16 and height 8"),
        ((64, 0, 7, 8), "within the image, whose height is 70 pixels; got top 64 and height 7"),
        ((0, 80, 8, 4), "within the image, whose width is 83 pixels; got left 80 and width 4"),
        ((0, 0, 0, 8), "got top 0 and height 0"),
    ],
)
def test_crop_is_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        lossless.crop(draw("4:2:0", (70, 83)), *arguments)


def keep_frequencies(image, n):
    components = tuple(
        Component(c.coefficients[..., :n].copy(), c.quantization[:n], c.sampling)
        for c in image.components
    )
    return dataclasses.replace(image, components=components)


@pytest.mark.parametrize("n", range(1, 65))
def test_fewer_frequencies(n):
    image = draw("4:2:0", (41, 96))
    part = keep_frequencies(image, n)
    for operation in ("flip_horizontal", "flip_vertical", "rotate_180"):
        turn = getattr(lossless, operation)
        check_same(turn(part), keep_frequencies(turn(image), n))
    check_same(
        lossless.crop(part, 16, 32, 9, 9),
        keep_frequencies(lossless.crop(image, 16, 32, 9, 9), n),
    )
    diagonals = [count * (count + 1) // 2 for count in range(1, 9)]
    whole_diagonals = {*diagonals, *(64 - count for count in diagonals), 64}
    for operation in ("transpose", "transverse", "rotate_90", "rotate_270"):
        turn = getattr(lossless, operation)
        if n in whole_diagonals:
            check_same(turn(part), keep_frequencies(turn(image), n))
            continue
        with pytest.raises(ValueError, match=f"of {n} frequencies cannot be transposed"):
            turn(part)


def test_refusal_to_transpose_names_what_can_be():
    with pytest.raises(ValueError, match="15 or 21 frequencies, or of all 64"):
        lossless.transpose(keep_frequencies(draw("gray", (8, 8)), 16))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0", "gray"])
def test_orientations_as_pillow_turns_them(orientation, subsampling):
    pixels = draw_pixels(orientation, 64, 96, 1 if subsampling == "gray" else 3)
    pixels[:32] //= 2  # nothing is its own mirror image
    options = {} if subsampling == "gray" else {"subsampling": subsampling}
    image = read_coefficients(save(pixels, quality=95, **options))
    oriented = dataclasses.replace(image, orientation=orientation)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(write_coefficients(oriented))))
    upright = lossless.apply_orientation(oriented)
    assert upright.orientation == 1
    turned = Image.open(io.BytesIO(write_coefficients(upright)))
    assert turned.size == expected.size
    difference = np.abs(np.asarray(turned, np.int64) - np.asarray(expected, np.int64))
    # The decoder rounds rows and columns differently; turned another way, tens come out.
    assert difference.max() <= 4
    assert difference.mean() < 0.25


@pytest.mark.parametrize("orientation", range(2, 9))
def test_orientations_trim_what_is_mirrored(orientation):
    operation = {
        2: "flip_horizontal",
        3: "rotate_180",
        4: "flip_vertical",
        5: "transpose",
        6: "rotate_90",
        7: "transverse",
        8: "rotate_270",
    }[orientation]
    image = draw("4:2:0", (70, 83))
    options = [] if operation == "transpose" else ["-trim"]
    expected = jpegtran(encoded("4:2:0", (70, 83)), *OPERATIONS[operation], *options)
    oriented = dataclasses.replace(image, orientation=orientation)
    check_same(lossless.apply_orientation(oriented), expected)


def test_orientation_1_changes_nothing():
    image = draw("4:2:0", (5, 3))
    assert lossless.apply_orientation(image) is image


def test_orientations_that_would_leave_nothing_are_refused():
    for orientation, size, side in [(2, (40, 15), "width is 15"), (6, (9, 40), "height is 9")]:
        image = dataclasses.replace(draw("4:2:0", size), orientation=orientation)
        with pytest.raises(ValueError, match=f"{side} pixels has no whole MCU, 16 pixels"):
            lossless.apply_orientation(image)
    small = dataclasses.replace(draw("4:2:0", (5, 3)), orientation=5)  # nothing to mirror
    assert lossless.apply_orientation(small).width == 5


def test_real_images_as_jpegtran(sample_files):
    for path in sample_files[::10]:
        image, data = read_coefficients(path), path.read_bytes()
        for operation, options in OPERATIONS.items():
            check_same(getattr(lossless, operation)(image), jpegtran(data, *options))


def test_results_can_be_written():
    image = draw("4:2:2", (41, 96))
    for operation in OPERATIONS:
        turned = getattr(lossless, operation)(image)
        check_same(read_coefficients(write_coefficients(turned)), turned)


def test_the_largest_image_can_be_turned():
    component = Component(np.zeros((1, 8192, 1), np.int16), np.ones(1, np.uint16), (1, 1))
    turned = lossless.rotate_90(JpegCoefficients(1, 65535, (component,)))
    assert (turned.height, turned.width) == (65535, 1)
