"""Reproduces the tables of "The Good, the Bad, and the Ugly: Neural Networks Straight from JPEG".

python -m jpegkeras.experiments --table=complexity [--output_dir=DIR]
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from absl import flags

from jpegkeras import command_line
from jpegkeras.experiments import tables
from jpegkeras.quiet import quiet_tensorflow

# Table → the module whose run() makes it. Imported only when asked for: TensorFlow takes seconds to
# load, and a misspelt flag should be told at once.
STUDIES = {"complexity": "jpegkeras.experiments.complexity"}

_TABLE = flags.DEFINE_enum("table", "complexity", sorted(STUDIES), "Which table to reproduce.")
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", None, "Folder for the table as JSON and CSV; made if absent. Default: only print."
)


def main(argv: list[str]) -> None:
    """Runs the study that the flags name."""
    if len(argv) > 1:
        sys.exit(f"unexpected arguments: {' '.join(argv[1:])} (options are written --name=value).")
    output_dir = None if _OUTPUT_DIR.value is None else Path(_OUTPUT_DIR.value)
    if output_dir is not None:
        # Before the work, which can take long, and not after it.
        try:
            output_dir.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            sys.exit(f"--output_dir must be a folder; {output_dir} is a file.")
        except OSError as error:
            sys.exit(f"cannot make the folder --output_dir={output_dir}: {error.strerror}.")
    with quiet_tensorflow():
        study = importlib.import_module(STUDIES[_TABLE.value])
    try:
        study.run(output_dir)
    except tables.SaveError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    command_line.run(main)
