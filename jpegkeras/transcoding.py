"""One JPEG's bytes → coefficients in the one form that a data set asks for.

The preprocessing job and the prediction of single files both go through `transcode`, so that a
network sees the same numbers from both. Three routes, each counted apart:

- *untouched*: the quantised coefficients are those of the file;
- *converted*: the luma is that of the file, the chroma was brought to the data set's sampling in
  the coefficient domain (`jpegkeras.resampling`); a grayscale file got chroma planes of zeros;
- *re-encoded*: the file was decoded and encoded again by Pillow, because a size or a quality was
  asked for, or because the reader does not handle it (progressive, arithmetic, CMYK, a PNG named
  .JPEG, …).
"""

from __future__ import annotations

import dataclasses
import io

from PIL import Image

from jpegkeras.jpeg import JpegCoefficients, JpegUnsupportedError, read_coefficients
from jpegkeras.resampling import can_convert, convert_sampling
from jpegkeras.sampling import BLOCK, chroma_ratio

UNTOUCHED, CONVERTED, REENCODED = ROUTES = ("untouched", "converted", "re-encoded")
# Where neither the user nor the source file says which quantisation tables to use.
DEFAULT_QUALITY = 95
_SOI = b"\xff\xd8"


class UnreadableImageError(ValueError):
    """Neither the coefficient reader nor Pillow can read the file; the message says why."""


@dataclasses.dataclass(frozen=True)
class Transcoding:
    """What every image of a data set goes through.

    `smallest_side`: the shorter side in pixels after a bicubic resize, or None to keep the size.
    `quality`: JPEG quality 1–100 of what is re-encoded; None keeps the source's own quantisation
    tables (95 for a source that has none). `subsampling`: the chroma sampling of every record.
    `num_frequencies`: how many of the lowest frequencies are kept, 1–64. Raises ValueError for a
    value out of range.
    """

    smallest_side: int | None = None
    quality: int | None = None
    subsampling: str = "4:2:0"
    num_frequencies: int = BLOCK * BLOCK

    def __post_init__(self) -> None:
        if self.smallest_side is not None and self.smallest_side < 1:
            raise ValueError(f"smallest_side must be at least 1 pixel; got {self.smallest_side}.")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise ValueError(f"quality must be from 1 to 100; got {self.quality}.")
        if not 1 <= self.num_frequencies <= BLOCK * BLOCK:
            raise ValueError(f"num_frequencies must be from 1 to 64; got {self.num_frequencies}.")
        chroma_ratio(self.subsampling)


@dataclasses.dataclass(frozen=True)
class Transcoded:
    """The coefficients, the route that they took (one of `ROUTES`) and why, in a few words."""

    image: JpegCoefficients
    route: str
    reason: str = ""


def transcode(data: bytes, settings: Transcoding) -> Transcoded:
    """Returns three components of `settings.num_frequencies` frequencies in `settings.subsampling`.

    Raises JpegFormatError for a corrupt JPEG and UnreadableImageError for what Pillow cannot read
    either.
    """
    reason = _reason_to_reencode(data, settings)
    if reason:
        return _reencoded(data, settings, reason)
    try:
        image = read_coefficients(data)
    except JpegUnsupportedError as error:
        return _reencoded(data, settings, error.feature)
    if not can_convert(image.subsampling):
        return _reencoded(data, settings, f"sampling {image.subsampling}")
    if image.subsampling == settings.subsampling:
        return Transcoded(_lowest(image, settings.num_frequencies), UNTOUCHED)
    reason = f"{image.subsampling} to {settings.subsampling}"
    return Transcoded(_convert(image, settings), CONVERTED, reason)


def _reason_to_reencode(data: bytes, settings: Transcoding) -> str:
    """Says why Pillow must encode this file anew, as far as its header tells, or ""."""
    if not data.startswith(_SOI):
        return "not a JPEG"
    if settings.quality is not None:
        return f"quality {settings.quality}"
    if settings.smallest_side is not None:
        with _opened(data) as picture:
            if min(picture.size) != settings.smallest_side:
                return f"smallest side {settings.smallest_side}"
    return ""


def _reencoded(data: bytes, settings: Transcoding, reason: str) -> Transcoded:
    image = read_coefficients(_encode(data, settings))
    # Pillow writes grayscale as one component, whatever the sampling.
    return Transcoded(_convert(image, settings), REENCODED, reason)


def _encode(data: bytes, settings: Transcoding) -> bytes:
    with _opened(data) as picture:
        try:
            picture.load()
        except (OSError, ValueError, SyntaxError) as error:
            raise UnreadableImageError(f"cannot be decoded: {error}") from error
        tables = getattr(picture, "quantization", None)
        flat = picture.convert("L" if picture.mode in ("1", "L", "LA") else "RGB")
    if settings.smallest_side is not None:
        flat = flat.resize(_resized(flat.size, settings.smallest_side), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    flat.save(out, "JPEG", subsampling=settings.subsampling, **_quality(settings.quality, tables))
    return out.getvalue()


def _opened(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = "it is no image" if isinstance(error, Image.UnidentifiedImageError) else str(error)
        raise UnreadableImageError(f"cannot be opened: {reason}") from error


def _quality(quality: int | None, tables: dict[int, list[int]] | None) -> dict:
    if quality is not None:
        return {"quality": quality}
    # Baseline tables are of 8 bits; a source may have up to four of 16 bits.
    if tables and all(0 < step < 256 for table in tables.values() for step in table):
        return {"qtables": [tables[key] for key in sorted(tables)][:2]}
    return {"quality": DEFAULT_QUALITY}


def _resized(size: tuple[int, int], smallest_side: int) -> tuple[int, int]:
    width, height = size
    scale = smallest_side / min(width, height)
    return (
        max(smallest_side, round(width * scale)),
        max(smallest_side, round(height * scale)),
    )


def _convert(image: JpegCoefficients, settings: Transcoding) -> JpegCoefficients:
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
