"""The plan of the studies as it is shown before anything runs: `--list`."""

from __future__ import annotations

from collections.abc import Sequence

import rich.box
import rich.console
import rich.table

from jpegkeras.experiments import cell_files, estimates, processes
from jpegkeras.experiments.cells import Variant
from jpegkeras.experiments.config import crop_size
from jpegkeras.experiments.estimates import Pace
from jpegkeras.experiments.folder import in_order
from jpegkeras.experiments.networks import LOWEST, NETWORKS, SELECTIONS
from jpegkeras.experiments.processes import LAUNCHER, StopRequests
from jpegkeras.experiments.progress import format_seconds, print_line
from jpegkeras.experiments.results import DONE
from jpegkeras.experiments.runner import (
    Planned,
    Request,
    enlarging_lines,
    join_study,
    known_pace,
    open_data,
    plan,
)

_TERA = 1e12
_MEGABYTE = 1e6
_UNKNOWN = "?"
# Of a record, bytes a pixel of a square of the smallest side, by JPEG quality up to so much: seen
# with photographs of ImageNet at 64 pixels; a half more at 32, a third less at 256.
_BYTES_PER_PIXEL = ((25, 0.25), (50, 0.35), (75, 0.49), (100, 1.51))


def show(
    request: Request,
    console: rich.console.Console,
    launcher: Sequence[str] = LAUNCHER,
    *,
    calibrate: bool = False,
) -> None:
    """Prints every cell with its work, and the data sets; makes and trains nothing.

    How long a cell takes is told from cells of this folder that are done, or with `calibrate` from
    some training steps of each network. Raises what `runner.run` raises before it begins.
    """
    with StopRequests() as stop:
        with stop.interruptible():
            data = open_data(request, draw=False)
            study = join_study(request, data)
        planned = plan(request, study, data, launcher, stop)
        pace = known_pace(planned)
        if calibrate:
            pace = _calibrated(request, planned, launcher, stop)
    console.print(_cells_table(planned, pace))
    console.print(_records_table(planned))
    for line in enlarging_lines(data, planned.variants):
        print_line(console, line)
    if not pace.by_network:
        print_line(
            console,
            "time: not known before a cell is done here; --calibrate measures some training steps.",
        )


def _calibrated(
    request: Request, planned: Planned, launcher: Sequence[str], stop: StopRequests
) -> Pace:
    config, content = request.config, planned.data.content
    size = crop_size(config.resolution)
    wanted = {spec.cell.network for spec in planned.specs if spec.cell.key in planned.wanted}
    keys = in_order(LOWEST if key in SELECTIONS else key for key in wanted)
    arguments = {
        "networks": {key: [NETWORKS[key].model, NETWORKS[key].num_frequencies] for key in keys},
        "image_size": size,
        "num_classes": content.coarse_classes,
        "batch_size": config.training.batch_size,
        "precision": config.training.precision,
    }
    found = processes.measure(launcher, "calibration", arguments, stop)
    costs = {}
    for key in keys:
        network = NETWORKS[key]
        measured = estimates.NetworkSize(
            network.model, network.num_frequencies, size, content.coarse_classes
        )
        costs[key] = planned.facts["costs"].get(measured.key)
    missing = [key for key, cost in costs.items() if cost is None]
    speeds = {key: speed for key, speed in found["images_per_second"].items() if key not in missing}
    return estimates.pace_of_speeds(speeds, costs)


def _cells_table(planned: Planned, pace: Pace) -> rich.table.Table:
    title = f"{', '.join(planned.study.tables)}: {planned.study.name}"
    # Narrow enough for 80 columns.
    table = rich.table.Table(title=title, box=rich.box.SIMPLE)
    table.add_column("cell", no_wrap=True)
    for column in ("images", "steps", "10¹²", "time"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    states = {state.key: state.state for state in planned.states()}
    trained = {spec.cell.key for spec in planned.specs if cell_files.is_trained(spec)}
    forward, left, unknown = 0.0, 0.0, False
    for spec in planned.specs:
        key = spec.cell.key
        if key not in planned.wanted:
            continue
        work = planned.works[key]
        again = key in trained and states[key] != DONE
        seconds = pace.seconds(spec.cell.network, work.left(trained=again))
        forward += work.forward
        if states[key] != DONE:
            unknown = unknown or seconds is None
            left += seconds or 0
        table.add_row(
            key,
            f"{work.records:,}",
            f"{work.steps * work.trainings:,}",
            f"{work.forward / _TERA:,.2f}",
            _UNKNOWN if seconds is None else format_seconds(seconds),
            "to evaluate" if again else states[key],
        )
    table.add_section()
    done = sum(states[key] == DONE for key in planned.wanted)
    table.add_row(
        f"{len(planned.wanted)} cells, {done} done",
        "",
        "",
        f"{forward / _TERA:,.2f}",
        _UNKNOWN if unknown else format_seconds(left),
        "left",
    )
    table.caption = (
        "10¹²: multiply–adds of a forward pass × training images × epochs; a training step is "
        "three of these. time: of steps and evaluations, without what a cell takes to start."
    )
    if any(planned.works[key].trainings > 1 for key in planned.wanted):
        table.caption += (
            " Learning bands takes two trainings: one with a gate, and one on what it has chosen."
        )
    return table


def _records_table(planned: Planned) -> rich.table.Table:
    content = planned.data.content
    table = rich.table.Table(title="Data sets")
    table.add_column("variant", no_wrap=True)
    for column in ("train", "test", "disk"):
        table.add_column(column, justify="right")
    table.add_column("state")
    for variant in planned.variants:
        size = planned.data.disk_bytes(variant)
        about = _about_bytes(variant, content.train_images + content.test_images)
        table.add_row(
            variant.key,
            f"{content.train_images:,}",
            f"{content.test_images:,}",
            f"about {about / _MEGABYTE:,.0f} MB" if size is None else f"{size / _MEGABYTE:,.1f} MB",
            "to be made" if size is None else "made",
        )
    return table


def _about_bytes(variant: Variant, records: int) -> float:
    """Returns about what a data set takes."""
    bytes_per_pixel = next(size for quality, size in _BYTES_PER_PIXEL if variant.quality <= quality)
    return records * variant.resolution**2 * bytes_per_pixel
