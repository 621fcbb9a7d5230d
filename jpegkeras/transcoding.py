"""One JPEG's bytes → coefficients in the one form that a data set asks for.

The preprocessing job and the prediction of single files both go through `transcode`, so that a
network sees the same numbers from both. Three routes, each counted apart:

- *untouched*: the quantised coefficients are those of the file;
- *converted*: changed in the coefficient domain, in this order: turned upright
  (`jpegkeras.jpeg.lossless`), made smaller by a whole factor, chroma brought to the data set's
  sampling (`jpegkeras.resampling`). What was not asked for or not necessary is left out, so that
  mostly the luma is that of the file; a grayscale file got chroma planes of zeros;
- *re-encoded*: quantised anew, because a size or a quality was asked for, or because the reader or
  `convert_sampling` does not take the file (arithmetic, CMYK, R, G and B, a PNG named .JPEG, …).

There are two ways to a new size or quality. "fast" changes the planes of luma and chroma each by
itself (`jpegkeras.resizing`) and needs no second JPEG; "exact" has Pillow decode, resize in RGB and
encode, bit for bit as a script with Pillow does. What the reader does not take goes through Pillow
either way. docs/resizing.md compares them.

A damaged or truncated JPEG takes no route: what is known to be incomplete is refused.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from jpegkeras.jpeg import (
    JpegCoefficients,
    JpegFormatError,
    JpegUnsupportedError,
    exif,
    markers,
    read_coefficients,
)
from jpegkeras.jpeg.lossless import apply_orientation
from jpegkeras.quality import quantization_tables
from jpegkeras.resampling import FACTORS, can_convert, convert_sampling, downscale
from jpegkeras.resizing import Encoding, count_frequencies, reencode, resize
from jpegkeras.sampling import BLOCK, chroma_ratio

UNTOUCHED, CONVERTED, REENCODED = ROUTES = ("untouched", "converted", "re-encoded")
#: How a size or a quality is brought about.
FAST, EXACT = RESIZES = ("fast", "exact")
# Where neither the user nor the source file says which quantisation tables to use.
DEFAULT_QUALITY = 95
_SOI = b"\xff\xd8"
_BICUBIC = Image.Resampling.BICUBIC
_MAX_JPEG_SIDE = 65500
# A baseline JPEG has quantisation tables of 8 bits; those of the very lowest qualities have 16.
_MAX_STEP = 255
# The EXIF orientations, and what turns each of the others upright.
_UPRIGHT, _TRANSPOSED = 1, 5
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_MAX_16_BITS = 65535


class UnreadableImageError(ValueError):
    """Neither the coefficient reader nor Pillow can read the file; the message says why."""


@dataclasses.dataclass(frozen=True)
class Transcoding:
    """What every image of a data set goes through.

    `smallest_side`: the shorter side in pixels after a bicubic resize, or None to keep the size.
    `quality`: JPEG quality 1–100 of what is re-encoded; None keeps the source's own quantisation
    tables (95 for a source that has none). `subsampling`: the chroma sampling of every record.
    `num_frequencies`: how many of the lowest frequencies are kept, 1–64. `respect_orientation`:
    whether pictures are turned as their EXIF data say. `downscale`: 1, 2, 4 or 8, by which height
    and width are divided; not together with `smallest_side`. `resize`: "fast" or "exact", see
    above. Raises ValueError for a value out of range.
    """

    smallest_side: int | None = None
    quality: int | None = None
    subsampling: str = "4:2:0"
    num_frequencies: int = BLOCK * BLOCK
    respect_orientation: bool = False
    downscale: int = 1
    resize: str = FAST

    def __post_init__(self) -> None:
        if self.smallest_side is not None and self.smallest_side < 1:
            raise ValueError(f"smallest_side must be at least 1 pixel; got {self.smallest_side}.")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise ValueError(f"quality must be from 1 to 100; got {self.quality}.")
        if not 1 <= self.num_frequencies <= BLOCK * BLOCK:
            raise ValueError(f"num_frequencies must be from 1 to 64; got {self.num_frequencies}.")
        if self.downscale not in FACTORS:
            raise ValueError(f"downscale must be 1, 2, 4 or 8; got {self.downscale}.")
        if self.downscale != 1 and self.smallest_side is not None:
            raise ValueError(
                f"downscale={self.downscale} and smallest_side={self.smallest_side} both set the "
                "size; give one of them."
            )
        if self.resize not in RESIZES:
            raise ValueError(f"resize must be one of {', '.join(RESIZES)}; got {self.resize!r}.")
        chroma_ratio(self.subsampling)

    @classmethod
    def recorded(cls, settings: Mapping[str, Any]) -> Transcoding:
        """Returns the settings that a data set or a checkpoint names.

        One that did not exist when it was made is as everything was done then.
        """
        return cls(**{"resize": EXACT, **settings})


@dataclasses.dataclass(frozen=True)
class Transcoded:
    """The coefficients, the route that they took (one of `ROUTES`) and why, a phrase a reason."""

    image: JpegCoefficients
    route: str
    reasons: tuple[str, ...] = ()


def transcode(data: bytes, settings: Transcoding) -> Transcoded:
    """Returns three components of `settings.num_frequencies` frequencies in `settings.subsampling`.

    Raises JpegFormatError for a corrupt JPEG and UnreadableImageError for what Pillow cannot read
    either.
    """
    if not data.startswith(_SOI):
        return _encoded_by_pillow(data, settings, "not a JPEG")
    try:
        # Also where Pillow encodes it: it would decode a damaged JPEG with a shrug.
        image = _read(data, settings)
    except JpegUnsupportedError as error:
        return _encoded_by_pillow(data, settings, error.feature)
    if image.rgb:
        return _encoded_by_pillow(data, settings, "RGB colour")
    if not can_convert(image):
        return _encoded_by_pillow(data, settings, f"sampling {image.subsampling}")
    reason = _reason_to_reencode(image, settings)
    if reason:
        return _reencoded(data, image, settings, reason)
    return _converted(data, image, settings)


def _read(data: bytes, settings: Transcoding) -> JpegCoefficients:
    """Reads a JPEG, of one that will be encoded anew only the frequencies that this takes."""
    if settings.quality is None and settings.smallest_side is None:
        return read_coefficients(data)
    frame = _find_frame(data)
    if frame is None or not _reason_to_reencode(frame, settings):
        return read_coefficients(data)
    image = read_coefficients(data, _count_frequencies(frame, settings))
    # The lines may have been counted anew behind the scan (T.81 B.2.5).
    return image if image.height == frame.height else read_coefficients(data)


def _find_frame(data: bytes) -> markers.FrameHeader | None:
    """Returns the frame header, or None for an unusual or a damaged file."""
    position = len(_SOI)
    try:
        while True:
            segment = markers.read_segment(data, position, "")
            if segment.marker in (markers.SOF0, markers.SOF1, markers.SOF2):
                frame = markers.parse_frame(segment)
                return frame if frame.height and len(frame.components) in (1, 3) else None
            if segment.marker in markers.WITHOUT_LENGTH or segment.marker == markers.SOS:
                return None
            position = segment.end
    except JpegFormatError:
        return None


def _count_frequencies(frame: markers.FrameHeader, settings: Transcoding) -> int:
    if settings.resize == EXACT:
        return 1  # all that Pillow does not see is damage
    # The file's own tables are only whole if all frequencies are.
    if settings.quality is None or settings.smallest_side is None:
        return BLOCK * BLOCK
    factors = [(component.h, component.v) for component in frame.components]
    new_size = _new_size(frame, settings.smallest_side)
    return max(
        count_frequencies(
            (frame.height, frame.width), factors, new_size, settings.subsampling, orientation
        )
        for orientation in (_UPRIGHT, _TRANSPOSED)
    )


def _reason_to_reencode(
    image: JpegCoefficients | markers.FrameHeader, settings: Transcoding
) -> str:
    """Says why an image's coefficients cannot be kept, or ""."""
    if settings.quality is not None:
        return f"quality {settings.quality}"
    if settings.smallest_side not in (None, min(image.height, image.width)):
        return _size_reason(settings)
    return ""


def _size_reason(settings: Transcoding) -> str:
    return f"smallest side {settings.smallest_side}"


def _converted(data: bytes, image: JpegCoefficients, settings: Transcoding) -> Transcoded:
    """Changes the coefficients as far as is needed; `data` are those of the file."""
    stored = image
    reasons = []
    if settings.respect_orientation and image.orientation != _UPRIGHT:
        reasons.append(f"orientation {image.orientation}")
        try:
            image = apply_orientation(image)
        except ValueError:
            return _reencoded(data, stored, settings, "no whole MCU to turn")
        # A part of an MCU has no place at the other edge, and was cut off.
        if settings.smallest_side not in (None, min(image.height, image.width)):
            return _reencoded(data, stored, settings, _size_reason(settings))
    if settings.downscale != 1:
        reasons.append(f"downscale {settings.downscale}")
        image = downscale(image, settings.downscale)
    if image.subsampling != settings.subsampling:
        reasons.append(f"{image.subsampling} to {settings.subsampling}")
    route = CONVERTED if reasons else UNTOUCHED
    return Transcoded(_finish(image, settings), route, tuple(reasons))


def _reencoded(
    data: bytes, image: JpegCoefficients, settings: Transcoding, reason: str
) -> Transcoded:
    """Brings an image that `convert_sampling` takes to its new size and quality."""
    if settings.resize == EXACT:
        return _encoded_by_pillow(data, settings, reason)
    orientation = image.orientation if settings.respect_orientation else _UPRIGHT
    encoding = Encoding(settings.subsampling, _new_tables(image, settings), orientation)
    if settings.smallest_side is None:
        image = reencode(image, encoding, settings.downscale)
    else:
        image = resize(image, _new_size(image, settings.smallest_side), encoding)
    return Transcoded(_finish(image, settings), REENCODED, (reason, *_turned(orientation)))


def _new_tables(image: JpegCoefficients, settings: Transcoding) -> list[np.ndarray]:
    """Returns a quantisation table for each component."""
    if settings.quality is not None:
        luma, chroma = quantization_tables(settings.quality)
        return [luma, chroma, chroma]
    return [np.minimum(c.quantization, _MAX_STEP).astype(np.uint16) for c in image.components]


def _turned(orientation: int) -> tuple[str, ...]:
    return () if orientation == _UPRIGHT else (f"orientation {orientation}",)


def _encoded_by_pillow(data: bytes, settings: Transcoding, reason: str) -> Transcoded:
    encoded, orientation = _encode(data, settings)
    # Pillow writes grayscale as one component, whatever the sampling.
    image = _finish(read_coefficients(encoded), settings)
    return Transcoded(image, REENCODED, (reason, *_turned(orientation)))


def _encode(data: bytes, settings: Transcoding) -> tuple[bytes, int]:
    """Returns the picture as a JPEG, and the EXIF orientation from which it was turned upright."""
    out = io.BytesIO()
    orientation = _UPRIGHT
    try:
        with _opened(data) as picture:
            picture.load()
            if settings.respect_orientation:
                orientation = _orientation(picture)
            tables = _tables(picture)
            flat = _flattened(picture)
        if orientation != _UPRIGHT:
            flat = flat.transpose(_TURNS[orientation])
        if settings.downscale != 1:
            flat = flat.reduce(settings.downscale)
        if settings.smallest_side is not None:
            flat = flat.resize(_resized(flat.size, settings.smallest_side), _BICUBIC)
        quality = _quality(settings.quality, tables)
        flat.save(out, "JPEG", subsampling=settings.subsampling, **quality)
    except UnreadableImageError:
        raise
    except (OSError, ValueError, SyntaxError) as error:
        if "out of memory" in str(error):  # so Pillow says it; the file is not at fault
            raise MemoryError(str(error)) from error
        raise UnreadableImageError(f"cannot be decoded: {error}") from error
    return out.getvalue(), orientation


def _orientation(picture: Image.Image) -> int:
    """Returns the EXIF orientation of a picture, 1 to 8, as the reader gives that of a JPEG."""
    data = picture.info.get("exif", b"")
    # Of some formats, Pillow gives it without the header that it has in a JPEG.
    return exif.parse_orientation(data if exif.is_exif(data) else b"Exif\0\0" + data)


def _flattened(picture: Image.Image) -> Image.Image:
    """Returns the picture in mode L or RGB; what is transparent becomes white."""
    if picture.mode == "F":
        raise UnreadableImageError("cannot be decoded: samples of floating point have no range.")
    if picture.mode.startswith("I"):  # 16 bits; Pillow's own conversion would clip them at 255
        levels = np.asarray(picture).astype(np.int64)
        if levels.min() < 0 or levels.max() > _MAX_16_BITS:
            raise UnreadableImageError("cannot be decoded: samples of more than 16 bits.")
        return Image.fromarray(np.rint(levels / (_MAX_16_BITS / 255)).astype(np.uint8))
    if picture.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture).convert("RGB")
    return picture.convert("L" if picture.mode in ("1", "L") else "RGB")


def _tables(picture: Image.Image) -> list[list[int]]:
    """Returns the quantisation tables of a JPEG's luma and chroma, with steps of 8 bits."""
    tables = getattr(picture, "quantization", None)
    layers = getattr(picture, "layer", None)
    if not tables or not layers:
        return []
    # A component's header names its table: (identifier, h, v, table).
    chosen = [tables[layer[3]] for layer in layers[:2]]
    return [[min(step, _MAX_STEP) for step in table] for table in chosen]


def _opened(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = "it is no image" if isinstance(error, Image.UnidentifiedImageError) else str(error)
        raise UnreadableImageError(f"cannot be opened: {reason}") from error


def _quality(quality: int | None, tables: list[list[int]]) -> dict:
    if quality is None and tables:
        return {"qtables": tables}
    return {"quality": DEFAULT_QUALITY if quality is None else quality}


def _new_size(image: JpegCoefficients | markers.FrameHeader, smallest_side: int) -> tuple[int, int]:
    """Returns (height, width)."""
    width, height = _resized((image.width, image.height), smallest_side)
    return height, width


def _resized(size: tuple[int, int], smallest_side: int) -> tuple[int, int]:
    width, height = size
    scale = smallest_side / min(width, height)
    resized = tuple(max(smallest_side, round(side * scale)) for side in size)
    if max(resized) > _MAX_JPEG_SIDE:
        raise UnreadableImageError(
            f"cannot be resized: {width}×{height} would become {resized[0]}×{resized[1]}, more "
            f"than the {_MAX_JPEG_SIDE} pixels a side that libjpeg writes."
        )
    return resized


def _finish(image: JpegCoefficients, settings: Transcoding) -> JpegCoefficients:
    """Brings the image to the data set's chroma sampling and frequencies."""
    return _lowest(convert_sampling(image, settings.subsampling), settings.num_frequencies)


def _lowest(image: JpegCoefficients, num_frequencies: int) -> JpegCoefficients:
    if num_frequencies == image.num_frequencies:
        return image
    components = tuple(
        dataclasses.replace(
            component,
            coefficients=component.coefficients[..., :num_frequencies],
            quantization=component.quantization[:num_frequencies],
        )
        for component in image.components
    )
    return dataclasses.replace(image, components=components)
