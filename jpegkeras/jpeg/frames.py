"""The marker segments of a file up to each of its scans (T.81 B.2), and how a scan is laid out."""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple

import numpy as np

from jpegkeras.jpeg import exif, markers
from jpegkeras.jpeg.errors import JpegError, JpegFormatError, JpegUnsupportedError
from jpegkeras.jpeg.huffman import AC_CLASS, DC_CLASS, HuffmanTable
from jpegkeras.jpeg.markers import FrameHeader, ScanHeader, Segment
from jpegkeras.jpeg.scan import find_marker
from jpegkeras.jpeg.types import ceil_div, count_blocks

_TO_HUFFMAN = "convert it to Huffman coding, without loss for example by `jpegtran -optimize`"
_TO_YCBCR = "convert it to a YCbCr or grayscale JPEG of 8 bits"

# T.81 Table B.1, and T.87 for JPEG-LS.
_UNSUPPORTED_MARKERS = {
    0xC3: ("lossless", _TO_YCBCR),
    0xC5: ("hierarchical", _TO_YCBCR),
    0xC6: ("hierarchical", _TO_YCBCR),
    0xC7: ("hierarchical", _TO_YCBCR),
    0xC9: ("arithmetic coding", _TO_HUFFMAN),
    0xCA: ("arithmetic coding", _TO_HUFFMAN),
    0xCB: ("lossless", _TO_YCBCR),
    0xCC: ("arithmetic coding", _TO_HUFFMAN),
    0xCD: ("hierarchical", _TO_YCBCR),
    0xCE: ("hierarchical", _TO_YCBCR),
    0xCF: ("hierarchical", _TO_YCBCR),
    markers.DHP: ("hierarchical", _TO_YCBCR),
    markers.EXP: ("hierarchical", _TO_YCBCR),
    0xC8: ("JPEG extension (marker 0xC8)", _TO_YCBCR),
    0xF7: ("JPEG-LS", _TO_YCBCR),
    **{
        marker: (f"JPEG extension (marker 0x{marker:02X})", _TO_YCBCR)
        for marker in range(0xF0, 0xFE)
        if marker != 0xF7
    },
}
_FRAME_MARKERS = (markers.SOF0, markers.SOF1, markers.SOF2)
_DNL_MARKER = bytes([0xFF, markers.DNL])


class Limits(NamedTuple):
    """What a file may ask for: pixels of the image, and scans."""

    max_pixels: int
    max_scans: int


class ComponentPlan(NamedTuple):
    """A component of a scan: its index in the frame, blocks in an MCU, blocks to keep."""

    index: int
    v: int
    h: int
    rows: int
    columns: int


class ScanPlan(NamedTuple):
    """How the blocks of a scan are laid out (T.81 A.2).

    An MCU of an interleaved scan has h × v blocks of each component (A.2.3), of another scan a
    single one (A.2.2).

    Attributes:
        mcu_rows: rows of MCUs.
        mcu_columns: columns of MCUs.
        mcu_blocks: blocks in an MCU.
        components: of the scan, in its order.
        blocks: how many there are to keep, of all components.
    """

    mcu_rows: int
    mcu_columns: int
    mcu_blocks: int
    components: tuple[ComponentPlan, ...]
    blocks: int

    @property
    def mcus(self) -> int:
        """How many MCUs the scan has."""
        return self.mcu_rows * self.mcu_columns


@functools.lru_cache(maxsize=256)
def plan_scan(frame: FrameHeader, header: ScanHeader) -> ScanPlan:
    """Lay out a scan."""
    interleaved = len(header.components) > 1
    components = []
    for component in header.components:
        factors = frame.components[component.index]
        rows = count_blocks(frame.height, factors.v, frame.v_max)
        columns = count_blocks(frame.width, factors.h, frame.h_max)
        v, h = (factors.v, factors.h) if interleaved else (1, 1)
        components.append(ComponentPlan(component.index, v, h, rows, columns))
    mcu_rows, mcu_columns = markers.count_mcus(frame) if interleaved else (rows, columns)
    return ScanPlan(
        mcu_rows,
        mcu_columns,
        sum(c.v * c.h for c in components),
        tuple(components),
        sum(c.rows * c.columns for c in components),
    )


class FrameParser:
    """Reads the segments of a file one after the other; what they set up is in its attributes.

    Attributes:
        content: the file.
        source: its name, for messages.
        frame: the frame header once there is one; a height of 0 is replaced by next_scan().
        frame_offset: where that stands.
        quantization: uint16 [64] in zigzag order, by number; not to be changed.
        huffman: tables by class and number.
        restart_interval: MCUs between restart markers, 0 for none.
        rgb: whether the components are R, G and B; known from the first scan on.
        scans: how many scan headers there were.
        lines_may_change: look for a DNL segment that changes a height which the frame header gives.
        salvage: pass over what stands where a marker should, as libjpeg does.
    """

    def __init__(
        self,
        content: bytes,
        source: str,
        limits: Limits,
        lines_may_change: bool = False,
        salvage: bool = False,
    ):
        self.content = content
        self.source = source
        self.limits = limits
        self.lines_may_change = lines_may_change
        self.salvage = salvage
        self.frame: FrameHeader | None = None
        self.frame_offset = 0
        self.progressive = False
        self.quantization: dict[int, np.ndarray] = {}
        self.huffman: dict[tuple[int, int], HuffmanTable] = {}
        self.restart_interval = 0
        self._orientation: int | None = None
        self.rgb = False
        self.scans = 0
        self._jfif = False
        self._adobe_transform: int | None = None

    def check_start(self) -> int:
        """Return where the first segment after SOI begins.

        Raises:
            JpegFormatError: this is no JPEG.
        """
        if not self.content.startswith(b"\xff\xd8"):
            raise JpegFormatError(
                "expected a JPEG, which begins with ff d8; "
                f"got {self.content[:4].hex(' ') or 'no data'}",
                self.source,
                0,
            )
        return 2

    @property
    def orientation(self) -> int:
        """The EXIF orientation, 1 to 8."""
        return self._orientation or 1

    def find_scan(self) -> Segment | None:
        """Return the first SOS, or None if there is none up to EOI.

        Raises:
            JpegFormatError, JpegUnsupportedError: as check_start() and next_scan().
        """
        return self.next_scan(self.check_start())

    def next_scan(self, position: int) -> Segment | None:
        """Read the segments from a position on; return the next SOS, or None at the end (EOI).

        Raises:
            JpegFormatError: a segment is corrupt, stands where it must not, or is missing.
            JpegUnsupportedError: a feature is not handled, or more is asked for than the limits.
        """
        while True:
            if self.salvage:
                position = find_marker(self.content, position)
            segment = markers.read_segment(self.content, position, self.source)
            marker = segment.marker
            if marker == markers.EOI and self.frame is not None:
                return None
            handle = _HANDLERS.get(marker)
            if handle is None:
                raise self._unexpected_marker(segment)
            handle(self, segment)
            if marker == markers.SOS:
                return segment
            position = segment.start + len(segment.payload)

    def select_tables(
        self, segment: Segment, header: ScanHeader, classes: tuple[int, ...] = (DC_CLASS, AC_CLASS)
    ) -> list[tuple[HuffmanTable, ...]]:
        """Return the Huffman tables of each component of a scan, of these classes.

        Raises:
            JpegFormatError: there is none of that number.
        """
        tables = []
        for position, component in enumerate(header.components):
            keys = [(c, component.ac_table if c else component.dc_table) for c in classes]
            try:
                tables.append(tuple([self.huffman[key] for key in keys]))
            except KeyError:
                table_class, number = next(key for key in keys if key not in self.huffman)
                raise segment.error(
                    f"{'AC' if table_class else 'DC'} Huffman table {number} is missing; "
                    "the file is damaged or abbreviated",
                    2 + 2 * position,
                ) from None
        return tables

    def check_sequential(self, segment: Segment, header: ScanHeader, seen: frozenset[int]) -> None:
        """Check what a scan of a sequential frame must be; seen are the components that had one.

        Raises:
            JpegFormatError: it is not so.
        """
        band = (header.spectral_start, header.spectral_end)
        approximation = (header.approximation_high, header.approximation_low)
        # Some encoders write zeros for a band that a sequential scan does not have.
        if band not in ((0, 63), (0, 0)) or approximation != (0, 0):
            raise segment.error(
                "a sequential scan must have band 0 to 63 and no approximation; "
                f"got band {band[0]} to {band[1]} and approximation {approximation}",
                len(segment.payload) - 3,
            )
        for position, component in enumerate(header.components):
            if component.index in seen:
                identifier = self.frame.components[component.index].identifier
                raise segment.error(
                    f"component {identifier} has a scan already; "
                    "a sequential frame has one for each",
                    1 + 2 * position,
                )

    def find_quantization(self, segment: Segment, index: int) -> np.ndarray:
        """Return a component's quantisation table as of now: uint16 [64], not to be changed.

        Raises:
            JpegFormatError: there is none of that number.
        """
        number = self.frame.components[index].quantization
        table = self.quantization.get(number)
        if table is None:
            raise segment.error(
                f"quantisation table {number} is missing; the file is damaged or abbreviated", 0
            )
        return table

    def count_blocks(self, index: int) -> tuple[int, int]:
        """Return rows and columns of blocks of a component of the frame."""
        frame = self.frame
        factors = frame.components[index]
        return (
            count_blocks(frame.height, factors.v, frame.v_max),
            count_blocks(frame.width, factors.h, frame.h_max),
        )

    def no_scan(self, position: int) -> JpegFormatError:
        """Return the error for an image that ends before each component had a scan."""
        return JpegFormatError(
            "the image ends without a scan of each component; the file is damaged",
            self.source,
            position,
        )

    def missing_scan(self, index: int) -> JpegFormatError:
        """Return the error for a component that no scan or quantisation table is left of."""
        identifier = self.frame.components[index].identifier
        return JpegFormatError(
            f"neither a scan nor a quantisation table of component {identifier} is left",
            self.source,
            self.frame_offset,
        )

    def too_little_data(self, available: int) -> JpegFormatError:
        """Return the error for an image that cannot fit in so many bytes."""
        return JpegFormatError(
            f"an image of {self.frame.width} x {self.frame.height} cannot fit in {available} "
            "bytes of entropy-coded data; the file is truncated or the size is wrong",
            self.source,
            self.frame_offset,
        )

    def count_intervals(self, plan: ScanPlan) -> int:
        """Return how many restart intervals a scan has."""
        return ceil_div(plan.mcus, self.restart_interval or plan.mcus)

    def _set_quantization(self, segment: Segment) -> None:
        self.quantization.update(markers.parse_quantization_tables(segment))

    def _set_huffman(self, segment: Segment) -> None:
        self.huffman.update(markers.parse_huffman_tables(segment))

    def _set_restart_interval(self, segment: Segment) -> None:
        self.restart_interval = markers.parse_restart_interval(segment)

    def _note_jfif(self, segment: Segment) -> None:
        self._jfif = self._jfif or markers.is_jfif(segment)

    def _note_exif(self, segment: Segment) -> None:
        # Only the first, since more of it in further segments has no header.
        if self._orientation is None and exif.is_exif(segment.payload):
            self._orientation = exif.parse_orientation(segment.payload)

    def _note_adobe(self, segment: Segment) -> None:
        transform = markers.parse_adobe_transform(segment)
        self._adobe_transform = self._adobe_transform if transform is None else transform

    def _pass_over(self, segment: Segment) -> None:
        pass

    def _check_number_of_lines(self, segment: Segment) -> None:
        # Its number was taken when the scan began.
        if self.scans != 1:
            raise self._unexpected_marker(segment)

    def _begin_frame(self, segment: Segment) -> None:
        if self.frame is not None:
            raise segment.error("an image must have one frame header; this is a second one")
        frame = markers.parse_frame(segment)
        if frame.precision != 8:
            feature = f"{frame.precision}-bit samples"
            raise JpegUnsupportedError(feature, _TO_YCBCR, segment.source, segment.offset)
        self.frame = frame
        self.frame_offset = segment.offset
        self.progressive = segment.marker == markers.SOF2
        self._check_pixels()

    def _check_pixels(self) -> None:
        width, height = self.frame.width, self.frame.height
        if width * height > self.limits.max_pixels:
            raise JpegUnsupportedError(
                f"an image of {width} x {height} pixels (max_pixels is {self.limits.max_pixels})",
                "raise max_pixels to read it all the same",
                self.source,
                self.frame_offset,
            )

    def _begin_scan(self, segment: Segment) -> None:
        if self.frame is None:
            raise segment.error("the scan stands before the frame header; the file is damaged")
        self.scans += 1
        if self.scans > self.limits.max_scans:
            raise JpegUnsupportedError(
                f"an image of more than {self.limits.max_scans} scans (max_scans)",
                "raise max_scans to read it all the same",
                segment.source,
                segment.offset,
            )
        if self.scans == 1:
            self._decide_colour()
            if self.frame.height == 0 or (self.lines_may_change and _DNL_MARKER in self.content):
                self._look_for_number_of_lines(segment.end)

    def _look_for_number_of_lines(self, start: int) -> None:
        """Take the height from the DNL segment behind the first scan, if there is one (B.2.5)."""
        position = find_marker(self.content, start)
        if self.content[position + 1 : position + 2] == _DNL_MARKER[1:]:
            segment = markers.read_segment(self.content, position, self.source)
            height = markers.parse_number_of_lines(segment)
            self.frame = dataclasses.replace(self.frame, height=height)
            self._check_pixels()
        elif self.frame.height == 0:
            raise JpegFormatError(
                "the frame header leaves the height to a DNL segment after the first scan; "
                "there is none, the file is truncated or damaged",
                self.source,
                position,
            )

    def _decide_colour(self) -> None:
        """Find out what the components are.

        JPEG itself does not say. As libjpeg decides: a JFIF file is YCbCr, else the Adobe segment
        says what it is, else the component identifiers do.
        """
        identifiers = bytes(c.identifier for c in self.frame.components)
        feature = None
        if len(identifiers) == 3 and not self._jfif:
            self.rgb = self._adobe_transform == 0 or (
                self._adobe_transform is None and identifiers == b"RGB"
            )
        elif len(identifiers) == 4:
            feature = "YCCK" if self._adobe_transform else "CMYK (4 components)"
        elif len(identifiers) not in (1, 3):
            feature = f"{len(identifiers)} components"
        if feature is not None:
            raise JpegUnsupportedError(feature, _TO_YCBCR, self.source, self.frame_offset)

    def _unexpected_marker(self, segment: Segment) -> JpegError:
        marker = segment.marker
        if marker in _UNSUPPORTED_MARKERS:
            feature, advice = _UNSUPPORTED_MARKERS[marker]
            return JpegUnsupportedError(feature, advice, segment.source, segment.offset)
        if marker == markers.EOI:
            problem = "the image ends without a frame header; the file is damaged"
        else:
            problem = f"marker 0x{marker:02X} must not stand here; the file is damaged"
        return JpegFormatError(problem, segment.source, segment.offset)


_HANDLERS = {
    **dict.fromkeys(range(markers.APP0, markers.APP15 + 1), FrameParser._pass_over),
    markers.COM: FrameParser._pass_over,
    markers.TEM: FrameParser._pass_over,
    markers.APP0: FrameParser._note_jfif,
    markers.APP1: FrameParser._note_exif,
    markers.APP14: FrameParser._note_adobe,
    markers.DQT: FrameParser._set_quantization,
    markers.DHT: FrameParser._set_huffman,
    markers.DRI: FrameParser._set_restart_interval,
    markers.DNL: FrameParser._check_number_of_lines,
    **dict.fromkeys(_FRAME_MARKERS, FrameParser._begin_frame),
    markers.SOS: FrameParser._begin_scan,
}
