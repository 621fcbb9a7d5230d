from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from jpegkeras import batch_transcoding
from jpegkeras.batch_transcoding import BatchTranscoder
from jpegkeras.record_format import pack_image
from jpegkeras.transcoding import Transcoding, transcode
from tests.datasets import draw_jpeg
from tests.test_packed_reading import assert_equal


def turned(jpeg, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    Image.open(io.BytesIO(jpeg)).save(out, "JPEG", exif=exif, quality=80, subsampling="4:2:0")
    return out.getvalue()


def png(jpeg):
    out = io.BytesIO()
    Image.open(io.BytesIO(jpeg)).save(out, "PNG")
    return out.getvalue()


def in_rgb(jpeg):
    out = io.BytesIO()
    picture = Image.open(io.BytesIO(jpeg)).convert("RGB")
    picture.save(out, "JPEG", keep_rgb=True, subsampling="4:4:4")
    return out.getvalue()


JPEG = draw_jpeg(0, 0)
ODD = [
    draw_jpeg(1, 0, subsampling="4:4:4"),
    draw_jpeg(2, 0, height=64, width=48),
    draw_jpeg(0, 1, height=32),
    turned(JPEG, 6),
    png(JPEG),
    in_rgb(JPEG),
    JPEG[:-300],
    b"",
    b"no JPEG",
]
PLAIN = [draw_jpeg(0, seed, quality=50 + seed) for seed in range(20)]


def attempt(data, settings):
    try:
        return transcode(data, settings)
    except Exception as error:
        return error


@pytest.mark.parametrize(
    "settings",
    [
        Transcoding(),
        Transcoding(num_frequencies=9),
        Transcoding(subsampling="4:4:4", num_frequencies=5),
        Transcoding(smallest_side=48),
        Transcoding(respect_orientation=True),
        Transcoding(quality=60, num_frequencies=16),
        Transcoding(downscale=2),
    ],
)
@pytest.mark.parametrize(
    "batches", [[PLAIN[:10] + ODD, ODD + PLAIN, PLAIN], [PLAIN, ODD, PLAIN], [ODD[:1], [], ODD]]
)
def test_batches_are_one_by_one(settings, batches):
    transcoder = BatchTranscoder(settings)
    for items in batches:
        results = transcoder.transcode(items)
        assert len(results) == len(items)
        for data, result in zip(items, results):
            expected = attempt(data, settings)
            if isinstance(expected, Exception):
                assert type(result) is type(expected)
                assert str(result) == str(expected)
                continue
            assert (result.route, result.reasons) == (expected.route, expected.reasons)
            assert_equal(result.image, pack_image(expected.image))


def test_batches_are_given_up_where_few_files_stay(monkeypatch):
    calls = []
    read_packed = batch_transcoding.read_packed

    def counted(*arguments, **options):
        calls.append(len(arguments[0]))
        return read_packed(*arguments, **options)

    monkeypatch.setattr(batch_transcoding, "read_packed", counted)
    transcoder = BatchTranscoder(Transcoding())
    for items in (PLAIN, PLAIN[:9] + ODD, ODD + PLAIN[:1], PLAIN):
        transcoder.transcode(items)
    assert calls == [20, 18, 10]


@pytest.mark.parametrize("settings", [Transcoding(), Transcoding(quality=60)])
@pytest.mark.parametrize("items", [PLAIN[:1], PLAIN[:9], ODD])
def test_a_lack_of_memory_is_no_fault_of_the_file(monkeypatch, settings, items):
    def fail(*_, **__):
        np.empty(1 << 58)  # more than any machine has

    name = "read_packed" if len(items) > 1 and settings.quality is None else "transcode"
    monkeypatch.setattr(batch_transcoding, name, fail)
    with pytest.raises(MemoryError):
        BatchTranscoder(settings).transcode(items)
