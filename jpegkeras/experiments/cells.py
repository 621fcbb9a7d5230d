"""What the studies consist of: networks trained on variants of the data, evaluated on others."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from jpegkeras.experiments.config import StudyConfig
from jpegkeras.experiments.networks import (
    BANDS,
    DIFFICULTY,
    LOWEST,
    QUALITY,
    RESOLUTION,
    SELECTIONS,
)


@dataclasses.dataclass(frozen=True, order=True)
class Variant:
    """The images as a study wants them: smallest side in pixels, JPEG quality 1 … 100."""

    resolution: int
    quality: int

    @property
    def key(self) -> str:
        """Its name in files and tables."""
        return f"r{self.resolution}-q{self.quality}"


@dataclasses.dataclass(frozen=True)
class Cell:
    """One training: a network (see `network_of`) on a variant of the data, with a seed.

    `evaluated_on`: further variants whose test split it is evaluated on, without being trained on
    them. `studies`: the tables that it stands in.
    """

    network: str
    variant: Variant
    task: str
    seed: int
    evaluated_on: tuple[Variant, ...] = ()
    studies: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Its name, which is the path of its run below `runs/`."""
        return f"{self.variant.key}-{self.task}/{self.network}/seed{self.seed}"


def plan_cells(config: StudyConfig, studies: Sequence[str]) -> list[Cell]:
    """Returns the trainings that the studies need, each once, those shared by most studies first.

    Studies are `DIFFICULTY` (fine and coarse classes), `RESOLUTION` and `QUALITY` (coarse classes;
    a network trained at each value, and the one of the base variant evaluated at all), `BANDS`
    (coarse classes; `LOWEST` and `SELECTIONS`, whatever the config's networks are). What does not
    vary is the base variant's.
    """
    base = Variant(config.resolution, config.quality)
    columns: dict[tuple[Variant, str], list[str]] = {}
    others: list[Variant] = []
    for study in studies:
        if study == BANDS:
            continue
        for variant, task in _columns(study, config, base):
            columns.setdefault((variant, task), []).append(study)
            if study in (RESOLUTION, QUALITY) and variant != base and variant not in others:
                others.append(variant)
    ordered = sorted(columns.items(), key=lambda item: -len(item[1]))
    cells = []
    for seed in config.seeds:
        of_seed = [
            Cell(
                network,
                variant,
                task,
                seed,
                tuple(others) if (variant, task) == (base, "coarse") else (),
                tuple(found),
            )
            for (variant, task), found in ordered
            for network in config.networks
        ]
        if BANDS in studies:
            of_seed = _with_selections(of_seed, base, seed)
        cells += of_seed
    return cells


def variants_of(cells: Iterable[Cell]) -> list[Variant]:
    """Returns every variant that is trained or evaluated on, in the order of first need."""
    found: dict[Variant, None] = {}
    for cell in cells:
        for variant in (cell.variant, *cell.evaluated_on):
            found.setdefault(variant)
    return list(found)


def _with_selections(cells: list[Cell], base: Variant, seed: int) -> list[Cell]:
    """Returns a seed's cells with those of `BANDS`; one that is there already stands in it too."""
    added = {
        cell.key: cell
        for cell in (
            Cell(network, base, "coarse", seed, studies=(BANDS,))
            for network in (LOWEST, *SELECTIONS)
        )
    }
    shared = [
        dataclasses.replace(cell, studies=(*cell.studies, BANDS)) if cell.key in added else cell
        for cell in cells
    ]
    known = {cell.key for cell in cells}
    return shared + [cell for key, cell in added.items() if key not in known]


def _columns(study: str, config: StudyConfig, base: Variant) -> list[tuple[Variant, str]]:
    if study == DIFFICULTY:
        return [(base, "coarse"), (base, "fine")]
    if study == RESOLUTION:
        return [(Variant(side, config.quality), "coarse") for side in config.resolutions]
    if study == QUALITY:
        return [(Variant(config.resolution, quality), "coarse") for quality in config.qualities]
    raise ValueError(
        f"study must be {DIFFICULTY}, {RESOLUTION}, {QUALITY} or {BANDS}; got {study!r}."
    )
