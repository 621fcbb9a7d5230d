"""The rows of the table: which library reads what, and how to get the library."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True)
class Library:
    """Something that reads JPEGs; `install` and `licence` are for those who lack it."""

    install: str
    licence: str


LIBRARIES = {
    "libjpeg": Library("a C compiler and, on Debian, libjpeg62-turbo-dev", "IJG and BSD-3-Clause"),
    "jpeglib": Library("pip install jpeglib", "MPL-2.0"),
    "jpeg2dct": Library("pip install jpeg2dct", "non-commercial, so never a dependency here"),
    "simplejpeg": Library("pip install simplejpeg", "MIT"),
    "tensorflow": Library("pip install tensorflow", "Apache-2.0"),
    "pillow": Library("pip install pillow", "MIT-CMU"),
    "opencv": Library("pip install opencv-python-headless", "Apache-2.0"),
}
OURS = Library("pip install -e .", "Apache-2.0")


@dataclasses.dataclass(frozen=True)
class Peer:
    """One row: a library that reads in one way.

    Attributes:
        key: the row's name in the results.
        name: the row's name in the table.
        library: "jpegkeras" or a key of LIBRARIES.
        variant: what its process calls the way of reading.
        reads: "coefficients" or "RGB".
        threads: how many threads, each with a core of its own.
        large: of jpegkeras: batches of the larger size, as a job that uses threads has them.
        trim: of libjpeg: glibc returns freed memory at once, as it does unless told otherwise.
        note: what else one should know.
    """

    key: str
    name: str
    library: str
    variant: str = "read"
    reads: str = "coefficients"
    threads: int = 1
    large: bool = False
    trim: bool = False
    note: str = ""

    @property
    def process(self) -> tuple[str, int, bool, bool]:
        """Peers of the same process have this in common."""
        return self.library, self.threads, self.large, self.trim

    @property
    def source(self) -> Library:
        """Where the library comes from."""
        return LIBRARIES.get(self.library, OURS)


#: What the ratios of the table are to.
REFERENCE = "libjpeg-fresh"

_OTHERS = (
    Peer(
        REFERENCE,
        "libjpeg-turbo, C, a buffer an image",
        "libjpeg",
        "fresh",
        note="libjpeg-turbo: glibc is told to keep freed memory, except where it is as it comes",
    ),
    Peer("libjpeg-reused", "libjpeg-turbo, C, one buffer", "libjpeg", "reused"),
    Peer(
        "libjpeg-trim",
        "libjpeg-turbo, C, glibc as it comes",
        "libjpeg",
        "fresh",
        trim=True,
    ),
    Peer(
        "jpeglib",
        "jpeglib read_dct, from files",
        "jpeglib",
        note="jpeglib: reads files only; they are in memory where the machine has /dev/shm",
    ),
    Peer("jpeg2dct", "jpeg2dct loads", "jpeg2dct", note="jpeg2dct: coefficients dequantised"),
    Peer("simplejpeg", "simplejpeg", "simplejpeg", reads="RGB"),
    Peer(
        "tensorflow",
        "tf.io.decode_jpeg",
        "tensorflow",
        "default",
        "RGB",
        note="tf.io.decode_jpeg: called eagerly; its default dct_method is INTEGER_FAST",
    ),
    Peer(
        "tensorflow-accurate",
        "tf.io.decode_jpeg, INTEGER_ACCURATE",
        "tensorflow",
        "accurate",
        "RGB",
    ),
    Peer("pillow", "Pillow", "pillow", reads="RGB"),
    Peer("opencv", "OpenCV imdecode (BGR)", "opencv", reads="RGB"),
)


def our_key(num_frequencies: int, threads: int = 1, large: bool = False) -> str:
    """Return the key of a row of jpegkeras."""
    key = f"jpegkeras-{num_frequencies}" + ("-large" if large else "")
    return key + (f"-threads-{threads}" if threads > 1 else "")


def list_peers(num_frequencies: Iterable[int], libraries: Iterable[str]) -> list[Peer]:
    """Return the rows: jpegkeras, with small and large batches, and those of the libraries."""
    libraries = set(libraries)
    ours = [
        Peer(
            our_key(n, threads, large),
            f"jpegkeras read_batch, n={n}" + suffix,
            "jpegkeras",
            str(n),
            threads=threads,
            large=large,
        )
        for threads, large, suffix in (
            (1, False, ""),
            (1, True, ", large batches"),
            (2, True, ", large batches, 2 threads"),
        )
        for n in num_frequencies
    ]
    return ours + [peer for peer in _OTHERS if peer.library in libraries]
