"""What is measured of networks, in a process of its own: the studies' own never loads TensorFlow.

    python -m jpegkeras.experiments.measurements SPEC.json

The file names what to measure (`what`: "costs", "speed" or "calibration"), the arguments of that,
and `output`, the JSON file for what was found.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from jpegkeras.experiments.cell import end_with_parent
from jpegkeras.files import write_json
from jpegkeras.quiet import quiet_tensorflow


def main(argv: Sequence[str]) -> int:
    """Does what the file `argv[0]` says; returns the process's exit status."""
    end_with_parent()
    spec = json.loads(pathlib.Path(argv[0]).read_text("utf-8"))
    what, output = spec.pop("what"), spec.pop("output")
    try:
        with quiet_tensorflow():
            import tensorflow  # noqa: F401
        write_json(output, _MEASUREMENTS[what](**spec))
    except Exception as error:
        traceback.print_exc(file=sys.stdout)
        print(f"error: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}")
        return 1
    return 0


def costs(networks: list[list[Any]], with_table: bool) -> dict[str, Any]:
    """Returns multiply–adds and parameters of each network, the machine, and the paper's table."""
    from jpegkeras.complexity import measure
    from jpegkeras.experiments.estimates import NetworkSize
    from jpegkeras.experiments.machine import describe
    from jpegkeras.models import build_model

    found = {}
    for network in networks:
        size = NetworkSize(*network)
        complexity = measure(
            build_model(
                size.model, size.num_frequencies, size.num_classes, image_size=size.image_size
            )
        )
        found[size.key] = complexity.multiply_adds
    table = []
    if with_table:
        from jpegkeras.experiments.complexity import complexity_table

        table = [dataclasses.asdict(row) for row in complexity_table()]
    return {"costs": found, "complexity": table, "machine": describe()}


def speed(**arguments: Any) -> dict[str, Any]:  # noqa: ANN401
    """See `jpegkeras.experiments.speed.forward_speed`."""
    from jpegkeras.experiments.speed import forward_speed

    return forward_speed(**arguments)


def calibration(**arguments: Any) -> dict[str, Any]:  # noqa: ANN401
    """See `jpegkeras.experiments.speed.training_speed`."""
    from jpegkeras.experiments.speed import training_speed

    return training_speed(**arguments)


_MEASUREMENTS = {"costs": costs, "speed": speed, "calibration": calibration}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
