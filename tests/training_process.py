"""One training in a process of its own, which tests kill: python -m tests.training_process JSON.

The argument names `data_dir`, `workdir`, and fields of the configuration that differ from the
tests'. Ends with status 0, with 1 for an InputError and 143 after a SIGTERM, as train_main does.
"""

from __future__ import annotations

import csv
import json
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[1]


def start(data_dir, workdir, *, environment=None, **changes):
    """Starts the process; its output comes through pipes."""
    arguments = {"data_dir": str(data_dir), "workdir": str(workdir), **changes}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.training_process", json.dumps(arguments)],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def steps_done(workdir):
    """How many steps the run's table tells of."""
    path = pathlib.Path(workdir, "steps.csv")
    if not path.is_file():
        return 0
    with path.open() as file:
        steps = [row["step"] for row in csv.DictReader(file)]
    return int(steps[-1]) if steps and steps[-1] else 0


def wait_for_step(process, workdir, step):
    """Returns as soon as the run has done a step; fails if the process ends before."""
    while steps_done(workdir) < step:
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def main(text):
    """Trains as the argument says."""
    from jpegkeras.errors import InputError
    from jpegkeras.preemption import PreemptedError
    from tests import networks
    from tests.test_training import run

    networks.add_tiny_network()
    arguments = json.loads(text)
    try:
        run(arguments.pop("data_dir"), pathlib.Path(arguments.pop("workdir")), **arguments)
    except PreemptedError as error:
        print(error)
        return 143
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
