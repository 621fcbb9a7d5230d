"""Images of a data set to show augmentations on."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Iterator

import numpy as np

from jpegkeras import transforms
from jpegkeras.dataset_info import DatasetInfo, load_dataset_info
from jpegkeras.errors import InputError
from jpegkeras.jpeg import JpegCoefficients
from jpegkeras.record_format import read_record
from jpegkeras.sampling import COMPONENTS, SAMPLINGS, mcu_size
from jpegkeras.tfrecord_files import read_tfrecords

#: Largest side of a crop where none is asked for.
USUAL_SIZE = 224
_SPLIT = "train"


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """Some images and how a network would take them.

    Attributes:
      images: components `y`, `cb`, `cr`: int16 [rows, cols, n]; `quantization`: uint16 [3, n].
      places: (down, across) for each image: in how many MCUs a crop may begin.
      image_size: side of the crops in pixels.
      sampling: of all of them.
    """

    images: tuple[dict[str, np.ndarray], ...]
    places: tuple[tuple[int, int], ...]
    image_size: int
    sampling: str

    @property
    def chroma_factor(self) -> tuple[int, int]:
        """Luma blocks beside one chroma block, (vertically, horizontally)."""
        h, v = SAMPLINGS[self.sampling]
        return v, h

    @property
    def num_frequencies(self) -> int:
        """Bands of each component."""
        return self.images[0]["y"].shape[-1]

    def central_bands(self) -> dict[str, np.ndarray]:
        """Returns the dequantised central crops, float32 [B, rows, cols, n] a component."""
        return self._crop([((down - 1) // 2, (across - 1) // 2) for down, across in self.places])

    def random_bands(self, draws: np.ndarray) -> dict[str, np.ndarray]:
        """Returns dequantised crops that begin where `draws`, [B, 2] in [0, 1), say."""
        spots = [
            (min(int(draw[0] * down), down - 1), min(int(draw[1] * across), across - 1))
            for draw, (down, across) in zip(draws, self.places)
        ]
        return self._crop(spots)

    def _crop(self, spots: list[tuple[int, int]]) -> dict[str, np.ndarray]:
        crops = [
            transforms.crop(image, top, left, self.image_size, self.sampling)
            for image, (top, left) in zip(self.images, spots)
        ]
        return {
            key: np.stack(
                [
                    crop[key].astype(np.float32) * image["quantization"][index]
                    for crop, image in zip(crops, self.images)
                ]
            )
            for index, key in enumerate(COMPONENTS)
        }


def load_examples(
    directory: str | os.PathLike,
    *,
    num_images: int,
    seed: int = 0,
    image_size: int | None = None,
    num_frequencies: int | None = None,
) -> Examples:
    """Reads `num_images` records of the train split, drawn by the seed, from all over it.

    `image_size`: default is the largest that fits all images, up to 224 pixels; `num_frequencies`:
    default is all that there are.

    Raises InputError for a data set that cannot be read, and for sizes or frequencies that it has
    not; the message says which it has.
    """
    info = load_dataset_info(directory)
    size = _choose_size(info, directory, image_size)
    n = info.num_frequencies if num_frequencies is None else num_frequencies
    if n > info.num_frequencies:
        raise InputError(
            f"{directory}: its records hold {info.num_frequencies} frequencies; got "
            f"--num_frequencies={n}. Lower it."
        )
    records = _read(pathlib.Path(directory), info, num_images, seed)
    mcu_height, mcu_width = mcu_size(info.sampling)
    places = tuple(
        (
            image.height // mcu_height - size // mcu_height + 1,
            image.width // mcu_width - size // mcu_width + 1,
        )
        for image in records
    )
    return Examples(tuple(_to_image(image, n) for image in records), places, size, info.sampling)


def _choose_size(info: DatasetInfo, directory: str | os.PathLike, asked: int | None) -> int:
    mcu = max(mcu_size(info.sampling))
    largest = min(info.smallest) // mcu * mcu
    if not largest:
        raise InputError(f"{directory}: its smallest image has no MCU of {mcu} pixels to crop.")
    if asked is None:
        return min(largest, USUAL_SIZE)
    if asked % mcu or not 0 < asked <= largest:
        raise InputError(
            f"--image_size must be a multiple of {mcu} pixels (one MCU of {info.sampling}) and at "
            f"most {largest}, which fits all images of {directory}; got {asked}."
        )
    return asked


def _to_image(image: JpegCoefficients, n: int) -> dict[str, np.ndarray]:
    components = dict(zip(COMPONENTS, image.components))
    tables = np.array([component.quantization[:n] for component in components.values()])
    return {
        **{key: component.coefficients[..., :n] for key, component in components.items()},
        "quantization": tables,
    }


def _read(
    directory: pathlib.Path, info: DatasetInfo, num_images: int, seed: int
) -> list[JpegCoefficients]:
    split = info.splits[_SPLIT]
    if num_images > split.records:
        raise InputError(
            f"{directory}: its train split has {split.records} images; got --num_images="
            f"{num_images}. Lower it."
        )
    rng = np.random.default_rng(seed)
    places = {int(place) for place in rng.choice(split.records, num_images, replace=False)}
    found, first = [], 0
    for shard in split.shards:
        wanted = {place - first for place in places if first <= place < first + shard.records}
        if wanted:
            found += _read_shard(directory / shard.file, info.compression, wanted)
        first += shard.records
    if len(found) < num_images:
        raise InputError(
            f"{directory}: its shards hold fewer records than {info.splits[_SPLIT].records}. Run "
            "preprocess.inspect to see what is wrong."
        )
    # Neighbours, which are often of one class, are not to be partners in a mixture.
    return [found[index] for index in rng.permutation(num_images)]


def _read_shard(path: pathlib.Path, compression: str, wanted: set[int]) -> list[JpegCoefficients]:
    with contextlib.closing(_numbered(path, compression)) as records:
        found = []
        for number, serialized in records:
            if number in wanted:
                found.append(_parse(serialized, path, number))
            if number == max(wanted):
                break
    return found


def _numbered(path: pathlib.Path, compression: str) -> Iterator[tuple[int, bytes]]:
    try:
        yield from enumerate(read_tfrecords(path, compression))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}.") from error


def _parse(serialized: bytes, path: pathlib.Path, number: int) -> JpegCoefficients:
    try:
        return read_record(serialized).image
    except InputError as error:
        raise InputError(f"{path}: record {number}: {error}") from error
