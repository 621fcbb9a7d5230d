"""How far the resized pictures are from a float64 reference (resizing_reference.py)."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Sequence

from benchmarks import resizing_reference as reference
from jpegkeras.jpeg import JpegCoefficients, read_coefficients
from jpegkeras.quality import quantization_tables
from jpegkeras.sampling import COMPONENTS
from jpegkeras.transcoding import EXACT, FAST, Transcoding, transcode

QUANTIZED, BETWEEN, NEXT = "quantized", "between", "next"
#: What is compared, by key: the first three with the reference, the last, as a yardstick, with fast
#: at the next quality.
NAMES = {
    QUANTIZED: "the reference, quantised",
    FAST: "--resize=fast",
    EXACT: "--resize=exact",
    BETWEEN: "fast beside exact",
    NEXT: "fast, next quality",
}


@dataclasses.dataclass(frozen=True)
class Row:
    """A component at one factor: PSNR in dB, mean over the images and least, by key of NAMES."""

    factor: float
    component: str
    images: int
    mean: dict[str, float]
    least: dict[str, float]


def measure(
    jpegs: Sequence[bytes],
    factors: Sequence[float],
    quality: int,
    sampling: str,
    advance: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Returns a row for each factor and component; `advance` is called after each factor.

    Both routes give the shorter side 1/factor of its pixels. Grayscale images count for luma alone.
    """
    rows = []
    for factor in factors:
        found = [_compare(jpeg, factor, quality, sampling) for jpeg in jpegs]
        for index, component in enumerate(COMPONENTS):
            planes = [planes[index] for planes in found if index < len(planes)]
            if planes:
                columns = {key: [plane[key] for plane in planes] for key in NAMES}
                mean = {key: statistics.fmean(column) for key, column in columns.items()}
                least = {key: min(column) for key, column in columns.items()}
                rows.append(Row(factor, component, len(planes), mean, least))
        advance()
    return rows


def find_loss(rows: Sequence[Row], key: str, beside: str) -> float:
    """Returns by how many dB the one is further from the reference, at the worst of all rows."""
    return max(row.mean[beside] - row.mean[key] for row in rows)


def _compare(jpeg: bytes, factor: float, quality: int, sampling: str) -> list[dict[str, float]]:
    """Returns the PSNR of each component."""
    source = read_coefficients(jpeg)
    side = max(1, round(min(source.height, source.width) / factor))
    next_quality = quality + 1 if quality < 100 else quality - 1
    images = {
        key: transcode(
            jpeg, Transcoding(smallest_side=side, quality=q, subsampling=sampling, resize=resize)
        ).image
        for key, resize, q in (
            (FAST, FAST, quality),
            (EXACT, EXACT, quality),
            (NEXT, FAST, next_quality),
        )
    }
    _check_size(images[FAST], images[EXACT])
    planes = {key: reference.decode_planes(image) for key, image in images.items()}
    height, width = images[FAST].height, images[FAST].width
    expected = reference.resize_planes(source, height, width, sampling)
    luma, chroma = quantization_tables(quality)
    planes[QUANTIZED] = reference.quantize_planes(expected, [luma, chroma, chroma])
    found = []
    for index, plane in enumerate(expected):
        psnr = {
            key: reference.measure_psnr(planes[key][index], plane)
            for key in (QUANTIZED, FAST, EXACT)
        }
        for key, other in ((BETWEEN, EXACT), (NEXT, NEXT)):
            psnr[key] = reference.measure_psnr(planes[FAST][index], planes[other][index])
        found.append(psnr)
    return found


def _check_size(fast: JpegCoefficients, exact: JpegCoefficients) -> None:
    if (fast.height, fast.width) != (exact.height, exact.width):
        raise RuntimeError(
            f"fast gives {fast.width} × {fast.height} pixels, exact {exact.width} × {exact.height}"
        )
