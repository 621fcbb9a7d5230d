"""One JPEG's bytes → coefficients in the one form that a data set asks for.

The preprocessing job and the prediction of single files both go through `transcode`, so that a
network sees the same numbers from both. Three routes, each counted apart:

- *untouched*: the quantised coefficients are those of the file;
- *converted*: changed in the coefficient domain, in this order: turned upright
  (`jpegkeras.jpeg.lossless`), made smaller by a whole factor, chroma brought to the data set's
  sampling (`jpegkeras.resampling`). What was not asked for or not necessary is left out, so that
  mostly the luma is that of the file; a grayscale file got chroma planes of zeros;
- *re-encoded*: the file was decoded and encoded again by Pillow, because a size or a quality was
  asked for, because its components are R, G and B, or because the reader does not handle it
  (arithmetic, CMYK, a PNG named .JPEG, …).

A damaged or truncated JPEG takes none of them: what is known to be incomplete is refused.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io

import numpy as np
from PIL import Image

from jpegkeras.jpeg import JpegCoefficients, JpegUnsupportedError, exif, read_coefficients
from jpegkeras.jpeg.lossless import apply_orientation
from jpegkeras.resampling import FACTORS, can_convert, convert_sampling, downscale
from jpegkeras.sampling import BLOCK, chroma_ratio

UNTOUCHED, CONVERTED, REENCODED = ROUTES = ("untouched", "converted", "re-encoded")
# Where neither the user nor the source file says which quantisation tables to use.
DEFAULT_QUALITY = 95
_SOI = b"\xff\xd8"
_BICUBIC = Image.Resampling.BICUBIC
_MAX_JPEG_SIDE = 65500
# The EXIF orientations, and what turns each of the others upright.
_UPRIGHT = 1
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
    and width are divided; not together with `smallest_side`. Raises ValueError for a value out of
    range.
    """

    smallest_side: int | None = None
    quality: int | None = None
    subsampling: str = "4:2:0"
    num_frequencies: int = BLOCK * BLOCK
    respect_orientation: bool = False
    downscale: int = 1

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
        chroma_ratio(self.subsampling)


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
    reason = _reason_to_reencode(data, settings)
    if reason:
        return _reencoded(data, settings, reason)
    try:
        image = read_coefficients(data)
    except JpegUnsupportedError as error:
        return _reencoded(data, settings, error.feature)
    if image.rgb:
        return _reencoded(data, settings, "RGB colour")
    if not can_convert(image):
        return _reencoded(data, settings, f"sampling {image.subsampling}")
    return _converted(data, image, settings)


def _reason_to_reencode(data: bytes, settings: Transcoding) -> str:
    """Says why Pillow must encode this file anew, as far as its header tells, or ""."""
    if not data.startswith(_SOI):
        return "not a JPEG"
    if settings.quality is not None:
        return f"quality {settings.quality}"
    if settings.smallest_side is not None:
        with _opened(data) as picture:
            if min(picture.size) != settings.smallest_side:
                return _size_reason(settings)
    return ""


def _size_reason(settings: Transcoding) -> str:
    return f"smallest side {settings.smallest_side}"


def _converted(data: bytes, image: JpegCoefficients, settings: Transcoding) -> Transcoded:
    """Changes the coefficients as far as is needed; `data` are those of the file."""
    reasons = []
    if settings.respect_orientation and image.orientation != _UPRIGHT:
        reasons.append(f"orientation {image.orientation}")
        try:
            image = apply_orientation(image)
        except ValueError:
            return _reencoded(data, settings, "no whole MCU to turn")
        # A part of an MCU has no place at the other edge, and was cut off.
        if settings.smallest_side not in (None, min(image.height, image.width)):
            return _reencoded(data, settings, _size_reason(settings))
    if settings.downscale != 1:
        reasons.append(f"downscale {settings.downscale}")
        image = downscale(image, settings.downscale)
    if image.subsampling != settings.subsampling:
        reasons.append(f"{image.subsampling} to {settings.subsampling}")
    route = CONVERTED if reasons else UNTOUCHED
    return Transcoded(_finish(image, settings), route, tuple(reasons))


def _reencoded(data: bytes, settings: Transcoding, reason: str) -> Transcoded:
    _check_damage(data)
    encoded, orientation = _encode(data, settings)
    turned = () if orientation == _UPRIGHT else (f"orientation {orientation}",)
    # Pillow writes grayscale as one component, whatever the sampling.
    image = _finish(read_coefficients(encoded), settings)
    return Transcoded(image, REENCODED, (reason, *turned))


def _check_damage(data: bytes) -> None:
    """Raises JpegFormatError for a damaged JPEG, which Pillow would decode with a shrug."""
    if data.startswith(_SOI):
        with contextlib.suppress(JpegUnsupportedError):
            read_coefficients(data, num_frequencies=1)


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
