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

import contextlib
import dataclasses
import io

import numpy as np
from PIL import Image

from jpegkeras.jpeg import JpegCoefficients, JpegUnsupportedError, read_coefficients
from jpegkeras.resampling import can_convert, convert_sampling
from jpegkeras.sampling import BLOCK, chroma_ratio

UNTOUCHED, CONVERTED, REENCODED = ROUTES = ("untouched", "converted", "re-encoded")
# Where neither the user nor the source file says which quantisation tables to use.
DEFAULT_QUALITY = 95
_SOI = b"\xff\xd8"
_BICUBIC = Image.Resampling.BICUBIC
_MAX_JPEG_SIDE = 65500
_MAX_16_BITS = 65535


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
    _check_damage(data)
    image = read_coefficients(_encode(data, settings))
    # Pillow writes grayscale as one component, whatever the sampling.
    return Transcoded(_convert(image, settings), REENCODED, reason)


def _check_damage(data: bytes) -> None:
    """Raises JpegFormatError for a damaged JPEG, which Pillow would decode with a shrug."""
    if data.startswith(_SOI):
        with contextlib.suppress(JpegUnsupportedError):
            read_coefficients(data, num_frequencies=1)


def _encode(data: bytes, settings: Transcoding) -> bytes:
    out = io.BytesIO()
    try:
        with _opened(data) as picture:
            picture.load()
            tables = _tables(picture)
            flat = _flattened(picture)
        if settings.smallest_side is not None:
            flat = flat.resize(_resized(flat.size, settings.smallest_side), _BICUBIC)
        quality = _quality(settings.quality, tables)
        flat.save(out, "JPEG", subsampling=settings.subsampling, **quality)
    except UnreadableImageError:
        raise
    except (OSError, ValueError, SyntaxError) as error:
        raise UnreadableImageError(f"cannot be decoded: {error}") from error
    return out.getvalue()


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
    # A baseline JPEG has tables of 8 bits; those of the very lowest qualities have 16.
    return [[min(step, 255) for step in table] for table in chosen]


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
