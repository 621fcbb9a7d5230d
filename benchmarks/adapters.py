"""How each Python library reads the images. Runs in the library's own process (see worker.py).

Every reader gets the same bytes in memory, gives up each result as soon as it has it, as a pipeline
does that hands it on, and uses the threads it is told to. jpegkeras gives up a batch at once.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import io
import pathlib
import tempfile
from collections.abc import Callable, Iterator

import numpy as np

# Natural-order int16 [rows, cols, 64] of each component of an image.
Planes = list[np.ndarray]


@dataclasses.dataclass(frozen=True)
class Options:
    """How to read.

    Attributes:
        threads: how many threads.
        batch: images a call, where a library takes several.
        num_frequencies: of each of jpegkeras's variants.
        scratch: folder for files, in memory if the machine has such; empty at first.
    """

    threads: int
    batch: int
    num_frequencies: tuple[int, ...]
    scratch: str


@dataclasses.dataclass(frozen=True)
class Reader:
    """An opened library.

    Attributes:
        version: its name and version.
        passes: variant → what reads all images once.
        planes: reads the coefficients of all images, to compare them; None for pixels.
    """

    version: str
    passes: dict[str, Callable[[], None]]
    planes: Callable[[], Iterator[Planes]] | None = None


def _open_jpegkeras(jpegs: list[bytes], options: Options) -> Reader:
    from jpegkeras import __version__
    from jpegkeras.jpeg import ZIGZAG, read_batch

    batches = [
        jpegs[start : start + options.batch] for start in range(0, len(jpegs), options.batch)
    ]

    def read(num_frequencies: int) -> None:
        for batch in batches:
            read_batch(batch, num_frequencies, num_threads=options.threads)

    def planes() -> Iterator[Planes]:
        for batch in batches:
            images = read_batch(batch, 64, num_threads=options.threads)
            for num_frequencies in options.num_frequencies:
                lowest = read_batch(batch, num_frequencies, num_threads=options.threads)
                for image, part in zip(images, lowest):
                    _check_prefix(image, part, num_frequencies)
            for image in images:
                yield [_to_natural_order(c.coefficients, ZIGZAG) for c in image.components]

    return Reader(
        f"jpegkeras {__version__}", {str(n): lambda n=n: read(n) for n in options.num_frequencies},
        planes,
    )  # fmt: skip


def _check_prefix(image, part, num_frequencies: int) -> None:  # noqa: ANN001
    for whole, lowest in zip(image.components, part.components):
        if not np.array_equal(whole.coefficients[..., :num_frequencies], lowest.coefficients):
            raise RuntimeError(
                f"jpegkeras reads other coefficients with num_frequencies={num_frequencies}"
            )


def _to_natural_order(coefficients: np.ndarray, zigzag: np.ndarray) -> np.ndarray:
    natural = np.empty_like(coefficients)
    natural[..., zigzag] = coefficients
    return natural


def _open_jpeglib(jpegs: list[bytes], options: Options) -> Reader:
    import jpeglib

    # It reads files only, and copies each to a temporary one.
    tempfile.tempdir = options.scratch
    paths = []
    for number, jpeg in enumerate(jpegs):
        path = pathlib.Path(options.scratch, f"{number}.jpg")
        path.write_bytes(jpeg)
        paths.append(str(path))

    def read() -> None:
        for path in paths:
            jpeglib.read_dct(path).load()

    def planes() -> Iterator[Planes]:
        for path in paths:
            luma, chroma, _ = jpeglib.read_dct(path).load()
            yield [plane for plane in (luma, *chroma) if plane is not None]

    return Reader(_version("jpeglib"), {"read": read}, planes)


def _open_jpeg2dct(jpegs: list[bytes], options: Options) -> Reader:
    from jpeg2dct.numpy import loads

    def read() -> None:
        for jpeg in jpegs:
            loads(jpeg)

    return Reader(_version("jpeg2dct"), {"read": read})


def _open_simplejpeg(jpegs: list[bytes], options: Options) -> Reader:
    import simplejpeg

    def read() -> None:
        for jpeg in jpegs:
            simplejpeg.decode_jpeg(jpeg, "RGB")

    return Reader(_version("simplejpeg"), {"read": read})


def _open_tensorflow(jpegs: list[bytes], options: Options) -> Reader:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    with tf.device("CPU"):
        # Made before the clock runs, as strings that a pipeline has in tensors anyway.
        strings = [tf.constant(jpeg) for jpeg in jpegs]

    def read(dct_method: str) -> None:
        for string in strings:
            tf.io.decode_jpeg(string, channels=3, dct_method=dct_method)

    return Reader(
        f"tensorflow {tf.__version__}",
        {"default": lambda: read(""), "accurate": lambda: read("INTEGER_ACCURATE")},
    )


def _open_pillow(jpegs: list[bytes], options: Options) -> Reader:
    from PIL import Image, features

    def read() -> None:
        for jpeg in jpegs:
            with Image.open(io.BytesIO(jpeg)) as image:
                image.convert("RGB")

    turbo = features.version("libjpeg_turbo")
    library = f"libjpeg-turbo {turbo}" if turbo else f"libjpeg {features.version('jpg')}"
    return Reader(f"{_version('pillow')} ({library})", {"read": read})


def _open_opencv(jpegs: list[bytes], options: Options) -> Reader:
    import cv2

    cv2.setNumThreads(options.threads)
    arrays = [np.frombuffer(jpeg, np.uint8) for jpeg in jpegs]

    def read() -> None:
        for array in arrays:
            cv2.imdecode(array, cv2.IMREAD_COLOR)

    return Reader(f"opencv {cv2.__version__}", {"read": read})


def _version(package: str) -> str:
    return f"{package} {importlib.metadata.version(package)}"


#: Library → opens it for these images. Raises ImportError if it is not installed.
OPENERS: dict[str, Callable[[list[bytes], Options], Reader]] = {
    "jpegkeras": _open_jpegkeras,
    "jpeglib": _open_jpeglib,
    "jpeg2dct": _open_jpeg2dct,
    "simplejpeg": _open_simplejpeg,
    "tensorflow": _open_tensorflow,
    "pillow": _open_pillow,
    "opencv": _open_opencv,
}
