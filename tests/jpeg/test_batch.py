"""Batches, threads, and what reading imports."""

from __future__ import annotations

import logging
import subprocess
import sys

import numpy as np
import pytest

from jpegkeras.jpeg import JpegFormatError, read_batch, read_coefficients
from tests.jpeg.conftest import draw_pixels, save


@pytest.mark.parametrize("num_threads", [1, 2, None, 50])
@pytest.mark.parametrize("n", [16, 64])
def test_batch_is_one_by_one(num_threads, n, tmp_path):
    items = [
        save(draw_pixels(seed, 20 + 3 * seed, 90 - 2 * seed), quality=30 + seed, optimize=seed % 2)
        for seed in range(30)
    ]
    path = tmp_path / "image.jpg"
    path.write_bytes(items[7])
    items[7] = path
    batch = read_batch(items, n, num_threads)
    assert len(batch) == len(items)
    for item, image in zip(items, batch):
        expected = read_coefficients(item, n)
        assert (image.height, image.width) == (expected.height, expected.width)
        for a, b in zip(image.components, expected.components):
            np.testing.assert_array_equal(a.coefficients, b.coefficients)
            np.testing.assert_array_equal(a.quantization, b.quantization)


@pytest.mark.parametrize("num_threads", [1, 2])
def test_batch_raises_the_first_error(num_threads, tmp_path):
    good = save(draw_pixels(0, 20, 20))
    path = tmp_path / "bad.jpg"
    path.write_bytes(good[:-30])
    with pytest.raises(JpegFormatError, match=r"bad\.jpg"):
        read_batch([good, path, good, b"no JPEG"], num_threads=num_threads)


def test_batch_arguments():
    assert read_batch([]) == []
    with pytest.raises(ValueError, match="num_threads must be at least 1; got 0"):
        read_batch([save(draw_pixels(0, 8, 8))], num_threads=0)


def test_components_do_not_share_memory():
    components = read_coefficients(save(draw_pixels(0, 20, 20))).components
    before = components[2].quantization.copy(), components[2].coefficients.copy()
    components[1].quantization[:] = 0
    components[1].coefficients[:] = 7
    np.testing.assert_array_equal(components[2].quantization, before[0])
    np.testing.assert_array_equal(components[2].coefficients, before[1])


def test_reading_imports_no_tensorflow(tmp_path):
    path = tmp_path / "image.jpg"
    path.write_bytes(save(draw_pixels(0, 20, 20)))
    code = (
        "import sys; from jpegkeras.jpeg import read_coefficients, read_batch;"
        f"read_coefficients({str(path)!r}); read_batch([{str(path)!r}] * 3, num_threads=2);"
        "print(sorted({name.split('.')[0] for name in sys.modules}"
        " & {'tensorflow', 'keras', 'jax', 'torch'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_first_use_is_announced_once(caplog, monkeypatch):
    monkeypatch.setattr("jpegkeras.jpeg.reader._announced", False)
    data = save(draw_pixels(0, 20, 20))
    with caplog.at_level(logging.INFO, logger="jpegkeras.jpeg"):
        read_coefficients(data)
        read_coefficients(data)
    assert sum("Loading the JPEG kernels" in record.message for record in caplog.records) == 1
