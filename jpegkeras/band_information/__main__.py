"""Measures what each band of a data set tells about the class, and prints and draws it.

python -m jpegkeras.band_information --data_dir=DIR [--output=FILE.json|FILE.png] [--limit=N]
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from collections.abc import Iterator, Mapping

import rich.console
import rich.table
from absl import flags

from jpegkeras import command_line
from jpegkeras.band_information.measurement import LIMIT, BandInformation, load_information
from jpegkeras.bands import top_bands, zigzag_positions
from jpegkeras.dataset_info import load_dataset_info
from jpegkeras.errors import InputError
from jpegkeras.files import write_json
from jpegkeras.sampling import COMPONENTS

_DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of the data set.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "File to write: *.json, or *.png for three maps.")
_LIMIT = flags.DEFINE_integer("limit", LIMIT, "Most records to look at; 0: all.", lower_bound=0)


def main(argv: list[str]) -> int:
    """Measures and prints; returns the exit status."""
    try:
        if len(argv) > 1:
            raise InputError(f"unexpected arguments: {' '.join(argv[1:])} (write --name=value).")
        _run()
    except (InputError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def _run() -> None:
    suffix = pathlib.Path(_OUTPUT.value).suffix.lower() if _OUTPUT.value else ""
    if _OUTPUT.value and suffix not in (".json", ".png"):
        raise InputError(f"--output must be the name of a *.json or *.png; got {_OUTPUT.value}.")
    info = load_dataset_info(_DATA_DIR.value)
    found = load_information(_DATA_DIR.value, info, _LIMIT.value)
    console = rich.console.Console()
    console.print(_table(found))
    for line in _choices(found.bits):
        console.print(line, soft_wrap=True, highlight=False)
    if suffix == ".json":
        write_json(_OUTPUT.value, dataclasses.asdict(found))
    elif suffix == ".png":
        from jpegkeras.band_maps import draw_maps

        title = f"Information about the class, bits of {found.class_bits:.2f}"
        draw_maps(found.bits, _OUTPUT.value, title=title)
    if _OUTPUT.value:
        console.print(f"Wrote {_OUTPUT.value}", soft_wrap=True, highlight=False)


def _table(found: BandInformation) -> rich.table.Table:
    table = rich.table.Table(
        title=f"bits of {found.class_bits:.2f} about the class, {found.records:,} records"
    )
    for name in ("zigzag", "row, column", *map(str.capitalize, COMPONENTS)):
        table.add_column(name, justify="right")
    for position, (row, col) in enumerate(zigzag_positions()[: len(found.bits["y"])]):
        values = (f"{found.bits[key][position]:.3f}" for key in COMPONENTS)
        table.add_row(str(position), f"{row}, {col}", *values)
    return table


def _choices(bits: Mapping[str, list[float]]) -> Iterator[str]:
    for n in (8, 16, 32):
        if n <= len(bits["y"]):
            yield f"information:{n} is {top_bands(bits, 3 * n).to_text()}"


if __name__ == "__main__":
    command_line.run(main)
