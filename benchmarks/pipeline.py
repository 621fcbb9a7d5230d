"""Measures the input pipeline beside the usual one of JPEGs to pixels, on one core, in one run.

    python -m benchmarks.pipeline [--input_dir=DIR] [--output=FILE] [--check]

On images of 256×256 pixels, quality 75, 4:2:0, drawn or made from those of --input_dir. Both give
shuffled batches of 128 random crops of 224×224 pixels, half of them flipped: the usual one uint8
pixels, ours packed batches, which the device unpacks ("packed"), or int16 coefficients unpacked on
the same core ("inputs"; compiled with XLA, or not). The pipelines take turns, in a process held to
one core; each is timed in its steady state. Ratios are medians of the rounds'. Files are read again
and again: from memory, not a disk.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import rich.console
import rich.table

from benchmarks import goals, images, machine, pipeline_data, report
from benchmarks.pipeline_data import STAGES
from benchmarks.settings import Settings
from jpegkeras import files
from jpegkeras.errors import InputError

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_RGB = "rgb"
_DATA_SETS = ((16, "none"), (64, "none"), (16, "gzip"), (64, "gzip"))
_MICRO = 1e6
# So that no shard is empty.
_FEWEST = 64


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    values = _parse(argv)
    try:
        settings = _image_settings(values.images, values.input_dir)
        with tempfile.TemporaryDirectory(dir=values.scratch_dir) as scratch:
            described = machine.describe()
            result, rows = _measure(values, settings, pathlib.Path(scratch))
    except (InputError, OSError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    _print_rows(rows, result["images"]["origin"])
    _print_stages(rows)
    # Ratios of one round each, since what slows the machine lasts longer than a round.
    relative = {row["key"]: {**row, "images_per_second": row["ratio"]} for row in rows}
    verdicts = goals.judge(goals.PIPELINE, relative)
    verdicts.append(_judge_bytes(rows))
    report.print_verdicts(verdicts)
    provenance = {
        "command": f"python -m benchmarks.pipeline {' '.join(_shown(argv))}".strip(),
        "date": datetime.date.today().isoformat(),
        "machine": described,
    }
    output = pathlib.Path(values.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    judged = [dataclasses.asdict(verdict) for verdict in verdicts]
    files.write_json(output, {**provenance, **result, "rows": rows, "goals": judged})
    chart = output.with_suffix(".png")
    if _draw_chart(rows, chart):
        report.say(f"Drawn: {chart}")
    report.say(f"Written: {output}")
    return int(values.check and any(verdict.met is False for verdict in verdicts))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--input_dir", metavar="DIR", help="folder of images to crop; none: they are drawn")
    add("--images", type=int, default=1200, metavar="N", help="how many images at most")
    add("--repeats", type=int, default=5, metavar="N", help="rounds, of which the median counts")
    add("--batches", type=int, default=16, metavar="N", help="batches that are timed a round")
    add("--batch_size", type=int, default=128, metavar="N", help="images of a batch")
    add("--shuffle_buffer", type=int, default=1000, metavar="N", help="records shuffled at a time")
    add("--output", default="build/benchmarks/pipeline.json", metavar="FILE", help="the results")
    add("--scratch_dir", metavar="DIR", help="where to put the records (some 300 MB)")
    add("--check", action="store_true", help="fail if a goal is missed")
    return parser.parse_args(argv)


def _shown(argv: Sequence[str] | None) -> list[str]:
    arguments = sys.argv[1:] if argv is None else list(argv)
    hidden = ("--scratch_dir", "--output", "--input_dir")
    return [a if not a.startswith(hidden) else f"{a.partition('=')[0]}=…" for a in arguments]


def _image_settings(count: int, input_dir: str | None) -> Settings:
    return Settings(
        images=count,
        input_dir=input_dir,
        as_found=False,
        size=256,
        quality=75,
        subsampling="4:2:0",
        optimize=False,
        num_frequencies=(64,),
        repeats=1,
        batch=32,
        large_batch=256,
        libraries=(),
    )


def _measure(
    values: argparse.Namespace, settings: Settings, scratch: pathlib.Path
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    for name in ("repeats", "batches", "batch_size", "shuffle_buffer"):
        if getattr(values, name) < 1:
            raise ValueError(f"--{name} must be at least 1; got {getattr(values, name)}")
    print("Preparing the records …", file=sys.stderr, flush=True)
    chosen = images.collect(settings)
    if len(chosen.jpegs) < _FEWEST:
        raise InputError(f"{len(chosen.jpegs)} images are too few: at least {_FEWEST}")
    table = pipeline_data.write_images(scratch / "images", chosen.jpegs)
    pipeline_data.write_jpegs(chosen.jpegs, scratch / _RGB)
    folders = []
    for count, compression in _DATA_SETS:
        folder = scratch / f"{count}-{compression}"
        pipeline_data.write_coefficients(table, folder, count, compression)
        folders.append((count, compression, str(folder)))
    job = {
        "rgb": str(scratch / _RGB),
        "data_sets": folders,
        "rounds": values.repeats,
        "batch_size": values.batch_size,
        "batches": values.batches,
        "shuffle_buffer": values.shuffle_buffer,
    }
    with report.progress("measuring", values.repeats) as advance:
        sizes, rounds = _run_worker(job, advance)
    result = {
        "images": chosen.describe(),
        "images_a_round": values.batches * values.batch_size,
        "batch_size": values.batch_size,
        "shuffle_buffer": values.shuffle_buffer,
    }
    return result, [_make_row(key, size, rounds) for key, size in sizes.items()]


def _run_worker(
    job: dict[str, Any], advance: Callable[[], None]
) -> tuple[dict[str, float], list[dict[str, list[float]]]]:
    command = [sys.executable, "-m", "benchmarks.pipeline_worker", json.dumps(job)]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        lines = []
        for line in process.stdout:
            lines.append(json.loads(line))
            advance()
        if process.wait():
            errors.seek(0)
            sys.stderr.write(errors.read())
            raise subprocess.CalledProcessError(process.returncode, command[:3])
    return lines[0], lines[1:]


def _make_row(key: str, size: float, rounds: Sequence[dict[str, list[float]]]) -> dict[str, Any]:
    wall, cpu = zip(*(times[key] for times in rounds))
    ratios = [times[_RGB][0] / times[key][0] for times in rounds]
    cpu_ratios = [times[_RGB][1] / times[key][1] for times in rounds]
    return {
        "key": key,
        "absent": None,
        "images_per_second": 1 / statistics.median(wall),
        "microseconds": statistics.median(wall) * _MICRO,
        "cpu_microseconds": statistics.median(cpu) * _MICRO,
        "ratio": statistics.median(ratios),
        "cpu_ratio": statistics.median(cpu_ratios),
        "spread": max(wall) / min(wall) - 1,
        "bytes": size,
        "wall_seconds": wall,
        "cpu_seconds": cpu,
    }


def _is_stage(row: dict[str, Any]) -> bool:
    return row["key"].endswith(STAGES)


def _print_rows(rows: Sequence[dict[str, Any]], origin: str) -> None:
    table = rich.table.Table(title=f"Images {origin}; one core", title_justify="left")
    table.add_column("pipeline")
    for column in ("images/s", "× RGB", "µs", "CPU µs", "× by CPU", "bytes an image", "spread"):
        table.add_column(column, justify="right")
    sections = {}
    for row in rows:
        if not _is_stage(row):
            sections.setdefault(row["key"].partition(":")[0], []).append(row)
    for section in sections.values():
        table.add_section()
        for row in section:
            table.add_row(
                row["key"],
                f"{row['images_per_second']:,.0f}",
                f"{row['ratio']:.2f}",
                f"{row['microseconds']:.0f}",
                f"{row['cpu_microseconds']:.0f}",
                f"{row['cpu_ratio']:.2f}",
                f"{row['bytes']:,.0f}",
                f"{row['spread']:.0%}",
            )
    _console().print(table)


def _print_stages(rows: Sequence[dict[str, Any]]) -> None:
    """Prints what each stage takes: by how much a pipeline is slower with it than without."""
    table = rich.table.Table(title="Where the time goes, CPU µs an image", title_justify="left")
    table.add_column("records")
    columns = (*STAGES, "draws", "unpacking", "all")
    for column in columns:
        table.add_column(column, justify="right")
    for name, stages in _find_stages(rows).items():
        table.add_row(name, *(f"{stages[column]:.1f}" for column in columns))
    _console().print(table)


def _find_stages(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Returns the microseconds of each stage for each data set."""
    by_key = {row["key"]: row["cpu_microseconds"] for row in rows}
    found = {}
    for count, compression in _DATA_SETS:
        name = f"n={count}, {compression}"
        until = [by_key[f"{name}: {stage}"] for stage in (*STAGES, "packed", "inputs")]
        parts = [until[0], *(b - a for a, b in zip(until, until[1:]))]
        found[name] = dict(zip((*STAGES, "draws", "unpacking"), parts))
        found[name]["all"] = until[-1]
    return found


def _judge_bytes(rows: Sequence[dict[str, Any]]) -> goals.Verdict:
    sizes = {row["key"]: row["bytes"] for row in rows}
    return goals.judge_bytes(sizes["n=16, none: packed"], sizes[_RGB])


def _draw_chart(rows: Sequence[dict[str, Any]], path: pathlib.Path) -> bool:
    """Draws where the time goes as stacked bars; returns False without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    found = _find_stages(rows)
    names = [*found, "RGB"]
    rgb = next(row["cpu_microseconds"] for row in rows if row["key"] == _RGB)
    figure, axes = pyplot.subplots(figsize=(9, 3.4), layout="constrained")
    left = [0.0] * len(found)
    for number, stage in enumerate((*STAGES, "draws", "unpacking")):
        widths = [max(0.0, stages[stage]) for stages in found.values()]
        colour = pyplot.get_cmap("viridis")(number / 5)
        axes.barh(list(found), widths, left=left, label=stage, color=colour)
        left = [a + b for a, b in zip(left, widths)]
    axes.barh(["RGB"], [rgb], color="tab:gray")
    totals = [*(stages["all"] for stages in found.values()), rgb]
    for name, end, total in zip(names, [*left, rgb], totals):
        axes.text(end, name, f" {total:.0f}", va="center")
    axes.margins(x=0.1)
    axes.invert_yaxis()
    axes.set_xlabel("processor time of an image, µs")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(ncols=3, fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1))
    with files.replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
    pyplot.close(figure)
    return True


def _console() -> rich.console.Console:
    # A table that is piped into a file is not to be folded.
    return rich.console.Console(width=None if sys.stdout.isatty() else 130)


if __name__ == "__main__":
    sys.exit(main())
