"""A small progressive encoder of given coefficients and scans, on top of encoder.py.

Slow and literal, after the figures of T.81 G.1.2. A scan is (components, Ss, Se, Ah, Al). What it
codes is first a list of items for each restart interval, symbols as int and other bits as str, so
that a test can put in what no encoder writes.
"""

from __future__ import annotations

import collections
import struct

import numpy as np

from tests.jpeg import encoder

LONGEST_RUN = 32767

DC_SYMBOLS = bytes(range(12))
#: Those of bands: EOB0 to EOB14, ZRL, and runs with sizes.
AC_SYMBOLS = bytes(
    [run << 4 for run in range(16)]
    + [run << 4 | size for size in range(1, 11) for run in range(16)]
)


def default_scans(components):
    """What jpegtran -progressive writes, for any number of components."""
    everything = tuple(range(components))
    scans = [(everything, 0, 0, 0, 1)]
    scans += [((index,), 1, 5, 0, 2) for index in everything]
    scans += [((index,), 6, 63, 0, 2) for index in everything]
    scans += [((index,), 1, 63, 2, 1) for index in everything]
    scans += [(everything, 0, 0, 1, 0)]
    scans += [((index,), 1, 63, 1, 0) for index in everything]
    return scans


def shannon_table(symbols):
    """Codes about as long as the logarithm of how rare a symbol is; items are symbols as used."""
    counts = collections.Counter(symbols)
    total = sum(counts.values()) + 1  # one more, for the code of all ones
    lengths = {}
    for symbol, count in counts.items():
        lengths[symbol] = min(16, max(1, int(np.ceil(np.log2(total / count)))))
    ordered = sorted(lengths, key=lambda symbol: (lengths[symbol], symbol))
    numbers = [sum(length == wanted for length in lengths.values()) for wanted in range(1, 17)]
    return numbers, bytes(ordered)


def make_table(kind, table_class, symbols):
    """Return (counts, symbols) of a table that has at least the symbols that are used."""
    every = AC_SYMBOLS if table_class else DC_SYMBOLS
    every += bytes(sorted(set(symbols) - set(every)))
    if kind == "optimal":
        return shannon_table(symbols)
    if kind == "flat":
        return encoder.flat_table(every, 8 if table_class else 5)
    if kind == "13 bits":
        return encoder.flat_table(every, 13)
    return encoder.long_table(every)


def entropy_items(image, scan, restart_interval=0, longest_run=LONGEST_RUN):
    """Return a list of items for each restart interval of a scan."""
    components, start, _, high, _ = scan
    mcus = list(encoder.mcus(image, components))
    step = restart_interval or len(mcus)
    intervals = []
    for first in range(0, len(mcus), step):
        interval = mcus[first : first + step]
        if start == 0:
            code = dc_refinement_items if high else dc_first_items
            intervals.append(code(interval, scan))
        else:
            code = ac_refinement_items if high else ac_first_items
            blocks = [block for mcu in interval for _, block in mcu]
            intervals.append(code(blocks, scan, longest_run))
    return intervals


def dc_first_items(mcus, scan):
    """T.81 G.1.2.1: as sequential, of values without their low bits."""
    low = scan[4]
    items = []
    predictions = collections.defaultdict(int)
    for mcu in mcus:
        for index, block in mcu:
            value = int(block[0]) >> low
            size, bits = encoder.value_bits(value - predictions[index])
            items += [size, bits]
            predictions[index] = value
    return items


def dc_refinement_items(mcus, scan):
    low = scan[4]
    return [str(int(block[0]) >> low & 1) for mcu in mcus for _, block in mcu]


class EobRun:
    """Blocks whose bands have ended, with the correction bits that stand behind the run."""

    def __init__(self, items, longest):
        self.items = items
        self.longest = longest
        self.length = 0
        self.bits = []

    def add(self, bits=()):
        self.length += 1
        self.bits += bits
        if self.length == self.longest:
            self.flush()

    def flush(self):
        if self.length:
            size = self.length.bit_length() - 1
            self.items += [size << 4, format(self.length, "b")[1:], *self.bits]
            self.length, self.bits = 0, []


def ac_first_items(blocks, scan, longest_run):
    """T.81 Figures G.3 to G.6."""
    _, start, end, _, low = scan
    items = []
    eob_run = EobRun(items, longest_run)
    for block in blocks:
        run = 0
        for value in block[start : end + 1].tolist():
            magnitude = abs(value) >> low
            if magnitude == 0:
                run += 1
                continue
            eob_run.flush()
            items += [0xF0] * (run // 16)
            size, bits = encoder.value_bits(magnitude if value > 0 else -magnitude)
            items += [run % 16 << 4 | size, bits]
            run = 0
        if run:
            eob_run.add()
    eob_run.flush()
    return items


def ac_refinement_items(blocks, scan, longest_run):
    """T.81 Figures G.7 to G.9."""
    _, start, end, _, low = scan
    items = []
    eob_run = EobRun(items, longest_run)
    for block in blocks:
        values = block[start : end + 1].tolist()
        magnitudes = [abs(value) >> low for value in values]
        last_new = max((k for k, magnitude in enumerate(magnitudes) if magnitude == 1), default=-1)
        run = 0
        corrections = []
        for k, magnitude in enumerate(magnitudes):
            if magnitude == 0:
                run += 1
                continue
            while run > 15 and k <= last_new:
                eob_run.flush()
                items += [0xF0, *corrections]
                corrections = []
                run -= 16
            if magnitude > 1:
                corrections.append(str(magnitude & 1))
                continue
            eob_run.flush()
            items += [run << 4 | 1, "1" if values[k] > 0 else "0", *corrections]
            corrections = []
            run = 0
        if run or corrections:
            eob_run.add(corrections)
    eob_run.flush()
    return items


def scan_bytes(image, scan, intervals, tables="optimal"):
    """Return a scan with its table: DHT if it has codes, SOS, entropy-coded data."""
    components, start, end, high, low = scan
    table_class = int(start > 0)
    symbols = [item for items in intervals for item in items if isinstance(item, int)]
    data = b""
    codes = {}
    if start > 0 or high == 0:
        table = make_table(tables, table_class, symbols)
        data += encoder.dht(table_class, 0, table)
        codes = encoder.codes(table)
    data += encoder.sos(image, components, band=(start, end, high << 4 | low))
    for number, items in enumerate(intervals):
        if number:
            data += bytes([0xFF, 0xD0 + (number - 1) % 8])
        data += encoder.to_bytes([codes[i] if isinstance(i, int) else i for i in items])
    return data


def encode(
    image, scans=None, tables="optimal", restart_interval=0, longest_run=LONGEST_RUN, change=None
):
    """Return the progressive JPEG of an image.

    change(number of the scan, intervals), if given, may change the items of a scan in place.
    """
    data = b"\xff\xd8" + encoder.dqt(image.quantization) + encoder.sof(image, 0xC2)
    if restart_interval:
        data += encoder.segment(0xDD, struct.pack(">H", restart_interval))
    for number, scan in enumerate(scans or default_scans(len(image.planes))):
        intervals = entropy_items(image, scan, restart_interval, longest_run)
        if change is not None:
            change(number, intervals)
        data += scan_bytes(image, scan, intervals, tables)
    return data + b"\xff\xd9"
