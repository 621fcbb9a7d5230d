"""What each DCT band alone tells about the class: mutual information, measured on records.

Of an image a band is summed up by one number: the mean over its blocks of log(1 + |coefficient|),
dequantised, which is how much of that frequency there is, and for DC the mean of the coefficients
themselves, its brightness or colour. Cut at the quantiles of all images into 16 bins, it has a
mutual information with the (fine) class, in bits: the entropy of the class less what is left of it
once the bin is known. Few images make that too large; Miller's correction takes the mean of the
excess off (Miller 1955, "Note on the bias of information estimates"), so that a band that tells
nothing is at 0 on average, and may be a little below.

Without TensorFlow, which must not have started before the devices of a run are asked for.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Iterator

import numpy as np

from jpegkeras.dataset_info import DatasetInfo
from jpegkeras.files import write_json
from jpegkeras.jpeg import JpegCoefficients
from jpegkeras.record_format import Record, read_record
from jpegkeras.sampling import COMPONENTS
from jpegkeras.tfrecord_files import read_tfrecords

#: Where a data set keeps what was measured of it.
FILE_NAME = "band_information.json"
#: Records that are looked at, at most, unless asked otherwise: 77 MB of numbers.
LIMIT = 100_000
BINS = 16
_SPLIT = "train"


@dataclasses.dataclass(frozen=True)
class BandInformation:
    """What was measured.

    `bits`: component → of each frequency, in zigzag order, the mutual information with the class;
    `class_bits`: the entropy of the class, the most that can be known; `records`: those that were
    looked at, `limit`: the most that should be (0: all); `training_data`: a digest of the shards.
    """

    bits: dict[str, list[float]]
    class_bits: float
    records: int
    limit: int
    training_data: str


def load_information(
    directory: str | os.PathLike, info: DatasetInfo, limit: int = LIMIT
) -> BandInformation:
    """Returns what each band of a data set tells about the class.

    Measures it unless `band_information.json` in its folder has it, and writes that file if the
    folder can be written to. Raises InputError where a shard is damaged.
    """
    path = pathlib.Path(directory) / FILE_NAME
    with contextlib.suppress(OSError, ValueError, TypeError):
        found = BandInformation(**json.loads(path.read_text("utf-8")))
        if (found.limit, found.training_data) == (limit, _digest(info)):
            return found
    measured = measure_information(directory, info, limit)
    with contextlib.suppress(OSError):
        write_json(path, dataclasses.asdict(measured))
    return measured


def measure_information(
    directory: str | os.PathLike,
    info: DatasetInfo,
    limit: int = LIMIT,
    report: Callable[[int], None] | None = None,
) -> BandInformation:
    """Measures what each band of the train split tells about the class.

    Of more than `limit` records (0: no limit) it takes every k-th. `report` is called with the
    number of records after each. Raises InputError where a shard is damaged.
    """
    total = info.splits[_SPLIT].records
    step = -(-total // limit) if limit else 1
    features, labels = [], []
    for record in _read(pathlib.Path(directory), info, step):
        features.append(summarize(record.image))
        labels.append(record.label)
        if report is not None:
            report(len(labels))
    labels = np.array(labels)
    found = mutual_information(np.array(features), labels)
    bits = found.reshape(len(COMPONENTS), info.num_frequencies)
    return BandInformation(
        bits={key: [float(value) for value in row] for key, row in zip(COMPONENTS, bits)},
        class_bits=_entropy(np.bincount(labels)),
        records=len(labels),
        limit=limit,
        training_data=_digest(info),
    )


def summarize(image: JpegCoefficients) -> np.ndarray:
    """Returns a number for each band, float32 [3 × n], Y first; see the module's docstring."""
    numbers = []
    for component in image.components:
        n = component.coefficients.shape[-1]
        bands = component.coefficients.reshape(-1, n).astype(np.float32)
        bands *= component.quantization
        numbers.append(np.log1p(np.abs(bands)).mean(axis=0, dtype=np.float64))
        numbers[-1][0] = bands[:, 0].mean(dtype=np.float64)
    return np.concatenate(numbers).astype(np.float32)


def mutual_information(features: np.ndarray, labels: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Returns the mutual information of each feature with the label, in bits, corrected.

    Args:
      features: [N, K]; each is cut into `bins` at its quantiles. Equal values share a bin, so that
        there may be fewer.
      labels: whole numbers from 0 on, [N].
      bins: their number.

    Returns:
      float64 [K]: H(bin) + H(label) − H(bin, label), each entropy with Miller's correction: of the
      counts, plus (cells that are not empty − 1) / 2N nats.

    Raises:
      ValueError: there are no rows, or not as many labels.
    """
    if len(features) != len(labels) or not len(labels):
        raise ValueError(f"there must be a label a row; got {len(features)} and {len(labels)}.")
    shares = np.arange(1, bins) / bins
    of_labels = _corrected_entropy(np.bincount(labels))
    found = []
    for values in np.asarray(features).T:
        edges = np.unique(np.quantile(values, shares))
        cells = np.searchsorted(edges, values, side="right")
        joint = _corrected_entropy(np.bincount(labels * bins + cells))
        found.append(_corrected_entropy(np.bincount(cells)) + of_labels - joint)
    return np.array(found)


def _entropy(counts: np.ndarray) -> float:
    """The entropy, in bits, of the shares that counts have."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def _corrected_entropy(counts: np.ndarray) -> float:
    cells = np.count_nonzero(counts)
    return _entropy(counts) + (cells - 1) / (2 * counts.sum() * np.log(2))


def _read(directory: pathlib.Path, info: DatasetInfo, step: int) -> Iterator[Record]:
    """Every `step`-th record of the train split."""
    number = 0
    for shard in info.splits[_SPLIT].shards:
        for serialized in read_tfrecords(directory / shard.file, info.compression):
            if number % step == 0:
                yield read_record(serialized)
            number += 1


def _digest(info: DatasetInfo) -> str:
    shards = "".join(shard.crc32c for shard in info.splits[_SPLIT].shards)
    return hashlib.sha256(shards.encode()).hexdigest()
