"""The paper's complexity table beside our networks' (dos Santos et al., ICIP 2020, "Network
Complexity").

The paper's GFLOPs are multiply–adds, its parameters include the moving statistics of batch
normalisation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from jpegkeras.complexity import measure
from jpegkeras.experiments import tables
from jpegkeras.experiments.networks import NETWORKS
from jpegkeras.models import build_model


@dataclasses.dataclass(frozen=True)
class PaperNetwork:
    """A row of the paper's table, and the network here that stands for it."""

    approach: str
    input_channels: str
    gflops: float
    parameters_millions: float
    model: str
    num_frequencies: int


PAPER = tuple(
    PaperNetwork(
        approach=network.approach,
        input_channels=network.input_channels,
        gflops=network.paper_gflops,
        parameters_millions=network.paper_parameters,
        model=network.model,
        num_frequencies=network.num_frequencies,
    )
    for network in NETWORKS.values()
)


@dataclasses.dataclass(frozen=True)
class ComplexityRow:
    """One network: the paper's numbers and ours, at 224×224 pixels, 4:2:0, 1000 classes.

    Attributes:
      paper_gflops, gflops: 10⁹ multiply–adds an image.
      gflops_difference_percent: of ours from the paper's.
      paper_parameters_millions: total, in 10⁶, as printed.
      parameters, trainable_parameters: ours, exact.
    """

    approach: str
    input_channels: str
    model: str
    num_frequencies: int
    paper_gflops: float
    gflops: float
    gflops_difference_percent: float
    paper_parameters_millions: float
    parameters: int
    trainable_parameters: int


def complexity_table() -> list[ComplexityRow]:
    """Builds the paper's four networks and measures them; takes some seconds."""
    rows = []
    for paper in PAPER:
        ours = measure(build_model(paper.model, paper.num_frequencies))
        gflops = ours.multiply_adds / 1e9
        rows.append(
            ComplexityRow(
                approach=paper.approach,
                input_channels=paper.input_channels,
                model=paper.model,
                num_frequencies=paper.num_frequencies,
                paper_gflops=paper.gflops,
                gflops=gflops,
                gflops_difference_percent=100 * (gflops / paper.gflops - 1),
                paper_parameters_millions=paper.parameters_millions,
                parameters=ours.parameters,
                trainable_parameters=ours.trainable_parameters,
            )
        )
    return rows


def to_rich(rows: Sequence[ComplexityRow]) -> Table:
    """The table as printed: GFLOPs are multiply–adds, parameters in millions."""
    table = Table(title="Network complexity, 224×224 pixels (GFLOPs are multiply–adds)")
    for heading, justify in (
        ("Approach", "left"),
        ("Input", "left"),
        ("GFLOPs\npaper", "right"),
        ("\nours", "right"),
        ("\ndiff.", "right"),
        ("Params\npaper", "right"),
        ("\nours", "right"),
    ):
        table.add_column(heading, justify=justify, no_wrap=True)
    for row in rows:
        table.add_row(
            row.approach,
            row.input_channels,
            f"{row.paper_gflops:.2f}",
            f"{row.gflops:.3f}",
            f"{row.gflops_difference_percent:+.2f} %",
            f"{row.paper_parameters_millions:.1f} M",
            f"{row.parameters / 1e6:.2f} M",
        )
    return table


def run(output_dir: Path | None) -> None:
    """Prints the table and, given a folder, writes complexity.json and complexity.csv there.

    Raises:
      SaveError: a file cannot be written.
    """
    rows = complexity_table()
    Console().print(to_rich(rows))
    if output_dir is not None:
        for path in tables.save(
            [dataclasses.asdict(row) for row in rows], output_dir, "complexity"
        ):
            print(f"Wrote {path}")
