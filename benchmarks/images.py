"""The JPEGs that every reader gets, and the file by which the processes pass them on."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import io
import os
import pathlib
import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image

from benchmarks.drawing import draw_picture
from benchmarks.settings import Settings
from jpegkeras.errors import InputError
from jpegkeras.jpeg import JpegError, JpegUnsupportedError, read_coefficients

SUFFIXES = (".jpg", ".jpeg")


@dataclasses.dataclass(frozen=True)
class Images:
    """JPEG files and where they come from.

    Attributes:
        jpegs: the bytes of each file.
        origin: what they are, in words.
        skipped: reason → how many files were left out for it.
    """

    jpegs: list[bytes]
    origin: str
    skipped: dict[str, int]

    @property
    def size(self) -> int:
        """Bytes of all."""
        return sum(map(len, self.jpegs))

    def describe(self) -> dict[str, object]:
        """Return what the results say about the images."""
        return {
            "origin": self.origin,
            "images": len(self.jpegs),
            "bytes": self.size,
            "sha256": hashlib.sha256(b"".join(self.jpegs)).hexdigest(),
            "skipped": self.skipped,
        }


def collect(settings: Settings) -> Images:
    """Return the images that the settings ask for.

    Raises:
        InputError: the folder is not there, or has no image that can be used.
    """
    if settings.input_dir is None:
        pictures = (
            draw_picture(np.random.default_rng((0, number)), settings.size)
            for number in range(settings.images)
        )
        jpegs = [_encode(picture, settings) for picture in pictures]
        return Images(jpegs, f"drawn, {_describe_encoding(settings)}", {})
    skipped = collections.Counter()
    take = _take_as_found if settings.as_found else _crop_and_encode
    paths = _list_files(settings.input_dir, settings.images)
    jpegs = [jpeg for jpeg in (take(path, settings, skipped) for path in paths) if jpeg]
    if not jpegs:
        reason = ", ".join(skipped)
        raise InputError(f"{settings.input_dir}: none of its images can be used: {reason}")
    return Images(jpegs, f"from a folder, {_describe_crops(settings)}", dict(skipped))


def write_images(path: str | os.PathLike, jpegs: list[bytes]) -> None:
    """Write what libjpeg_read.c describes: uint32 count, uint32 length [count], the files."""
    numbers = (len(jpegs), *map(len, jpegs))
    with pathlib.Path(path).open("wb") as file:
        file.write(struct.pack(f"={len(numbers)}I", *numbers))
        file.writelines(jpegs)


def read_images(path: str | os.PathLike) -> list[bytes]:
    """Read what write_images has written."""
    with pathlib.Path(path).open("rb") as file:
        (count,) = struct.unpack("=I", file.read(4))
        lengths = struct.unpack(f"={count}I", file.read(4 * count))
        return [file.read(length) for length in lengths]


def _list_files(input_dir: str, most: int) -> list[pathlib.Path]:
    folder = pathlib.Path(input_dir)
    if not folder.is_dir():
        raise InputError(f"--input_dir={input_dir}: there is no such folder")
    paths = sorted(path for path in _walk(folder) if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise InputError(f"--input_dir={input_dir}: no file in it ends in {' or '.join(SUFFIXES)}")
    # Evenly over the sorted names, so that every class folder has its share.
    count = min(most, len(paths))
    return [paths[number * len(paths) // count] for number in range(count)]


def _walk(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    for root, _, names in os.walk(folder):
        yield from (pathlib.Path(root, name) for name in names)


def _take_as_found(
    path: pathlib.Path, settings: Settings, skipped: collections.Counter[str]
) -> bytes | None:
    jpeg = path.read_bytes()
    try:
        read_coefficients(jpeg)
    except JpegUnsupportedError as error:
        skipped[f"{error.feature} is not supported"] += 1
    except JpegError:
        skipped["damaged, or no JPEG"] += 1
    else:
        return jpeg
    return None


def _crop_and_encode(
    path: pathlib.Path, settings: Settings, skipped: collections.Counter[str]
) -> bytes | None:
    try:
        with Image.open(path) as image:
            picture = image.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError):
        skipped["Pillow cannot read it"] += 1
        return None
    side = settings.size if settings.cut else min(picture.size)
    if side > min(picture.size):
        skipped[f"smaller than {side}×{side}"] += 1
        return None
    left, top = ((length - side) // 2 for length in picture.size)
    box = (left, top, left + side, top + side)
    if settings.cut:
        return _encode(picture.crop(box), settings)
    size = (settings.size, settings.size)
    return _encode(picture.resize(size, Image.Resampling.BICUBIC, box), settings)


def _encode(picture: Image.Image, settings: Settings) -> bytes:
    buffer = io.BytesIO()
    picture.save(
        buffer,
        "JPEG",
        quality=settings.quality,
        subsampling=settings.subsampling,
        optimize=settings.optimize,
    )
    return buffer.getvalue()


def _describe_crops(settings: Settings) -> str:
    if settings.as_found:
        return "as found"
    kind = "cut from the centres, not resized" if settings.cut else "centre crops"
    return f"{kind}, {_describe_encoding(settings)}"


def _describe_encoding(settings: Settings) -> str:
    tables = "optimised" if settings.optimize else "standard"
    return (
        f"{settings.size}×{settings.size}, quality {settings.quality}, {settings.subsampling}, "
        f"{tables} Huffman tables"
    )
