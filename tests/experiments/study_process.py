"""The studies in a process of their own, which tests kill, on tiny networks.

    python -m tests.experiments.study_process JSON

The argument names `given`, the folder of `studies.write_images`, `output_dir`, `studies` and fields
of the settings that differ from the tests'.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import rich.console

from jpegkeras.experiments import report, runner
from jpegkeras.experiments.datasets import Input
from jpegkeras.experiments.processes import StoppedError
from preprocess.sources import SourceSpec

ROOT = pathlib.Path(__file__).parents[2]


def start(folder, output_dir, *studies, **changes):
    """Starts the process; its output comes through a pipe."""
    asked = {"folder": str(folder), "output_dir": str(output_dir), "studies": studies, **changes}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.experiments.study_process", json.dumps(asked)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def main(text):
    from tests.experiments import studies

    studies.make_networks_tiny()
    report.write_report = lambda *_: []  # which takes seconds to draw
    asked = json.loads(text)
    folder = pathlib.Path(asked.pop("folder"))
    changes = {key: tuple(value) for key, value in asked.items() if isinstance(value, list)}
    given = Input(SourceSpec(input_dir=str(folder / "images")), str(folder / "labels.csv"))
    request = studies.request(given, asked["output_dir"], changes.pop("studies"), **changes)
    try:
        return runner.run(request, rich.console.Console(width=200), studies.WITH_TINY)
    except StoppedError as error:
        return error.status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
