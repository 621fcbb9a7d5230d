from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from jpegkeras import packed_reading
from jpegkeras.jpeg import JpegError, read_coefficients
from jpegkeras.packed_reading import Form, read_packed
from jpegkeras.record_format import pack_image
from jpegkeras.sampling import SAMPLINGS
from tests.jpeg import encoder

COUNTS = [1, 2, 9, 16, 63, 64]
SIZES = [(1, 1), (8, 8), (7, 130), (33, 17), (64, 64), (120, 200), (256, 256)]


def draw(seed, size, mode="RGB", contrast=40.0, **options):
    """A JPEG of noise that is coarse and fine, by Pillow."""
    rng = np.random.default_rng([seed, *size])
    height, width = size
    coarse = rng.normal(128, contrast, (height // 8 + 1, width // 8 + 1, 3))
    pixels = coarse.repeat(8, 0).repeat(8, 1)[:height, :width]
    pixels += rng.normal(0, contrast / 3, (height, width, 3))
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert(mode)
    out = io.BytesIO()
    image.save(out, "JPEG", **options)
    return out.getvalue()


def always(form):
    return True


def expected(data, count):
    """What `read_packed` may give: of a file that cannot be read, None."""
    try:
        image = read_coefficients(data, count)
    except JpegError:
        return None
    return pack_image(image) if len(image.components) == 3 else None


def assert_equal(found, wanted):
    assert found[:3] == wanted[:3]
    assert found.quantization.dtype == np.uint16
    np.testing.assert_array_equal(found.quantization, wanted.quantization)
    assert len(found.planes) == 3
    for one, other in zip(found.planes, wanted.planes):
        assert one.shape == other.shape
        for name, a, b in zip(one._fields[1:], one[1:], other[1:]):
            assert a.dtype == b.dtype, name
            np.testing.assert_array_equal(a, b, err_msg=name)


def plain():
    """What is read here: sizes, samplings, restart intervals, Huffman tables, qualities."""
    samplings = list(SAMPLINGS)
    items = [
        draw(n, size, subsampling=samplings[n % 3], quality=[75, 30, 100][n % 3])
        for n, size in enumerate(SIZES * 3)
    ]
    items += [
        draw(n, (90, 70), subsampling="4:2:0", quality=75, restart_marker_blocks=n)
        for n in range(1, 6)
    ]
    items += [draw(n, (60, 60), subsampling="4:4:4", optimize=True) for n in range(3)]
    # Most of the coefficients are more than an int8 holds.
    items += [draw(n, (99, 99), quality=100, contrast=500, subsampling="4:2:0") for n in range(3)]
    return items


def odd():
    """What is left to others."""
    whole = draw(0, (80, 80), subsampling="4:2:0")
    lines = encoder.segment(0xDC, (16).to_bytes(2, "big")) + b"\xff\xd9"
    return [
        encoder.encode(encoder.draw_image(0, 24, 24, ((1, 1),) * 3), end=lines),  # in fact 16
        draw(0, (80, 80), "L"),
        draw(1, (80, 80), progressive=True),
        whole[:-60],
        whole[:200],
        b"",
        b"no JPEG",
    ]


@pytest.mark.parametrize("count", COUNTS)
def test_what_is_read_is_what_is_read_and_packed_one_by_one(count):
    items = plain()
    found = read_packed(items, count, always)
    for one, data in zip(found, items):
        assert_equal(one, expected(data, count))


@pytest.mark.parametrize("count", [5, 64])
def test_others_are_left_out_and_change_nothing_beside_them(count):
    good, bad = plain(), odd()
    order = np.random.default_rng(0).permutation(len(good) + len(bad))
    items = [(good + bad)[index] for index in order]
    for index, data, one in zip(order, items, read_packed(items, count, always)):
        if index < len(good):
            assert_equal(one, expected(data, count))
        else:
            assert one is None


@pytest.mark.parametrize("seed", range(6))
def test_damage_is_seen_as_by_the_reader_alone(seed):
    rng = np.random.default_rng(seed)
    items = []
    for data in plain():
        damaged = bytearray(data)
        for _ in range(rng.integers(0, 3)):
            damaged[rng.integers(2, len(data))] = rng.integers(0, 256)
        items.append(bytes(damaged[: rng.choice([len(data), rng.integers(2, len(data))])]))
    count = int(rng.integers(1, 65))
    read = 0
    for data, one in zip(items, read_packed(items, count, always)):
        wanted = expected(data, count)
        if one is not None:
            assert_equal(one, wanted)
            read += 1
        elif wanted is not None:  # a sampling that no data set has, or another kind of frame
            with Image.open(io.BytesIO(data)) as picture:
                layers = [layer[1:3] for layer in picture.layer]
            assert layers[0] not in SAMPLINGS.values() or layers[1:] != [(1, 1)] * 2
    assert 0 < read < len(items)


def test_a_batch_of_its_own_for_each(monkeypatch):
    monkeypatch.setattr(packed_reading, "_BATCH_BYTES", 1)
    items = plain()[::4] + odd()
    for one, data in zip(read_packed(items, 20, always), items[: -len(odd())]):
        assert_equal(one, expected(data, 20))


def test_an_image_with_more_overflows_than_there_is_room_for(monkeypatch):
    items = [*plain(), *plain()[:2]]
    counts = [sum(len(p.overflow_index) for p in expected(data, 64).planes) for data in items]
    room = max(counts) - 1
    assert sum(counts) > 3 * room
    monkeypatch.setattr(packed_reading, "_OVERFLOWS", 0)
    monkeypatch.setattr(packed_reading, "_LEAST_OVERFLOWS", room)
    found = read_packed(items, 64, always)
    assert found[counts.index(max(counts))] is None
    # The image that comes after it finds room again.
    assert 1 < sum(one is None and count > 0 for one, count in zip(found, counts)) < 6
    for one, data in zip(found, items):
        if one is not None:
            assert_equal(one, expected(data, 64))
    assert all(one is not None for one, count in zip(found, counts) if not count)


def test_images_stay_what_they_are_while_others_are_read():
    items = plain()
    first = read_packed(items, 64, always)
    for _ in range(4):
        read_packed(items[::-1], 64, always)
    for one, data in zip(first, items):
        assert_equal(one, expected(data, 64))


def test_the_form_is_known_before(monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = 6
    items = [*plain(), draw(0, (40, 50), exif=exif, subsampling="4:2:2")]
    forms = []
    assert set(read_packed(items, 8, forms.append)) == {None}
    for form, data in zip(forms, items):
        image = read_coefficients(data)
        wanted = (image.height, image.width, image.subsampling, image.rgb, image.orientation)
        assert form == Form(*wanted)
    assert forms[-1].orientation == 6


def test_only_what_is_wanted_is_read():
    items = plain()
    found = read_packed(items, 8, lambda form: form.sampling == "4:2:2")
    for one, data in zip(found, items):
        wanted = expected(data, 8)
        assert (one is None) == (wanted.sampling != "4:2:2")
        if one is not None:
            assert_equal(one, wanted)


@pytest.mark.parametrize("factors", [((1, 1),) * 3, ((2, 1),) * 3, ((2, 2), (1, 2), (1, 2))])
def test_sampling_is_a_matter_of_ratios(factors):
    data = encoder.encode(encoder.draw_image(3, 50, 70, factors))
    image = read_coefficients(data, 12)
    (one,) = read_packed([data], 12, always)
    assert one.sampling == image.subsampling
    assert_equal(one, pack_image(image))


def test_a_sampling_of_no_data_set_is_left_out():
    items = [
        encoder.encode(encoder.draw_image(0, 50, 70, factors))
        for factors in [
            ((1, 2), (1, 1), (1, 1)),
            ((2, 2), (1, 1), (2, 1)),
            ((1, 1), (2, 2), (2, 2)),
        ]
    ]
    assert read_packed(items, 12, always) == [None] * 3


def test_no_items():
    assert read_packed([], 64, always) == []
