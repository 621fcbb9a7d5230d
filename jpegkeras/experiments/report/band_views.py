"""Which bands, of equally many: a row a selection, with what it chose and what came of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from jpegkeras.bands import FIXED, Bands, parse_bands
from jpegkeras.experiments.networks import BANDS, LOWEST, SELECTIONS, network_of
from jpegkeras.experiments.report.views import Entry, Reading
from jpegkeras.experiments.results import DONE, CellResult, Results, Spread, spread


@dataclasses.dataclass(frozen=True)
class BandRow:
    """A selection of bands.

    `selection`: as `--bands` has it; `bands`: of each seed, as far as they are known; `entry`:
    top-1, which is compared with no other; `difference`: points to the lowest bands; `gated`: top-1
    of the networks with their gates, where bands were learned. The rest is of an image.
    """

    network: str
    selection: str
    bands: tuple[Bands, ...]
    entry: Entry
    difference: float | None
    gated: Spread | None
    multiply_adds: int | None
    parameters: int | None

    @property
    def counts(self) -> list[tuple[int, int, int]]:
        """How many bands Y, Cb and Cr have; several answers where seeds differ."""
        return list(dict.fromkeys(bands.counts for bands in self.bands))


def band_rows(results: Results) -> list[BandRow]:
    """Returns the selections that have cells, the lowest bands first."""
    cells = [cell for cell in results.cells if BANDS in cell.studies]
    rows = []
    lowest: Spread | None = None
    for network in (LOWEST, *SELECTIONS):
        own = sorted((cell for cell in cells if cell.network == network), key=lambda c: c.seed)
        if not own:
            continue
        found = _top1(own)
        if network == LOWEST:
            lowest = found
        compared = network != LOWEST and found and lowest
        known = (bands_of(cell) for cell in own)
        rows.append(
            BandRow(
                network,
                network_of(network).selection,
                tuple(bands for bands in known if bands is not None),
                Entry(tuple(Reading(cell, cell.own) for cell in own), found, None, None, None),
                found.mean - lowest.mean if compared else None,
                spread(100 * cell.gate.own.top1 for cell in own if cell.gate),
                next((cell.multiply_adds for cell in own if cell.multiply_adds), None),
                next((cell.parameters for cell in own if cell.parameters), None),
            )
        )
    return rows


def bands_of(cell: CellResult) -> Bands | None:
    """Returns the bands of a cell of the study, None where only its training will tell them."""
    if cell.bands is not None:
        return Bands.from_lists(cell.bands)
    choice = parse_bands(network_of(cell.network).selection)
    return choice.bands if choice.kind == FIXED else None


def _top1(cells: Iterable[CellResult]) -> Spread | None:
    return spread(100 * cell.own.top1 for cell in cells if cell.state == DONE and cell.own)
