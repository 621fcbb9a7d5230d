"""Resized planes beside float64 arithmetic, Pillow, and themselves turned around."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import fft

from benchmarks.drawing import draw_picture
from benchmarks.resizing_reference import decode_planes, measure_psnr, resize_planes
from jpegkeras import resizing
from jpegkeras.jpeg import ZIGZAG, Component, JpegCoefficients, lossless, read_coefficients
from jpegkeras.planes import weigh_axis
from jpegkeras.quality import quantization_tables
from jpegkeras.resampling import downscale
from jpegkeras.resizing import Encoding, count_frequencies, reencode, resize
from tests.jpeg.conftest import draw_pixels, save

FINE = np.ones(64, np.uint16)
ODD = np.arange(3, 67, dtype=np.uint16)
ORIENTATIONS = range(1, 9)


def read(height, width, sampling="4:2:0", seed=0, num_frequencies=64):
    """The coefficients of a drawn picture."""
    pixels = draw_pixels(seed, height, width, 1 if sampling == "gray" else 3)
    options = {} if sampling == "gray" else {"subsampling": sampling}
    return read_coefficients(save(pixels, quality=90, **options), num_frequencies)


def transform(plane, table):
    """The plane's DCT coefficients in steps of the table, float [rows, cols, 64], zigzag order."""
    height, width = plane.shape
    plane = np.pad(plane, ((0, -height % 8), (0, -width % 8)), "edge")
    rows, cols = plane.shape[0] // 8, plane.shape[1] // 8
    blocks = plane.reshape(rows, 8, cols, 8).swapaxes(1, 2)
    blocks = fft.dctn(blocks, axes=(2, 3), norm="ortho").reshape(rows, cols, 64)
    return blocks[..., ZIGZAG] / table


def assert_rounded(image, planes, tables):
    """The coefficients are those of the planes, rounded to the nearest, but for halves."""
    assert len(image.components) == len(planes)
    for component, plane, table in zip(image.components, planes, tables):
        expected = transform(plane, table)
        assert component.coefficients.shape == expected.shape
        assert np.abs(component.coefficients - expected).max() < 0.501
        np.testing.assert_array_equal(component.quantization, table)


def checked(image):
    """The image made anew, with every check of its shapes."""
    components = tuple(
        Component(c.coefficients, c.quantization, c.sampling) for c in image.components
    )
    return JpegCoefficients(image.height, image.width, components)


SIZES = [
    ((64, 96), (48, 40)),
    ((61, 83), (45, 61)),
    ((61, 83), (37, 51)),
    ((37, 50), (90, 121)),
    ((24, 31), (24, 31)),
    ((1, 40), (3, 120)),
    ((50, 1), (17, 1)),
    ((1, 1), (9, 9)),
    ((3, 700), (2, 400)),
]


@pytest.mark.parametrize(("size", "new_size"), SIZES)
@pytest.mark.parametrize("source", ["4:4:4", "4:2:2", "4:2:0", "gray"])
@pytest.mark.parametrize("target", ["4:4:4", "4:2:2", "4:2:0"])
def test_the_coefficients_are_those_of_float64_arithmetic(
    size, new_size, source, target, monkeypatch
):
    monkeypatch.setattr(resizing, "REDUCING_GAPS", (np.inf, np.inf))
    image = read(*size, source)
    tables = [FINE, ODD, ODD]
    result = checked(resize(image, new_size, Encoding(target, tables)))
    assert (result.height, result.width) == new_size
    assert result.subsampling == ("gray" if source == "gray" else target)
    assert_rounded(result, resize_planes(image, *new_size, target), tables)


def decode_few(component, samples):
    """A plane decoded to 4 × 4 samples a block, cut to (height, width)."""
    rows, cols, _ = component.coefficients.shape
    blocks = np.empty((rows, cols, 64))
    blocks[..., ZIGZAG] = component.coefficients * component.quantization.astype(float)
    blocks = blocks.reshape(rows, cols, 8, 8)[..., :4, :4] / 2
    blocks = np.clip(fft.idctn(blocks, axes=(2, 3), norm="ortho"), -128, 127)
    return blocks.swapaxes(1, 2).reshape(4 * rows, 4 * cols)[: samples[0], : samples[1]]


@pytest.mark.parametrize(
    ("size", "new_size"), [((160, 240), (24, 36)), ((163, 205), (31, 39)), ((90, 1), (9, 1))]
)
def test_planes_that_shrink_by_far_are_decoded_to_fewer_samples(size, new_size):
    image = read(*size, "gray")
    result = checked(resize(image, new_size, Encoding("4:2:0", [ODD])))
    planes = [image.components[0]]
    plane = decode_few(planes[0], [max(1, (side + 1) // 2) for side in size])
    if size[1] == 1:  # one sample across is never more than one: all of them are decoded
        assert_rounded(result, resize_planes(image, *new_size, "4:2:0"), [ODD])
        return
    weights = []
    for old, new, samples in zip(size, new_size, plane.shape):
        step = old / new / 2
        firsts, counts, values = weigh_axis(samples, new, -(-new // 8), step / 2, step, False)
        matrix = np.zeros((new, samples))
        for index in range(new):
            taken = slice(firsts[index], firsts[index] + counts[index])
            matrix[index, taken] = values[index, : counts[index]]
        weights.append(matrix)
    expected = np.clip(weights[0] @ plane @ weights[1].T, -128, 127)
    assert_rounded(result, [expected], [ODD])


@pytest.mark.parametrize("factor", [2.5, 4, 5.3, 7, 9, 16])
@pytest.mark.parametrize("source", ["4:4:4", "4:2:0"])
def test_fewer_samples_hardly_change_the_picture(source, factor):
    """Far less than quantisation does: that of quality 75 is some 35 dB."""
    picture = draw_picture(np.random.default_rng(3), 490).crop((0, 0, 490, 331))
    image = read_coefficients(save(np.asarray(picture), quality=90, subsampling=source))
    new_size = round(331 / factor), round(490 / factor)
    result = resize(image, new_size, Encoding("4:2:0", [FINE] * 3))
    expected = resize_planes(image, *new_size, "4:2:0")
    for plane, other in zip(decode_planes(result), expected):
        assert measure_psnr(plane, other) > 45


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("target", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("factor", [0.7, 1.6, 5])
def test_what_is_not_decoded_need_not_be_read(orientation, target, factor):
    image = read(200, 290, "4:2:2", seed=4)
    new_size = round(200 / factor), round(290 / factor)
    factors = [component.sampling for component in image.components]
    needed = count_frequencies((200, 290), factors, new_size, target, orientation)
    assert needed == (28 if factor == 5 else 64)
    few = read(200, 290, "4:2:2", seed=4, num_frequencies=needed)
    encoding = Encoding(target, [ODD] * 3, orientation)
    results = [resize(image, new_size, encoding), resize(few, new_size, encoding)]
    for ours, expected in zip(*(result.components for result in results)):
        np.testing.assert_array_equal(ours.coefficients, expected.coefficients)
    fewer = read(200, 290, "4:2:2", seed=4, num_frequencies=needed - 1)
    with pytest.raises(ValueError, match=f"needs {needed} frequencies; got {needed - 1}"):
        resize(fewer, new_size, encoding)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("source", ["4:4:4", "4:2:2", "4:2:0", "gray"])
@pytest.mark.parametrize("new_size", [(31, 45), (96, 160), (9, 14)])
def test_turning_while_resizing_is_turning_before_it(orientation, source, new_size):
    # Whole MCUs, which can be turned without loss.
    image = read(64, 96, source, seed=5)
    turned = lossless.apply_orientation(
        JpegCoefficients(64, 96, image.components, orientation=orientation)
    )
    upright = new_size[::-1] if orientation > 4 else new_size
    expected = resize(turned, upright, Encoding("4:2:0", [FINE, ODD, ODD]))
    result = checked(resize(image, new_size, Encoding("4:2:0", [FINE, ODD, ODD], orientation)))
    assert (result.height, result.width) == (expected.height, expected.width) == upright
    for ours, component in zip(result.components, expected.components):
        difference = ours.coefficients.astype(int) - component.coefficients
        # What is added up in another order may be rounded to the other side of a half.
        assert np.abs(difference).max() <= 1
        assert (difference != 0).mean() < 2e-3


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("factor", [1, 2, 4, 8])
def test_means_of_what_is_turned(orientation, factor):
    """Odd sizes: the picture begins at another edge, with whole groups of samples there."""
    image = read(61, 83, "4:4:4", seed=6)
    result = checked(reencode(image, Encoding("4:4:4", [FINE] * 3, orientation), factor))
    planes = []
    for plane in decode_planes(image):
        plane = (
            np.array(Image.fromarray(plane.astype(np.float32)).transpose(_turn(orientation)))
            if orientation > 1
            else plane.astype(np.float32)
        )
        planes.append(average(plane, factor))
    assert (result.height, result.width) == planes[0].shape
    for component, plane in zip(result.components, planes):
        assert np.abs(component.coefficients - transform(plane, FINE)).max() < 0.51


def _turn(orientation):
    turns = Image.Transpose
    return {
        2: turns.FLIP_LEFT_RIGHT, 3: turns.ROTATE_180, 4: turns.FLIP_TOP_BOTTOM,
        5: turns.TRANSPOSE, 6: turns.ROTATE_270, 7: turns.TRANSVERSE, 8: turns.ROTATE_90,
    }[orientation]  # fmt: skip


def average(plane, factor):
    """Means of factor × factor samples; of fewer at the lower and right edges."""
    height, width = plane.shape
    rows, cols = -(-height // factor), -(-width // factor)
    return np.array(
        [
            [
                plane[y * factor : (y + 1) * factor, x * factor : (x + 1) * factor].mean()
                for x in range(cols)
            ]
            for y in range(rows)
        ]
    )


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_means_are_those_of_the_coefficient_domain(sampling, factor):
    image = read(64, 128, sampling, seed=7)
    expected = downscale(image, factor)
    tables = [component.quantization for component in image.components]
    result = reencode(image, Encoding(sampling, tables), factor)
    for ours, component in zip(result.components, expected.components):
        # But for halves, and for samples out of range, which are only clipped here.
        assert (ours.coefficients != component.coefficients).mean() < 0.02


@pytest.mark.parametrize("count", [1, 5, 30, 97, 400])
@pytest.mark.parametrize("size", [1, 2, 9, 64, 211])
def test_the_weights_are_those_of_pillow(size, count):
    firsts, counts, weights = weigh_axis(
        size, count, -(-count // 8), size / count / 2, size / count, False
    )
    for sample in range(0, size, 1 + size // 9):
        impulse = np.zeros((1, size), np.float32)
        impulse[0, sample] = 1
        picture = Image.fromarray(impulse).resize((count, 1), Image.Resampling.BICUBIC)
        ours = np.zeros(count)
        for index in range(count):
            tap = sample - firsts[index]
            ours[index] = weights[index, tap] if 0 <= tap < counts[index] else 0
        np.testing.assert_allclose(ours, np.asarray(picture)[0], atol=2e-6)
    assert np.all(firsts[count:] == firsts[count - 1])


def test_flat_pictures_stay_flat():
    for level in (0, 1, 77, 128, 255):
        image = read_coefficients(save(np.full((70, 50, 3), level, np.uint8), quality=100))
        result = resize(image, (21, 15), Encoding("4:2:0", [FINE] * 3))
        luma, *chroma = decode_planes(result)
        assert np.abs(luma + 128 - level).max() < 0.01
        assert all(np.abs(plane).max() < 0.01 for plane in chroma)
        for component in result.components:
            assert not component.coefficients[..., 1:].any()


def test_saturated_edges_do_not_ring_out_of_range():
    pixels = np.zeros((64, 64), np.uint8)
    pixels[:, 21:] = 255
    image = read_coefficients(save(pixels, quality=95))
    result = resize(image, (100, 100), Encoding("4:2:0", [FINE]))
    component = result.components[0]
    rows, cols, _ = component.coefficients.shape
    blocks = np.empty((rows, cols, 64))
    blocks[..., ZIGZAG] = component.coefficients
    samples = fft.idctn(blocks.reshape(rows, cols, 8, 8), axes=(2, 3), norm="ortho")
    assert samples.min() > -130 and samples.max() < 129


def test_tables_of_16_bits():
    table = np.linspace(1, 60000, 64).astype(np.uint16)
    coefficients = np.zeros((3, 5, 64), np.int16)
    coefficients[..., 0] = np.random.default_rng(0).integers(-900, 900, (3, 5))
    coefficients[..., 1] = 1
    image = JpegCoefficients(24, 40, (Component(coefficients, table, (1, 1)),))
    result = resize(image, (24, 40), Encoding("4:2:0", [ODD]))
    assert_rounded(result, decode_planes(image), [ODD])


def test_the_arrays_are_the_callers():
    image = read(40, 40)
    table = ODD.copy()
    result = resize(image, (20, 20), Encoding("4:2:0", [table] * 3))
    before = [component.coefficients.copy() for component in result.components]
    result.components[1].quantization[:] = 1
    np.testing.assert_array_equal(table, ODD)
    np.testing.assert_array_equal(result.components[2].quantization, ODD)
    resize(read(40, 40, seed=1), (20, 20), Encoding("4:2:0", [table] * 3))
    for component, expected in zip(result.components, before):
        np.testing.assert_array_equal(component.coefficients, expected)


@pytest.mark.parametrize(
    "factors", [((2, 2), (2, 1), (1, 1)), ((3, 1), (2, 1), (2, 1)), ((1, 1), (2, 1), (2, 1))]
)
def test_other_sampling_factors_are_refused(factors):
    h_max, v_max = (max(pair[axis] for pair in factors) for axis in (0, 1))
    components = tuple(
        Component(np.zeros((-(-6 * v // v_max), -(-6 * h // h_max), 64), np.int16), ODD, (h, v))
        for h, v in factors
    )
    with pytest.raises(ValueError, match="cannot resize an image of the sampling factors"):
        resize(JpegCoefficients(48, 48, components), (20, 20), Encoding("4:2:0", [ODD] * 3))


def test_rgb_is_refused():
    data = save(draw_pixels(1, 40, 40), keep_rgb=True, subsampling="4:4:4")
    with pytest.raises(ValueError, match="cannot resize"):
        resize(read_coefficients(data), (20, 20), Encoding("4:2:0", [ODD] * 3))


@pytest.mark.parametrize("ratio", [(4, 1), (4, 2), (1, 2), (1, 4)])
def test_chroma_of_other_samplings_stays_in_its_place(ratio):
    """A ramp is a ramp at every sampling, but for the edges."""
    h, v = ratio
    size = 64, 128
    planes = []
    for width_ratio, height_ratio in ((1, 1), ratio, ratio):
        y, x = np.mgrid[: size[0] // height_ratio, : size[1] // width_ratio]
        across, down = (x + 0.5) * width_ratio, (y + 0.5) * height_ratio
        planes.append(across * 0.8 + down * 0.6 - 80)
    components = tuple(
        Component(np.rint(transform(plane, FINE)).astype(np.int16), FINE, factors)
        for plane, factors in zip(planes, (ratio, (1, 1), (1, 1)))
    )
    image = JpegCoefficients(*size, components)
    for new_size in ((32, 64), (50, 101), (96, 192), (10, 20)):
        result = resize(image, new_size, Encoding("4:2:0", [FINE] * 3))
        for plane in decode_planes(result)[1:]:
            y, x = np.mgrid[: plane.shape[0], : plane.shape[1]]
            across, down = (2 * x + 1) * size[1] / new_size[1], (2 * y + 1) * size[0] / new_size[0]
            expected = across * 0.8 + down * 0.6 - 80
            inner = np.s_[2:-2, 2:-2] if min(plane.shape) > 8 else np.s_[2:3, 4:6]
            assert np.abs(plane - expected)[inner].max() < 1.5
    assert {h, v} <= {1, 2, 4}


@pytest.mark.parametrize("quality", range(1, 101))
def test_the_tables_of_a_quality_are_those_of_libjpeg(quality):
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "JPEG", quality=quality)
    for ours, component in zip(
        quantization_tables(quality), read_coefficients(out.getvalue()).components
    ):
        assert ours.dtype == np.uint16
        np.testing.assert_array_equal(ours, component.quantization)


@pytest.mark.parametrize("quality", [0, 101])
def test_qualities_out_of_range(quality):
    with pytest.raises(ValueError, match=f"quality must be from 1 to 100; got {quality}"):
        quantization_tables(quality)


def digest():
    """Of results of every kernel."""
    found = hashlib.sha256()
    for source in ("4:4:4", "4:2:0", "gray"):
        image = read(121, 165, source, seed=8)
        for new_size in ((61, 83), (160, 219), (16, 22), (121, 165)):
            for orientation in (1, 7):
                encoding = Encoding("4:2:0", [FINE, ODD, ODD], orientation)
                for component in resize(image, new_size, encoding).components:
                    found.update(component.coefficients.tobytes())
        for factor in (1, 4):
            encoding = Encoding("4:2:2", [FINE, ODD, ODD])
            for component in reencode(image, encoding, factor).components:
                found.update(component.coefficients.tobytes())
    return found.hexdigest()


@pytest.mark.slow
def test_another_processor_gives_the_same_within_bounds(tmp_path):
    """Kernels compiled for any processor of this kind, each access by address checked."""
    code = "from tests import test_resizing; print(test_resizing.digest())"
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(tmp_path),
        "NUMBA_BOUNDSCHECK": "1",
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": "",
    }
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[1],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == digest()
