"""Images decoded scan by scan: progressive ones, those of several scans, and damaged ones.

reader.py hands over what sequential.py is not for or has declined. Here it is found out what is
wrong and where, or what can be had all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jpegkeras.jpeg import markers, progressive, scan
from jpegkeras.jpeg.errors import JpegFormatError
from jpegkeras.jpeg.frames import FrameParser, Limits, ScanPlan, plan_scan
from jpegkeras.jpeg.huffman import AC_CLASS, DC_CLASS, HuffmanTable
from jpegkeras.jpeg.markers import ScanHeader, Segment
from jpegkeras.jpeg.progression import Progression
from jpegkeras.jpeg.types import BLOCK_COEFFICIENTS, Component, JpegCoefficients, ceil_div

_PROBLEMS = {
    scan.BAD_CODE: "expected a Huffman code, got bits that are none; the data is damaged",
    scan.BAD_SYMBOL: "the Huffman code stands for nothing T.81 defines; the data is damaged",
    scan.RUN_TOO_LONG: "a run of coefficients goes past the 64 of a block; the data is damaged",
    scan.DC_OUT_OF_RANGE: (
        f"the DC coefficient is out of the range -{scan.MAX_DC} to {scan.MAX_DC}; "
        "the data is damaged"
    ),
    scan.OUT_OF_DATA: (
        "the entropy-coded data ends before its last block; the file is truncated or damaged"
    ),
    scan.DATA_LEFT: "entropy-coded data is left after the last block; the data is damaged",
    scan.BAD_STUFFING: "fill bytes stand within entropy-coded data; the data is damaged",
    scan.WRONG_RESTART: "the restart markers are out of order; intervals are lost or damaged",
    scan.UNEXPECTED_RESTART: "expected no more restart markers here; the data is damaged",
    **progressive.PROBLEMS,
}
# libjpeg refuses tables of DC with larger symbols.
_MAX_TOLERATED_DC_SIZE = 15
_PADDING_WORDS = max(scan.PADDING_WORDS, progressive.PADDING_WORDS)


@dataclass(frozen=True)
class _Stream:
    """The entropy-coded data of a scan, as the kernels take it: see scan.py."""

    words: np.ndarray
    starts: np.ndarray
    resumed: np.ndarray
    position: int


def read_by_scans(
    content: bytes, source: str, num_frequencies: int, limits: Limits, salvage: bool = False
) -> JpegCoefficients:
    """Read an image scan by scan.

    Args:
        content: the file.
        source: its name, for messages.
        num_frequencies: how many coefficients of each block to keep.
        limits: what the file may ask for.
        salvage: give what can be read of damaged data, as libjpeg does.

    Returns:
        The coefficients; not complete if salvage was needed.

    Raises:
        JpegFormatError: the data is corrupt; with salvage, so that nothing can be read.
        JpegUnsupportedError: the data uses a feature that is not handled.
    """
    parser = FrameParser(content, source, limits, lines_may_change=True, salvage=salvage)
    position = parser.check_start()
    decoder: _SequentialDecoder | _ProgressiveDecoder | None = None
    while True:
        try:
            segment = parser.next_scan(position)
        except JpegFormatError:
            if decoder is None or not salvage:
                raise
            break
        if segment is None:
            if decoder is None:
                raise parser.no_scan(position)
            break
        if decoder is None:
            kind = _ProgressiveDecoder if parser.progressive else _SequentialDecoder
            decoder = kind(parser, num_frequencies, salvage)
        position = decoder.read_scan(segment)
        if decoder.is_finished:
            break
    decoder.check_finished(position)
    components = decoder.make_components()
    frame = parser.frame
    return JpegCoefficients(
        frame.height, frame.width, components, parser.rgb, parser.orientation, not salvage
    )


class _Decoder:
    """What sequential and progressive frames have in common."""

    def __init__(self, parser: FrameParser, num_frequencies: int, salvage: bool):
        self.parser = parser
        self.num_frequencies = num_frequencies
        self.salvage = salvage
        self.quantization: dict[int, np.ndarray] = {}

    def keep_quantization(self, segment: Segment, header: ScanHeader) -> None:
        """Take the tables as of a component's first scan, as libjpeg does."""
        for component in header.components:
            if component.index not in self.quantization:
                table = self.parser.find_quantization(segment, component.index)
                self.quantization[component.index] = table

    def make_component(self, index: int, coefficients: np.ndarray) -> Component:
        factors = self.parser.frame.components[index]
        table = self.quantization.get(index)
        if table is None:  # no scan of it was left
            table = self.parser.quantization.get(factors.quantization)
        if table is None:
            raise self.parser.missing_scan(index)
        # A copy: chroma components share a table, and callers may change what they got.
        table = table[: self.num_frequencies].copy()
        return Component(coefficients, table, (factors.h, factors.v))

    def open_stream(self, segment: Segment, plan: ScanPlan, least_bits: int) -> _Stream:
        """Return a scan's data; each of its blocks takes least_bits or more."""
        parser = self.parser
        intervals = parser.count_intervals(plan)
        if self.salvage:
            data, starts, resumed, position = scan.salvage(parser.content, segment.end, intervals)
            stream = np.zeros(ceil_div(len(data), 8) * 8 + 8 * _PADDING_WORDS, np.uint8)
            stream[: len(data)] = np.frombuffer(data, np.uint8)
            return _Stream(scan.to_words(stream, len(data)), starts, resumed, position)
        available = len(parser.content) - segment.end
        blocks = plan.mcus * plan.mcu_blocks
        # Refuse what cannot fit before allocating for it: a restart interval takes a byte and its
        # marker two.
        if blocks * least_bits > 8 * available or intervals > available // 3 + 1:
            raise parser.too_little_data(available)
        starts = np.zeros(intervals + 1, np.int64)
        stream = np.empty(ceil_div(available, 8) * 8 + 8 * _PADDING_WORDS, np.uint8)
        data = np.frombuffer(parser.content, np.uint8)
        status, position, written, restarts = scan.unstuff(
            data, segment.end, data.size, starts, stream
        )
        if status != scan.OK:
            raise JpegFormatError(_PROBLEMS[status], parser.source, position)
        if restarts != intervals - 1:
            raise JpegFormatError(
                f"expected {intervals - 1} restart markers in the scan, got {restarts}; "
                "the file is truncated or damaged",
                parser.source,
                position,
            )
        if blocks * least_bits > 8 * written:
            raise parser.too_little_data(written)
        words = scan.to_words(stream, written)
        return _Stream(words, starts, np.ones(intervals, np.bool_), position)

    def check_tolerated(self, segment: Segment, dc_tables: Sequence[HuffmanTable]) -> None:
        """Refuse tables of DC that even libjpeg refuses, if damaged data is to be read."""
        largest = max((table.codes.largest_symbol for table in dc_tables), default=0)
        if self.salvage and largest > _MAX_TOLERATED_DC_SIZE:
            raise segment.error(
                "the symbols of a DC Huffman table must be at most "
                f"{_MAX_TOLERATED_DC_SIZE}; got {largest}"
            )

    def check_status(self, segment: Segment, status: int, bit: int) -> None:
        """Raise what a kernel's status says."""
        if status == scan.OK or self.salvage:
            return
        content = self.parser.content
        if status == scan.OUT_OF_DATA:  # point behind the last byte, not at the next interval
            offset = _file_offset(content, segment.end, max(bit - 1, 0) // 8) + 1
            offset = min(offset, len(content))
        else:
            offset = _file_offset(content, segment.end, bit // 8)
        raise JpegFormatError(_PROBLEMS[status], self.parser.source, offset)


class _SequentialDecoder(_Decoder):
    def __init__(self, parser: FrameParser, num_frequencies: int, salvage: bool):
        super().__init__(parser, num_frequencies, salvage)
        self.coefficients: dict[int, np.ndarray] = {}

    @property
    def is_finished(self) -> bool:
        return len(self.coefficients) == len(self.parser.frame.components)

    def check_finished(self, position: int) -> None:
        if not self.salvage and not self.is_finished:
            raise self.parser.no_scan(position)

    def read_scan(self, segment: Segment) -> int:
        parser = self.parser
        header = markers.parse_scan(segment, parser.frame)
        parser.check_sequential(segment, header, frozenset(self.coefficients))
        self.keep_quantization(segment, header)
        tables = parser.select_tables(segment, header)
        plan = plan_scan(parser.frame, header)
        self.check_tolerated(segment, [dc for dc, _ in tables])
        codes = [table.codes for pair in tables for table in pair]
        stream = self.open_stream(segment, plan, least_bits=2)
        layout, size = _lay_out(plan, self.num_frequencies)
        out = np.zeros(size + 1, np.int16)
        status, bit = scan.decode_sequential(
            stream.words,
            stream.starts,
            stream.resumed,
            parser.restart_interval or plan.mcus,
            plan.mcu_rows,
            plan.mcu_columns,
            _list_blocks(plan),
            layout,
            np.arange(len(codes), dtype=np.int64).reshape(-1, 2),
            np.stack([c.limits for c in codes]),
            np.stack([c.shifts for c in codes]),
            np.stack([c.symbols for c in codes]),
            self.num_frequencies,
            self.salvage,
            out,
        )
        # What fills up the last byte of a restart interval is no code, and zeros stand behind the
        # last one: running into either is lack of data, whatever it decodes to.
        following = stream.starts[np.searchsorted(stream.starts, bit, side="right") :]
        in_padding = not following.size or following[0] - bit < 8
        if status not in (scan.OK, scan.DATA_LEFT) and in_padding:
            status = scan.OUT_OF_DATA
        self.check_status(segment, status, bit)
        for component, (_, _, rows, columns, start) in zip(plan.components, layout.tolist()):
            shape = (rows, columns, self.num_frequencies)
            end = start + rows * columns * self.num_frequencies
            self.coefficients[component.index] = out[start:end].reshape(shape)
        return stream.position

    def make_components(self) -> tuple[Component, ...]:
        components = []
        for index, (rows, columns) in enumerate(_block_counts(self.parser)):
            coefficients = self.coefficients.get(index)
            if coefficients is None:
                coefficients = np.zeros((rows, columns, self.num_frequencies), np.int16)
            components.append(self.make_component(index, coefficients))
        return tuple(components)


class _ProgressiveDecoder(_Decoder):
    def __init__(self, parser: FrameParser, num_frequencies: int, salvage: bool):
        super().__init__(parser, num_frequencies, salvage)
        self.progression = Progression(len(parser.frame.components))
        counts = [rows * columns for rows, columns in _block_counts(parser)]
        # Each block takes a bit in the first scan of its component at least.
        if not salvage and sum(counts) > 8 * len(parser.content):
            raise parser.too_little_data(len(parser.content))
        self.offsets = [sum(counts[:index]) * BLOCK_COEFFICIENTS for index in range(len(counts))]
        self.out = np.zeros(sum(counts) * BLOCK_COEFFICIENTS, np.int16)
        self.masks = np.zeros(progressive.count_masks(sum(counts)), np.uint64)

    @property
    def is_finished(self) -> bool:
        return False  # only EOI tells: what follows may be of use to others

    def check_finished(self, position: int) -> None:
        if not self.salvage and not self.progression.is_started:
            raise self.parser.no_scan(position)

    def read_scan(self, segment: Segment) -> int:
        parser = self.parser
        header = markers.parse_scan(segment, parser.frame)
        problem = self.progression.add_scan(header)
        if problem is not None and (problem.fatal or not self.salvage):
            raise segment.error(problem.sentence, len(segment.payload) - 3)
        self.keep_quantization(segment, header)
        refine = header.approximation_high > 0
        of_dc = header.spectral_start == 0
        classes = (() if refine else (DC_CLASS,)) if of_dc else (AC_CLASS,)
        tables = tuple(
            table for chosen in parser.select_tables(segment, header, classes) for table in chosen
        )
        if of_dc:
            self.check_tolerated(segment, tables)
        plan = plan_scan(parser.frame, header)
        # A scan of DC takes a bit a block or more; runs of bands without coefficients nearly none.
        stream = self.open_stream(segment, plan, least_bits=1 if of_dc else 0)
        layout, _ = _lay_out(plan, BLOCK_COEFFICIENTS)
        layout[:, scan.LAYOUT_OFFSET] = [self.offsets[c.index] for c in plan.components]
        starts = stream.starts.copy()
        starts[:-1] = np.where(stream.resumed, starts[:-1], ~starts[:-1])
        status, bit = progressive.decode_progressive(
            stream.words,
            starts,
            parser.restart_interval or plan.mcus,
            plan.mcu_rows,
            plan.mcu_columns,
            _list_blocks(plan),
            layout,
            progressive.build_tables(tables, refine),
            header.spectral_start,
            header.spectral_end,
            header.approximation_high,
            header.approximation_low,
            self.salvage,
            self.out,
            self.masks,
        )
        self.check_status(segment, status, bit)
        return stream.position

    def keep_lowest(self, coefficients: np.ndarray) -> np.ndarray:
        if self.num_frequencies == BLOCK_COEFFICIENTS:
            return coefficients
        lowest = coefficients[..., : self.num_frequencies]
        kept = np.zeros(lowest.shape, np.int16)
        for row, values in zip(kept, lowest):
            # Memory that nothing was stored to is not taken: of a damaged file it can be much.
            if values.any():
                row[:] = values
        return kept

    def make_components(self) -> tuple[Component, ...]:
        components = []
        for index, (rows, columns) in enumerate(_block_counts(self.parser)):
            end = self.offsets[index] + rows * columns * BLOCK_COEFFICIENTS
            coefficients = self.out[self.offsets[index] : end]
            coefficients = coefficients.reshape(rows, columns, BLOCK_COEFFICIENTS)
            components.append(self.make_component(index, self.keep_lowest(coefficients)))
        return tuple(components)


def _block_counts(parser: FrameParser) -> list[tuple[int, int]]:
    """Return rows and columns of blocks of each component of the frame."""
    return [parser.count_blocks(index) for index in range(len(parser.frame.components))]


def _lay_out(plan: ScanPlan, frequencies: int) -> tuple[np.ndarray, int]:
    """Return a layout as the kernels take it, and how many coefficients it is of."""
    layout = []
    size = 0
    for component in plan.components:
        rows, columns = component.rows, component.columns
        layout.append((component.v, component.h, rows, columns, size))
        size += rows * columns * frequencies
    return np.array(layout, np.int64), size


def _list_blocks(plan: ScanPlan) -> np.ndarray:
    """Return a plan as the kernels take it: the blocks of an MCU."""
    return np.array(
        [
            (number, row, column)
            for number, component in enumerate(plan.components)
            for row in range(component.v)
            for column in range(component.h)
        ],
        np.int64,
    )


def _file_offset(content: bytes, start: int, index: int) -> int:
    """Return where in the file the byte of that index in the unstuffed data stands."""
    position = start
    while True:
        marker = content.find(b"\xff", position)
        if marker < 0:
            return min(position + index, len(content))
        if index < marker - position:
            return position + index
        index -= marker - position
        position = marker + 1
        while content[position : position + 1] == b"\xff":
            position += 1
        following = content[position : position + 1]
        if following == b"\0":
            if index == 0:
                return marker
            index -= 1
        elif not following or not markers.RST0 <= following[0] <= markers.RST7:
            return marker
        position += 1
