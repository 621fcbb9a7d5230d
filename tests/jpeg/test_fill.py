"""on_truncated="fill" gives what libjpeg gives of files that are cut off or damaged."""

from __future__ import annotations

import numpy as np
import pytest

from jpegkeras.jpeg import JpegError, JpegFormatError, read_batch, read_coefficients
from tests.jpeg import encoder
from tests.jpeg.conftest import draw_pixels, save
from tests.trust import libjpeg

FILES = {
    "sequential": lambda: save(draw_pixels(1, 40, 50), quality=85),
    "restarts": lambda: save(draw_pixels(2, 64, 64), restart_marker_blocks=2),
    "gray, restarts": lambda: save(draw_pixels(3, 50, 70, channels=1), restart_marker_rows=1),
    "scans": lambda: encoder.encode(
        encoder.draw_image(4, 40, 50, [(2, 1), (1, 1), (1, 1)]), [[0], [1, 2]], "long", 3
    ),
    "progressive": lambda: save(draw_pixels(5, 50, 70), progressive=True),
    "progressive, restarts": lambda: save(
        draw_pixels(6, 50, 70), progressive=True, restart_marker_blocks=3
    ),
}


@pytest.fixture(scope="module")
def oracle():
    loaded = libjpeg.load()
    if loaded is None:
        pytest.skip(f"the comparison with libjpeg needs {libjpeg.NEEDS}")
    return loaded


def check(oracle, data):
    """Compare with libjpeg; return whether the image was complete, None if there was none."""
    try:
        read = read_coefficients(data, on_truncated="fill")
    except JpegError:
        return None
    expected = oracle.read(data)
    if expected.error is not None:  # it gives up on damaged segments that ours reads up to
        assert not read.complete
        return None
    for component, plane in zip(read.components, expected.planes):
        np.testing.assert_array_equal(component.coefficients, plane.coefficients)
    return read.complete


def first_scan(data):
    return data.index(b"\xff\xda") + 14


@pytest.mark.parametrize("name", FILES)
def test_truncated_files(oracle, name):
    data = FILES[name]()
    lengths = range(first_scan(data), len(data), 5)
    # Where a scan header is cut, libjpeg takes the end that it makes up for the rest of it.
    lengths = [at for at in lengths if at - data.rindex(b"\xff\xda", 0, at) >= 14]
    results = [check(oracle, data[:length]) for length in lengths]
    assert results.count(False) > 0.8 * len(results)
    assert check(oracle, data) is True


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["bits", "bytes", "markers"])
def test_damaged_files(oracle, name, kind):
    rng = np.random.default_rng(len(name))
    data = FILES[name]()
    results = []
    for _ in range(150):
        damaged = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(first_scan(data), len(damaged) - 1))
            if kind == "bits":
                damaged[at] ^= 1 << int(rng.integers(8))
            elif kind == "bytes":
                damaged[at] = int(rng.integers(255))
            else:
                damaged[at : at + 2] = bytes([0xFF, 0xD0 + int(rng.integers(8))])
        results.append(check(oracle, bytes(damaged)))
    assert results.count(False) > 10, results


def test_what_was_read_is_kept_and_the_rest_is_zero():
    image = encoder.draw_image(7, 80, 80, [(1, 1)], density=0.5)
    data = encoder.encode(image)
    half = read_coefficients(data[: len(data) // 2], on_truncated="fill")
    assert not half.complete
    read = half.components[0].coefficients.reshape(-1, 64)
    whole = image.planes[0].coefficients.reshape(-1, 64)
    same = (read == whole).all(axis=1)
    known = int(same.argmin())
    assert 30 < known < 70
    assert not read[known + 1 :].any()


def test_nothing_to_fill_with():
    data = FILES["sequential"]()
    for length in (0, 10, data.index(b"\xff\xda")):
        with pytest.raises(JpegFormatError):
            read_coefficients(data[:length], on_truncated="fill")


def test_fill_leaves_what_is_whole_alone():
    for name in FILES:
        data = FILES[name]()
        (filled,), plain = read_batch([data], on_truncated="fill"), read_coefficients(data)
        assert filled.complete and plain.complete
        for a, b in zip(filled.components, plain.components):
            np.testing.assert_array_equal(a.coefficients, b.coefficients)


def test_batches_are_filled_one_by_one():
    data = FILES["restarts"]()
    images = read_batch([data, data[:-100], data], 16, on_truncated="fill")
    assert [image.complete for image in images] == [True, False, True]
    assert images[1].num_frequencies == 16
