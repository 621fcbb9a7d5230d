"""Batches, threads, and what reading imports."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jpegkeras.jpeg import JpegFormatError, read_batch, read_coefficients
from jpegkeras.jpeg.by_scans import read_by_scans
from jpegkeras.jpeg.frames import Limits
from tests.jpeg import encoder
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


@pytest.mark.parametrize("num_threads", [1, 2])
def test_batch_returns_errors_in_their_places(num_threads, tmp_path):
    good = save(draw_pixels(1, 40, 56))
    bad = [good[:-200], b"", b"no JPEG", tmp_path / "missing.jpg", good[:100]]
    items = [good, *bad, good] * 7
    results = read_batch(items, 64, num_threads, on_error="return")
    assert len(results) == len(items)
    for index, (item, result) in enumerate(zip(items, results)):
        if item is good:
            np.testing.assert_array_equal(
                result.components[0].coefficients,
                read_coefficients(good).components[0].coefficients,
            )
            continue
        expected = FileNotFoundError if isinstance(item, Path) else JpegFormatError
        assert type(result) is expected
        if expected is JpegFormatError:
            assert result.args[0].startswith(f"<bytes {index}>, byte ")
    with pytest.raises(ValueError, match="on_error must be 'raise' or 'return'; got 'skip'"):
        read_batch([good], on_error="skip")


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


def draw_plain_files():
    """JPEGs of one sequential scan, of all kinds that the fast decoder is for."""
    pixels = draw_pixels(1, 75, 130)
    thumbnail = encoder.segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\0\0" + save(draw_pixels(2, 40, 40)))
    yield from (save(pixels, quality=quality) for quality in (1, 10, 75, 95, 100))
    yield from (save(pixels, subsampling=name) for name in ("4:4:4", "4:2:2", "4:2:0"))
    yield from (save(pixels, restart_marker_blocks=blocks) for blocks in (1, 2, 7))
    yield save(pixels, optimize=True, restart_marker_rows=1)
    yield save(draw_pixels(1, 75, 130, channels=1))
    yield save(np.zeros((50, 50, 3), np.uint8))
    yield save(pixels, keep_rgb=True)
    for size in ((1, 1), (8, 9), (300, 5), (5, 300)):
        yield save(draw_pixels(1, *size))
    for factors in ([(4, 2), (1, 1), (1, 1)], [(1, 2), (1, 1), (1, 1)], [(1, 1), (2, 1), (1, 2)]):
        for tables in encoder.TABLES:
            image = encoder.draw_image(3, 41, 90, factors, density=0.5)
            yield encoder.encode(image, tables=tables, before_frame=thumbnail)
            yield encoder.encode(image, tables=tables, restart_interval=1)


def test_the_fast_decoder_takes_what_is_in_order(monkeypatch):
    items = list(draw_plain_files())
    expected = [read_by_scans(item, "", 64, Limits(1 << 20, 9)) for item in items]

    def fail(*arguments):
        raise AssertionError("decoded scan by scan")

    monkeypatch.setattr("jpegkeras.jpeg.reader._read_alone", fail)
    for item, image, other in zip(items, read_batch(items), expected):
        for a, b, c in zip(image.components, other.components, read_coefficients(item).components):
            np.testing.assert_array_equal(a.coefficients, b.coefficients)
            np.testing.assert_array_equal(c.coefficients, b.coefficients)
            np.testing.assert_array_equal(a.quantization, b.quantization)


def test_images_outlive_their_batch_and_memory_is_used_again():
    items = [save(draw_pixels(seed, 60, 60)) for seed in range(20)]
    first = read_batch(items)
    kept = first[3].components[0].coefficients
    expected = kept.copy()
    del first
    for _ in range(20):
        read_batch(items[::-1])
    np.testing.assert_array_equal(kept, expected)


@pytest.mark.parametrize("n", [1, 15, 16, 17, 64])
def test_batches_of_unlike_images(n):
    rng = np.random.default_rng(n)
    items = []
    for seed in range(60):
        height, width = rng.integers(1, 120, 2)
        options = {"quality": int(rng.integers(5, 100)), "optimize": bool(seed % 2)}
        if seed % 3 == 0:
            options["restart_marker_blocks"] = int(rng.integers(1, 9))
        items.append(save(draw_pixels(seed, height, width), **options))
    for item, image in zip(items, read_batch(items, n)):
        expected = read_by_scans(item, "", n, Limits(1 << 20, 9))
        assert (image.height, image.width) == (expected.height, expected.width)
        for a, b in zip(image.components, expected.components):
            np.testing.assert_array_equal(a.coefficients, b.coefficients)


def test_batch_items():
    data = save(draw_pixels(0, 20, 20))
    assert len(read_batch(item for item in [data, data])) == 2
    with pytest.raises(JpegFormatError, match=r"<bytes 17>, byte \d+: ") as info:
        read_batch([data] * 17 + [data[:-30]] + [b"no JPEG"] * 9)
    assert info.value.source == "<bytes 17>"
    for one in ("a.jpg", data, Path("a.jpg")):
        with pytest.raises(ValueError, match="must be several files"):
            read_batch(one)


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int64, np.uint64, float])
def test_kinds_of_numbers(kind):
    data = save(draw_pixels(0, 40, 40))
    expected = read_coefficients(data, 16)
    (image,) = read_batch([data], kind(16))
    for a, b in zip(image.components, expected.components):
        np.testing.assert_array_equal(a.coefficients, b.coefficients)
    with pytest.raises(ValueError, match="an integer from 1 to 64; got 16.5"):
        read_coefficients(data, 16.5)


def run_python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


def test_images_alive_at_shutdown_make_no_noise(tmp_path):
    path = tmp_path / "image.jpg"
    path.write_bytes(save(draw_pixels(0, 20, 20)))
    code = "import sys; from jpegkeras.jpeg import read_coefficients as read;"
    code += f"sys.keep = read({str(path)!r})"
    array = "; import numpy; numpy.keep = sys.keep.components[0].coefficients"
    for keep in (code, code + array):
        done = run_python(keep)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_fork_does_not_wait_for_the_parents_threads(tmp_path):
    path = tmp_path / "image.jpg"
    path.write_bytes(save(draw_pixels(0, 20, 20)))
    code = f"""
import os
from jpegkeras.jpeg import read_batch, reader
paths = [{str(path)!r}] * 40
read_batch(paths, num_threads=2)
reader._announced = False
reader._announce_lock.acquire()  # as a thread that loads the kernels holds it
child = os.fork()
if child == 0:
    read_batch(paths, num_threads=2)
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run_python(code).stdout.strip() == "7"
