"""The statistics of the bands, as the tables and the maps show them."""

from __future__ import annotations

import dataclasses

from jpegkeras.dataset_info import ADVICE, FILE_NAME, DatasetInfo
from jpegkeras.errors import InputError
from jpegkeras.jpeg import ZIGZAG
from jpegkeras.sampling import BLOCK, COMPONENTS

NAMES = dict(zip(COMPONENTS, ("Y", "Cb", "Cr")))
_STATISTICS = ("mean", "std", "zeros", "energy")


@dataclasses.dataclass(frozen=True)
class Band:
    """One band of one component of the train split, dequantised.

    `row` and `column` are its vertical and its horizontal frequency (T.81 A.3.6); `zeros` the share
    of its coefficients that are zero; `energy` the mean of their squares, and `energy_share` its
    part of the component's energy, 0 where there is none.
    """

    index: int
    row: int
    column: int
    mean: float
    std: float
    zeros: float
    energy: float
    energy_share: float


def list_bands(info: DatasetInfo) -> dict[str, list[Band]]:
    """Returns each component's bands in zigzag order.

    Raises InputError where dataset.json lacks one of these statistics.
    """
    return {component: _list_bands(info, component) for component in COMPONENTS}


def _list_bands(info: DatasetInfo, component: str) -> list[Band]:
    known = info.statistics[component]
    for key in _STATISTICS:
        if key not in known:
            raise InputError(
                f"{FILE_NAME}: incomplete: statistics/{component}/{key} is missing. {ADVICE}"
            )
    columns = [known[key] for key in _STATISTICS]
    total = sum(known["energy"])
    return [
        Band(
            index,
            *divmod(int(ZIGZAG[index]), BLOCK),
            mean=mean,
            std=std,
            zeros=zeros,
            energy=energy,
            energy_share=energy / total if total else 0.0,
        )
        for index, (mean, std, zeros, energy) in enumerate(zip(*columns))
    ]
