"""Kernels of progressive scans, driven by a minimal reader, against libjpeg and the encoder.

The reader below knows only what the tests need: no colour, no limits, no errors of its own.
"""

from __future__ import annotations

import copy
import random
import re
import shutil
import subprocess

import jpeglib
import numpy as np
import pytest

from jpegkeras.jpeg import ZIGZAG, JpegFormatError, markers, progressive, read_coefficients
from jpegkeras.jpeg.huffman import HuffmanTable
from jpegkeras.jpeg.markers import ScanComponent, ScanHeader
from jpegkeras.jpeg.progression import Progression
from jpegkeras.jpeg.types import ceil_div, count_blocks
from tests.jpeg import encoder, progressive_encoder
from tests.jpeg.conftest import draw_pixels, save

OK, BAD_CODE, BAD_SYMBOL, RUN_TOO_LONG, DC_OUT_OF_RANGE, OUT_OF_DATA, DATA_LEFT = range(7)

FACTORS = {
    "gray": [(1, 1)],
    "gray 2x2": [(2, 2)],
    "4:4:4": [(1, 1)] * 3,
    "4:2:2": [(2, 1), (1, 1), (1, 1)],
    "4:2:0": [(2, 2), (1, 1), (1, 1)],
    "4:4:0": [(1, 2), (1, 1), (1, 1)],
    "4:1:1": [(4, 1), (1, 1), (1, 1)],
    "odd": [(3, 1), (1, 2), (2, 1)],
    "two components": [(1, 1), (2, 2)],
}


def deep_scans(components):
    """From Al 13 down to 0, a bit at a time."""
    everything = tuple(range(components))
    scans = [(everything, 0, 0, 0, 13)]
    scans += [((index,), 1, 63, 0, 13) for index in everything]
    for high in range(13, 0, -1):
        scans += [(everything, 0, 0, high, high - 1)]
        scans += [((index,), 1, 63, high, high - 1) for index in everything]
    return scans


def band_scans(components):
    """No interleaving; bands of one coefficient, and refinements of other bands."""
    scans = [((index,), 0, 0, 0, 2) for index in range(components)]
    scans += [((index,), k, k, 0, 1) for index in range(components) for k in range(1, 64)]
    scans += [((index,), 0, 0, 2, 1) for index in range(components)]
    for start, end in ((1, 1), (2, 30), (31, 63)):
        scans += [((index,), start, end, 1, 0) for index in range(components)]
    return scans + [((index,), 0, 0, 1, 0) for index in range(components)]


def spectral_scans(components):
    """No successive approximation; the high frequencies first."""
    scans = [(tuple(range(components)), 0, 0, 0, 0)]
    for start, end in ((20, 63), (6, 19), (1, 5)):
        scans += [((index,), start, end, 0, 0) for index in range(components)]
    return scans


SCRIPTS = {
    "default": progressive_encoder.default_scans,
    "deep": deep_scans,
    "bands": band_scans,
    "spectral": spectral_scans,
}


# The minimal reader.

_END_OF_SCAN = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]|\xff+\Z", re.DOTALL)
_RESTART = re.compile(rb"\xff+([\xd0-\xd7])")


def split_scan(content, position):
    """Return the data of each restart interval, the restart markers, the end of the scan."""
    found = _END_OF_SCAN.search(content, position)
    end = found.start() if found else len(content)
    parts = _RESTART.split(content[position:end])
    return [part.replace(b"\xff\x00", b"\xff") for part in parts[::2]], parts[1::2], end


def join_intervals(content, position, intervals):
    """Return words and starts as decode_progressive takes them, and the end of the scan.

    An interval whose marker is not there is lost; a file that is cut loses all that follow.
    """
    parts, restarts, end = split_scan(content, position)
    data, starts = parts.pop(0), [0]
    for number in range(intervals - 1):
        if restarts and restarts[0][0] == 0xD0 + number % 8:
            starts.append(8 * len(data))
            data += parts.pop(0)
            restarts.pop(0)
        else:
            starts.append(~(8 * len(data)))
    starts.append(8 * len(data))
    data += bytes(-len(data) % 8 + 8 * progressive.PADDING_WORDS)
    return np.frombuffer(data, ">u8").astype(np.uint64), np.array(starts), end


class Reader:
    """Decodes the scans of a file: planes [rows, cols, 64], and the status of each scan."""

    def __init__(self, content, tolerant=False):
        self.content = content
        self.tolerant = tolerant
        self.statuses = []
        self.huffman = {}
        self.restart_interval = 0
        self.frame = None
        position = 2
        while True:
            try:
                segment = markers.read_segment(content, position, "test")
            except JpegFormatError:
                break  # the file is cut
            position = segment.end
            if segment.marker == markers.EOI:
                break
            if segment.marker == markers.DHT:
                self.huffman.update(markers.parse_huffman_tables(segment))
            elif segment.marker == markers.DRI:
                self.restart_interval = markers.parse_restart_interval(segment)
            elif segment.marker == markers.SOF2:
                self.begin(markers.parse_frame(segment))
            elif segment.marker == markers.SOS:
                header = markers.parse_scan(segment, self.frame)
                position = self.decode(header, position)
                self.check_masks()
                if self.statuses[-1] != OK and not tolerant:
                    break

    def begin(self, frame):
        self.frame = frame
        self.progression = Progression(len(frame.components))
        self.shapes = [
            (
                count_blocks(frame.height, component.v, frame.v_max),
                count_blocks(frame.width, component.h, frame.h_max),
            )
            for component in frame.components
        ]
        blocks = [rows * columns for rows, columns in self.shapes]
        self.offsets = [64 * sum(blocks[:index]) for index in range(len(blocks))]
        self.out = np.zeros(64 * sum(blocks), np.int16)
        self.masks = np.zeros(progressive.count_masks(sum(blocks)), np.uint64)

    @property
    def planes(self):
        return [
            self.out[offset : offset + 64 * rows * columns].reshape(rows, columns, 64)
            for offset, (rows, columns) in zip(self.offsets, self.shapes)
        ]

    def decode(self, header, position):
        problem = self.progression.add_scan(header)
        assert problem is None or self.tolerant, problem
        interleaved = len(header.components) > 1
        plan, layout, tables = [], [], []
        for number, component in enumerate(header.components):
            factors = self.frame.components[component.index]
            v, h = (factors.v, factors.h) if interleaved else (1, 1)
            plan += [(number, row, column) for row in range(v) for column in range(h)]
            layout.append((v, h, *self.shapes[component.index], self.offsets[component.index]))
            if header.spectral_start > 0:
                tables.append(self.huffman[1, component.ac_table])
            elif header.approximation_high == 0:
                tables.append(self.huffman[0, component.dc_table])
        shape = self.shapes[header.components[0].index]
        if interleaved:
            shape = markers.count_mcus(self.frame)
        interval = self.restart_interval or shape[0] * shape[1]
        intervals = ceil_div(shape[0] * shape[1], interval)
        words, starts, end = join_intervals(self.content, position, intervals)
        status, bit = progressive.decode_progressive(
            words,
            starts,
            interval,
            *shape,
            np.array(plan),
            np.array(layout),
            progressive.build_tables(tuple(tables), header.approximation_high > 0),
            header.spectral_start,
            header.spectral_end,
            header.approximation_high,
            header.approximation_low,
            self.tolerant,
            self.out,
            self.masks,
        )
        assert 0 <= bit <= abs(starts[-1])
        self.statuses.append(status)
        return end

    def check_masks(self):
        """They must say what stands in the coefficients, whatever the data was."""
        if self.statuses[-1] != OK and not self.tolerant:
            return
        nonzero = self.out.reshape(-1, 64) != 0
        nonzero[:, 0] = False
        bits = np.uint64(1) << np.arange(64, dtype=np.uint64)
        expected = (nonzero * bits).sum(axis=1, dtype=np.uint64)
        np.testing.assert_array_equal(self.masks[: len(expected)], expected)


def decode(content):
    reader = Reader(content)
    assert set(reader.statuses) == {OK}
    assert reader.progression.is_started
    return reader


def check_equal(planes, expected):
    assert len(planes) == len(expected)
    for plane, wanted in zip(planes, expected):
        np.testing.assert_array_equal(plane, wanted)


@pytest.fixture
def read_libjpeg(tmp_path):
    """Returns planes as libjpeg reads them, damaged files included; None where it refuses."""

    def read(content):
        path = tmp_path / "image.jpg"
        path.write_bytes(content)
        try:
            image = jpeglib.read_dct(str(path))
        except OSError:
            return None
        planes = [image.Y] + ([image.Cb, image.Cr] if image.has_chrominance else [])
        return [plane.reshape(*plane.shape[:2], 64)[..., ZIGZAG] for plane in planes]

    return read


def jpegtran(content, *options):
    if shutil.which("jpegtran") is None:
        pytest.skip("jpegtran (Debian: libjpeg-turbo-progs) is not installed")
    done = subprocess.run(["jpegtran", *options], input=content, capture_output=True, check=True)
    assert not done.stderr
    return done.stdout


# What was encoded is decoded.


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("factors", FACTORS)
def test_coefficients_are_the_encoded_ones(factors, script):
    image = encoder.draw_image(1, 45, 61, FACTORS[factors])
    content = progressive_encoder.encode(image, SCRIPTS[script](len(image.planes)))
    reader = decode(content)
    check_equal(reader.planes, [plane.coefficients for plane in image.planes])
    assert reader.progression.is_finished


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("factors", ["gray", "gray 2x2", "4:2:0", "4:2:2", "odd"])
def test_libjpeg_reads_what_the_test_encoder_writes(read_libjpeg, factors, script):
    """Else the other tests would prove little. jpegtran must not even warn."""
    image = encoder.draw_image(2, 45, 61, FACTORS[factors])
    scans = SCRIPTS[script](len(image.planes))
    content = progressive_encoder.encode(image, scans, restart_interval=7)
    planes = [plane.coefficients for plane in image.planes]
    if factors != "odd":  # which jpeglib does not read
        check_equal(read_libjpeg(content), planes)
    baseline = read_coefficients(jpegtran(content))
    check_equal([component.coefficients for component in baseline.components], planes)


@pytest.mark.parametrize("restart_interval", [1, 2, 7, 11])
@pytest.mark.parametrize("factors", ["gray", "4:2:0"])
@pytest.mark.parametrize("script", ["default", "deep"])
def test_restart_intervals(factors, script, restart_interval):
    """11 MCUs are a row of luma blocks: the intervals of the components fall differently."""
    image = encoder.draw_image(3, 40, 88, FACTORS[factors])
    scans = SCRIPTS[script](len(image.planes))
    content = progressive_encoder.encode(image, scans, restart_interval=restart_interval)
    check_equal(decode(content).planes, [plane.coefficients for plane in image.planes])


@pytest.mark.parametrize("tables", ["flat", "13 bits", "long"])
@pytest.mark.parametrize("longest_run", [1, 5])
def test_long_codes_and_short_runs(tables, longest_run):
    image = encoder.draw_image(4, 60, 70, FACTORS["4:2:0"])
    content = progressive_encoder.encode(image, tables=tables, longest_run=longest_run)
    check_equal(decode(content).planes, [plane.coefficients for plane in image.planes])


@pytest.mark.parametrize("density", [0.0, 0.01, 1.0])
@pytest.mark.parametrize("size", [(1, 1), (8, 9), (17, 16), (33, 130)])
def test_sizes_and_densities(size, density):
    image = encoder.draw_image(5, *size, FACTORS["4:2:0"], density=density)
    content = progressive_encoder.encode(image)
    check_equal(decode(content).planes, [plane.coefficients for plane in image.planes])


def test_runs_of_empty_bands_across_rows_and_beyond_the_longest():
    """40,000 blocks, a few coefficients in them: runs of 32767 and of all sizes below."""
    rng = np.random.default_rng(6)
    coefficients = np.zeros((200, 200, 64), np.int16)
    where = 39_999 - np.unique(np.geomspace(1, 6_000, 40).astype(int))
    coefficients.reshape(-1, 64)[where, rng.integers(1, 64, where.size)] = rng.integers(
        1, 9, where.size
    )
    plane = encoder.Plane(1, 1, 1, 0, coefficients)
    image = encoder.Image(1600, 1600, [plane], {0: np.ones(64, int)})
    scans = [((0,), 0, 0, 0, 0), ((0,), 1, 63, 0, 2), ((0,), 1, 63, 2, 1), ((0,), 1, 63, 1, 0)]
    runs = []
    content = progressive_encoder.encode(
        image, scans, change=lambda _, intervals: runs.extend(intervals[0])
    )
    assert 14 << 4 in runs
    check_equal(decode(content).planes, [coefficients])


def test_extremes_of_the_coefficients():
    coefficients = np.zeros((2, 4, 64), np.int16)
    coefficients[0, :, 1:] = [[1023], [-1023], [1], [-1]]
    coefficients[:, :, 0] = [[1023, -1024, 1023, -1], [0, -1, 1, -1024]]
    image = encoder.Image(16, 32, [encoder.Plane(1, 1, 1, 0, coefficients)], {0: np.ones(64, int)})
    for script in SCRIPTS.values():
        check_equal(decode(progressive_encoder.encode(image, script(1))).planes, [coefficients])


# Files that other programs wrote.


@pytest.mark.parametrize("options", [{}, {"subsampling": "4:2:2"}, {"subsampling": "4:4:4"}])
@pytest.mark.parametrize("quality", [10, 75, 100])
def test_pillow(read_libjpeg, options, quality):
    pixels = draw_pixels(7, 67, 90)
    content = save(pixels, quality=quality, progressive=True, **options)
    check_equal(decode(content).planes, read_libjpeg(content))
    # A second way to the same coefficients: the file that is not progressive.
    check_equal(decode(content).planes, read_libjpeg(save(pixels, quality=quality, **options)))


@pytest.mark.parametrize("restart", [(), ("-restart", "1B"), ("-restart", "7B"), ("-restart", "1")])
def test_jpegtran_of_pillow(read_libjpeg, restart):
    content = save(draw_pixels(8, 130, 75), quality=85)
    check_equal(decode(jpegtran(content, "-progressive", *restart)).planes, read_libjpeg(content))


def draw_scans(seed, components):
    """Any bands, down from any bit; the refinements in any order that is allowed."""
    rng = random.Random(seed)
    everything = tuple(range(components))
    groups = rng.choice([[everything], [(index,) for index in everything]])
    bands = [(group, 0, 0) for group in groups]
    for index in everything:
        ends = [*sorted(rng.sample(range(1, 63), rng.randint(0, 4))), 63]
        starts = [1] + [end + 1 for end in ends[:-1]]
        bands += [((index,), start, end) for start, end in zip(starts, ends)]
    lows = [rng.randint(0, 4) for _ in bands]
    scans = [(*band, 0, low) for band, low in zip(bands, lows)]
    while any(lows):
        which = rng.choice([index for index, low in enumerate(lows) if low])
        scans.append((*bands[which], lows[which], lows[which] - 1))
        lows[which] -= 1
    return scans


@pytest.mark.parametrize("seed", range(10))
def test_any_scans(read_libjpeg, tmp_path, seed):
    scans = draw_scans(seed, 3)
    image = encoder.draw_image(seed, 40, 50, FACTORS["4:2:2"])
    content = progressive_encoder.encode(image, scans, restart_interval=seed)
    check_equal(decode(content).planes, [plane.coefficients for plane in image.planes])

    script = tmp_path / "scans.txt"
    script.write_text(
        "".join(
            f"{','.join(map(str, components))}: {start}-{end}, {high}, {low};\n"
            for components, start, end, high, low in scans
        )
    )
    content = save(draw_pixels(seed, 75, 62), quality=90)
    check_equal(decode(jpegtran(content, "-scans", str(script))).planes, read_libjpeg(content))


def test_jpegtran_of_samples(read_libjpeg, sample_files):
    for path in sample_files[::12]:
        content = path.read_bytes()
        reader = decode(jpegtran(content, "-progressive"))
        check_equal(reader.planes, read_libjpeg(content))


# Damage.


def damage_pool():
    """Files of all kinds, with the ranges of their entropy-coded data."""
    rng = random.Random(9)
    pool = []
    for number in range(16):
        factors = FACTORS[rng.choice(["gray", "4:4:4", "4:2:0", "4:1:1"])]
        density = rng.choice([0.05, 0.2, 0.6])
        image = encoder.draw_image(
            number, rng.randint(1, 60), rng.randint(1, 80), factors, density=density
        )
        content = progressive_encoder.encode(
            image,
            SCRIPTS[rng.choice(["default", "default", "deep", "spectral"])](len(factors)),
            tables=rng.choice(["optimal", "flat", "13 bits", "long"]),
            restart_interval=rng.choice([0, 0, 1, 2, 5]),
            longest_run=rng.choice([1, 3, 32767]),
        )
        ranges = []
        position = 2
        while True:
            segment = markers.read_segment(content, position, "test")
            position = segment.end
            if segment.marker == markers.EOI:
                break
            if segment.marker == markers.SOS:
                end = split_scan(content, position)[2]
                ranges.append((position, end))
                position = end
        pool.append((content, ranges))
    return pool


def change_bytes(content, ranges, rng, times):
    """Change entropy-coded bytes; markers stay as they are, and no new ones arise."""
    damaged = bytearray(content)
    for _ in range(times):
        start, end = rng.choice(ranges)
        position = rng.randrange(start, max(end, start + 1))
        value = rng.choice([rng.randrange(255), damaged[position] ^ 1 << rng.randrange(8)])
        if position < end and 0xFF not in (*damaged[position - 1 : position + 1], value):
            damaged[position] = value
    return bytes(damaged)


def test_cut_files_give_what_libjpeg_gives(read_libjpeg):
    rng = random.Random(10)
    seen = set()
    for content, ranges in damage_pool():
        for _ in range(16):
            start, end = rng.choice(ranges)
            cut = content[: rng.randint(start, end)]
            reader = Reader(cut, tolerant=True)
            check_equal(reader.planes, read_libjpeg(cut))
            seen.update(reader.statuses)
            if set(reader.statuses) == {OK}:  # cut between two scans, or in the last fill bits
                continue
            assert Reader(cut).statuses[-1] == OUT_OF_DATA
    assert {OK, OUT_OF_DATA} <= seen


def test_changed_bytes_give_what_libjpeg_gives(read_libjpeg):
    rng = random.Random(11)
    seen = set()
    for content, ranges in damage_pool():
        for _ in range(36):
            damaged = change_bytes(content, ranges, rng, rng.choice([1, 1, 2, 5, 20]))
            reader = Reader(damaged, tolerant=True)
            check_equal(reader.planes, read_libjpeg(damaged))
            seen.update(reader.statuses)
            strict = Reader(damaged)
            problems = [status for status in reader.statuses if status != OK]
            assert strict.statuses[-1] == (problems[0] if problems else OK)
    assert {
        OK,
        BAD_CODE,
        RUN_TOO_LONG,
        OUT_OF_DATA,
        DATA_LEFT,
        progressive.EOB_RUN_TOO_LONG,
        progressive.BAD_REFINEMENT,
    } <= seen


def test_lost_restart_intervals_give_what_libjpeg_gives(read_libjpeg):
    rng = random.Random(12)
    image = encoder.draw_image(13, 40, 50, FACTORS["4:2:0"])
    content = progressive_encoder.encode(image, restart_interval=2)
    for _ in range(60):
        damaged = content
        for _ in range(rng.randint(1, 6)):
            restarts = list(_RESTART.finditer(damaged))
            first = rng.randrange(len(restarts) - 1)
            # One interval of a scan with its marker, and perhaps the end of the one before.
            if _END_OF_SCAN.search(damaged, restarts[first].start(), restarts[first + 1].start()):
                continue
            start = restarts[first].start() - rng.choice([0, 0, 1])
            if damaged[start - 1] == 0xFF:
                continue
            damaged = damaged[:start] + damaged[restarts[first + 1].start() :]
        check_equal(Reader(damaged, tolerant=True).planes, read_libjpeg(damaged))


def test_wrong_progressions_give_what_libjpeg_gives(read_libjpeg):
    """libjpeg only warns of scans that do not fit those before them."""
    rng = random.Random(14)
    for seed in range(60):
        image = encoder.draw_image(seed, 20, 30, FACTORS["4:2:0"], density=rng.random())
        scans = []
        for _ in range(rng.randint(1, 8)):
            high = rng.choice([0, 0, 1, 2, 3, 14])
            low = high - 1 if high else rng.choice([0, 1, 2, 13])
            start = rng.randint(1, 63)
            band = rng.choice([(0, 0), (1, 63), (start, rng.randint(start, 63))])
            components = (0, 1, 2) if band == (0, 0) else (rng.randrange(3),)
            scans.append((components, *band, high, low))
        content = progressive_encoder.encode(image, scans, restart_interval=rng.choice([0, 3]))
        check_equal(Reader(content, tolerant=True).planes, read_libjpeg(content))


def flat_image(value=0):
    """32 x 24 pixels, gray: 4 x 3 blocks of one DC and nothing else."""
    coefficients = np.zeros((3, 4, 64), np.int16)
    coefficients[..., 0] = value
    coefficients[..., 1:6:2] = value
    return encoder.Image(24, 32, [encoder.Plane(1, 1, 1, 0, coefficients)], {0: np.ones(64, int)})


_DC = ((0,), 0, 0, 0, 0)
_DC_SCANS = [((0,), 0, 0, 0, 1), ((0,), 0, 0, 1, 0)]
_BAND = [_DC, ((0,), 1, 5, 0, 0)]
_REFINED = [_DC, ((0,), 1, 5, 0, 1), ((0,), 1, 5, 1, 0)]
_LONG_EOB = [0x30, "101"]  # 13 blocks; the image has 12
_EOB_12 = [0x30, "100"]

# What is put in the place of the last scan's items, and its status.
DEFECTS = {
    "dc first: no code": ([_DC], ["1" * 32], BAD_CODE),
    "dc first: size 12": ([_DC], [12, "1" * 12, *[0] * 20], BAD_SYMBOL),
    "dc first: range": ([_DC], [11, "1" * 11, *[1, "1", 0] * 12], DC_OUT_OF_RANGE),
    "dc first: range below": ([_DC], [11, "0" * 11, *[1, "0", 0] * 12], DC_OUT_OF_RANGE),
    "dc first: range, shifted": (_DC_SCANS[:1], [11, "1" + "0" * 10, *[0] * 12], DC_OUT_OF_RANGE),
    "dc first: no end": ([_DC], [0] * 10, OUT_OF_DATA),
    "dc first: more": ([_DC], [0] * 12 + ["1" * 12], DATA_LEFT),
    "dc refined: no end": (_DC_SCANS, ["0" * 8], OUT_OF_DATA),
    "dc refined: more": (_DC_SCANS, ["0" * 20], DATA_LEFT),
    "ac first: no code": (_BAND, ["1" * 32], BAD_CODE),
    "ac first: size 11": (_BAND, [0x0B, "1" * 11, *_EOB_12], BAD_SYMBOL),
    "ac first: size 0, run 15 at 5": (_BAND, [0x31, "1", 0xF0, *_EOB_12], RUN_TOO_LONG),
    "ac first: run to 6": (_BAND, [0x51, "1", *_EOB_12], RUN_TOO_LONG),
    "ac first: run of long code": (_BAND, [0x5A, "1" * 10, *_EOB_12], RUN_TOO_LONG),
    "ac first: range": ([_DC, ((0,), 1, 5, 0, 2)], [9, "1" * 9, *_EOB_12], "AC_OUT_OF_RANGE"),
    "ac first: 16 bits": ([_DC, ((0,), 1, 5, 0, 13)], [4, "1000", *_EOB_12], "AC_OUT_OF_RANGE"),
    "ac first: run of 13": (_BAND, _LONG_EOB, "EOB_RUN_TOO_LONG"),
    "ac first: no end": (_BAND, [0x20, "00", 0x21, "1"], OUT_OF_DATA),
    "ac first: more": (_BAND, [*_EOB_12, "0" * 9], DATA_LEFT),
    "ac refined: no code": (_REFINED, ["1" * 32], BAD_CODE),
    "ac refined: size 2": (_REFINED, [0x02, "10", *_EOB_12], "BAD_REFINEMENT"),
    "ac refined: run to 6": (_REFINED, [0x51, "1", *_EOB_12], RUN_TOO_LONG),
    "ac refined: run 15": (_REFINED, [0xF0, *_EOB_12], RUN_TOO_LONG),
    "ac refined: run of 13": (_REFINED, _LONG_EOB, "EOB_RUN_TOO_LONG"),
    "ac refined: no end": (_REFINED, [0x20, "00"], OUT_OF_DATA),
    "ac refined: more": (_REFINED, [*_EOB_12, "0" * 9], DATA_LEFT),
}


@pytest.mark.parametrize("tables", ["flat", "13 bits"])
@pytest.mark.parametrize("defect", DEFECTS)
def test_defects(read_libjpeg, defect, tables):
    """Each has its status; tolerant reading gives what libjpeg does with it."""
    scans, items, status = DEFECTS[defect]

    def change(number, intervals):
        if number == len(scans) - 1:
            intervals[:] = [items]

    content = progressive_encoder.encode(flat_image(), scans, tables, change=change)
    status = getattr(progressive, status) if isinstance(status, str) else status
    assert Reader(content).statuses == [OK] * (len(scans) - 1) + [status]
    reader = Reader(content, tolerant=True)
    assert reader.statuses[-1] == status
    check_equal(reader.planes, read_libjpeg(content))


@pytest.mark.parametrize("scans", [_BAND, _REFINED])
def test_runs_end_with_their_interval(read_libjpeg, scans):
    """5 blocks and 7 would do without restarts; the intervals have 6."""

    def change(number, intervals):
        if number == len(scans) - 1:
            intervals[:] = [[0x20, "01", 0x20, "11"], [0x20, "01"]]

    content = progressive_encoder.encode(
        flat_image(), scans, "flat", restart_interval=6, change=change
    )
    assert Reader(content).statuses[-1] == progressive.EOB_RUN_TOO_LONG
    check_equal(Reader(content, tolerant=True).planes, read_libjpeg(content))


def test_missing_corrections_are_missing_data(read_libjpeg):
    """36 coefficients of 4 are refined by a run of blocks with 25 bits behind it."""

    def change(number, intervals):
        if number == 2:
            intervals[:] = [[0x30, "100", "1" * 25]]

    content = progressive_encoder.encode(flat_image(4), _REFINED, "flat", change=change)
    assert Reader(content).statuses[-1] == OUT_OF_DATA
    reader = Reader(content, tolerant=True)
    check_equal(reader.planes, read_libjpeg(content))
    assert (reader.planes[0][..., 1:] == 5).sum() >= 25


def test_fill_bits_of_any_kind_are_left_alone():
    for fill in ("0000000", "1010101"):

        def change(number, intervals, fill=fill):
            if number == 1:
                intervals[:] = [[0x30, "100", fill[: -11 % 8]]]

        content = progressive_encoder.encode(flat_image(), _BAND, "flat", change=change)
        assert Reader(content).statuses == [OK, OK]


# Arguments.


def kernel_arguments():
    table = progressive.build_tables((HuffmanTable(1, bytes([1] + [0] * 15), b"\0"),))
    return {
        "words": np.zeros(1 + progressive.PADDING_WORDS, np.uint64),
        "starts": np.array([0, 2]),
        "interval": 2,
        "mcu_rows": 1,
        "mcu_columns": 2,
        "plan": np.zeros((1, 3), np.int64),
        "layout": np.array([[1, 1, 1, 2, 0]]),
        "tables": table,
        "spectral_start": 1,
        "spectral_end": 63,
        "high": 0,
        "low": 0,
        "tolerant": False,
        "out": np.zeros(128, np.int16),
        "masks": np.zeros(3, np.uint64),
    }


@pytest.mark.parametrize(
    "change",
    [
        {"words": np.zeros(progressive.PADDING_WORDS, np.uint64)},
        {"starts": np.array([8, 0])},
        {"interval": 1},
        {"mcu_rows": 2, "interval": 4},
        {"plan": np.ones((1, 3), np.int64)},
        {"layout": np.array([[1, 1, 1, 2, 64]])},
        {"layout": np.array([[1, 1, 1, 2, 1]])},
        {"layout": np.array([[1, 1, 1, 2, -64]])},
        {"tables": kernel_arguments()["tables"][:, :-1].copy()},
        {"out": np.zeros(127, np.int16)},
        {"masks": np.zeros(2, np.uint64)},
    ],
    ids=lambda change: " ".join(change),
)
def test_arguments_that_lead_out_of_bounds_are_refused(change):
    arguments = kernel_arguments()
    assert progressive.decode_progressive(*arguments.values()) == (OK, 2)
    arguments.update(change)
    with pytest.raises(ValueError):
        progressive.decode_progressive(*arguments.values())


# The order of scans.


def header(components, start, end, high, low):
    return ScanHeader(
        tuple(ScanComponent(index, 0, 0) for index in components), start, end, high, low
    )


@pytest.mark.parametrize("script", SCRIPTS)
def test_progressions_of_whole_files(script):
    progression = Progression(3)
    for scan in SCRIPTS[script](3):
        assert not progression.is_finished
        assert progression.add_scan(header(*scan)) is None
    assert progression.is_finished


FIRST = [((0, 1, 2), 0, 0, 0, 1), ((0,), 1, 5, 0, 2)]


@pytest.mark.parametrize(
    ("scans", "scan", "fatal", "words"),
    [
        ([], ((0,), 0, 63, 0, 0), True, "0 to 63"),
        ([], ((0,), 0, 1, 0, 0), True, "0 to 1"),
        (FIRST, ((0,), 6, 5, 0, 0), True, "6 to 5"),
        (FIRST, ((0,), 6, 64, 0, 0), True, "6 to 64"),
        (FIRST, ((0, 1), 6, 63, 0, 0), True, "one component"),
        (FIRST, ((0,), 1, 5, 2, 0), True, "Ah 2 and Al 0"),
        (FIRST, ((0,), 1, 5, 2, 2), True, "Ah 2 and Al 2"),
        (FIRST, ((0,), 6, 63, 0, 14), True, "got 14"),
        ([], ((1,), 1, 63, 0, 0), False, "component 2 of the frame: a scan of AC"),
        ([], ((0,), 0, 0, 1, 0), False, "before its first scan"),
        (FIRST, ((0,), 0, 0, 0, 0), False, "has a first scan already"),
        (FIRST, ((0,), 5, 6, 0, 0), False, "coefficient 5 has a first scan already, with Al 2"),
        (FIRST, ((0,), 1, 6, 2, 1), False, "coefficient 6 is refined before"),
        (FIRST, ((0,), 1, 5, 1, 0), False, "expected 2"),
        (FIRST, ((0,), 1, 5, 3, 2), False, "expected 2"),
        (FIRST, ((0, 2), 0, 0, 2, 1), False, "component 1 of the frame: coefficient 0"),
    ],
)
def test_progressions_that_are_refused(read_libjpeg, scans, scan, fatal, words):
    """Fatal is what libjpeg refuses, too."""
    progression = Progression(3)
    for earlier in scans:
        assert progression.add_scan(header(*earlier)) is None
    levels = copy.deepcopy(progression.levels)
    problem = progression.add_scan(header(*scan))
    assert problem.fatal == fatal
    assert words in problem.sentence
    if fatal:
        assert progression.levels == levels
    # The band 6 to 64 is the one that the encoder cannot write; any other will do there.
    image = encoder.draw_image(1, 20, 20, FACTORS["4:4:4"])
    content = progressive_encoder.encode(image, scans)[:-2] if scans else None
    if content is None:
        content = progressive_encoder.encode(image, [scan])[:-2]
    else:
        content += progressive_encoder.scan_bytes(image, scan, [[]])
    assert (read_libjpeg(content + b"\xff\xd9") is None) == fatal
