"""Measures how fast pictures become smaller, beside a plain Pillow loop, and how good they are.

    python -m benchmarks.resizing [--input_dir=DIR] [--output=FILE] [--check]

All routes run in turns in one process on one core, and medians of processor time are compared. The
quality is that of luma and chroma planes, measured beside float64 arithmetic.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import io
import pathlib
import shlex
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
import rich.console
import rich.table

# So that `python benchmarks/resizing.py` works as well.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import images, machine, report, resizing_quality, resizing_routes
from benchmarks.drawing import draw_picture
from benchmarks.goals import Verdict
from benchmarks.settings import SUBSAMPLINGS, Settings
from jpegkeras import files
from jpegkeras.errors import InputError
from jpegkeras.transcoding import EXACT, FAST

_DEFAULT_OUTPUT = "build/benchmarks/resizing.json"
_DRAWN_QUALITY = 90
_SPEED, _SPEED_AIM = 1.5, 2.0
#: What a mean over the images may lose, in dB.
_LOSS = 0.1


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message} (--help lists the flags)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status; the user's errors are one line."""
    values = _make_parser().parse_args(argv)
    try:
        return _run(values)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: nothing was written.", file=sys.stderr)
        return 130


def _run(values: argparse.Namespace) -> int:
    output = pathlib.Path(values.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    described = machine.describe()
    print("Preparing the images …", file=sys.stderr, flush=True)
    chosen = _collect(values)
    routes = resizing_routes.list_routes(values.smallest_side, values.quality)
    with report.progress("measuring the speed", values.repeats + 1) as advance:
        timings = resizing_routes.time_routes(chosen.jpegs, routes, values.repeats, advance)
    speed = _make_speed_rows(timings, len(chosen.jpegs))
    _print_speed(speed, chosen, values)
    with report.progress("measuring the quality", len(values.factors)) as advance:
        quality = resizing_quality.measure(
            chosen.jpegs, values.factors, values.quality, "4:2:0", advance
        )
    _print_quality(quality, values)
    verdicts = _judge(speed, quality)
    report.print_verdicts(verdicts)
    now = datetime.datetime.now(datetime.timezone.utc)
    arguments = sys.argv[1:]
    files.write_json(
        output,
        {
            "date": now.isoformat(timespec="seconds"),
            "command": shlex.join(["python", "-m", "benchmarks.resizing", *arguments]),
            "machine": described,
            "settings": {
                "smallest_side": values.smallest_side,
                "quality": values.quality,
                "subsampling": "4:2:0",
                "repeats": values.repeats,
                "factors": values.factors,
            },
            "images": chosen.describe(),
            "speed": speed,
            "quality": [dataclasses.asdict(row) for row in quality],
            "goals": [dataclasses.asdict(verdict) for verdict in verdicts],
        },
    )
    report.say(f"Written: {output}")
    missed = sum(not verdict.met for verdict in verdicts)
    if values.check and missed:
        print(f"error: {missed} goal(s) missed", file=sys.stderr)
        return 1
    return 0


def _collect(values: argparse.Namespace) -> images.Images:
    if values.input_dir is not None:
        return images.collect(
            Settings(
                images=values.images,
                input_dir=values.input_dir,
                as_found=True,
                size=256,
                quality=75,
                subsampling="4:2:0",
                optimize=False,
                num_frequencies=(64,),
                repeats=values.repeats,
                batch=1,
                large_batch=1,
                libraries=(),
            )
        )
    width, height = values.size
    jpegs = [
        _draw(number, width, height, values.subsampling[number % len(values.subsampling)])
        for number in range(values.images)
    ]
    samplings = ", ".join(values.subsampling)
    origin = f"drawn, {width}×{height}, quality {_DRAWN_QUALITY}, {samplings}"
    return images.Images(jpegs, origin, {})


def _draw(number: int, width: int, height: int, subsampling: str) -> bytes:
    picture = draw_picture(np.random.default_rng((1, number)), max(width, height))
    out = io.BytesIO()
    picture.crop((0, 0, width, height)).save(
        out, "JPEG", quality=_DRAWN_QUALITY, subsampling=subsampling
    )
    return out.getvalue()


def _make_speed_rows(timings: Sequence[resizing_routes.Timing], count: int) -> list[dict[str, Any]]:
    pillow = next(t for t in timings if t.key == resizing_routes.PILLOW)
    return [
        {
            "key": timing.key,
            "name": resizing_routes.NAMES[timing.key],
            "images_per_second": count / timing.seconds,
            "milliseconds": 1000 * timing.seconds / count,
            "ratio": pillow.seconds / timing.seconds,
            "spread": timing.spread,
            "wall_seconds": timing.wall,
            "cpu_seconds": timing.cpu,
        }
        for timing in timings
    ]


def _judge(
    speed: Sequence[dict[str, Any]], quality: Sequence[resizing_quality.Row]
) -> list[Verdict]:
    ratio = next(row["ratio"] for row in speed if row["key"] == FAST)
    verdicts = [
        Verdict(
            "images/s, fast / Pillow loop",
            f"at least {_SPEED:g}, aim {_SPEED_AIM:g}",
            ratio,
            ratio >= _SPEED,
        )
    ]
    for beside in (EXACT, resizing_quality.QUANTIZED):
        loss = resizing_quality.find_loss(quality, FAST, beside)
        what = f"dB that fast loses beside {resizing_quality.NAMES[beside]}, at worst"
        verdicts.append(Verdict(what, f"at most {_LOSS:g}", loss, loss <= _LOSS))
    return verdicts


def _print_speed(
    rows: Sequence[dict[str, Any]], chosen: images.Images, values: argparse.Namespace
) -> None:
    count = len(chosen.jpegs)
    table = rich.table.Table(
        title=f"{count:,} images {chosen.origin}; {chosen.size / count / 1000:.1f} kB each; to "
        f"{values.smallest_side} pixels, quality {values.quality}; median of {values.repeats}",
        title_justify="left",
    )
    table.add_column("one core")
    for column in ("images/s", "ms an image", "× Pillow loop", "spread"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            row["name"],
            f"{row['images_per_second']:,.0f}",
            f"{row['milliseconds']:.2f}",
            f"{row['ratio']:.2f}",
            f"{row['spread']:.0%}",
        )
    rich.console.Console(width=140).print(table)


def _print_quality(rows: Sequence[resizing_quality.Row], values: argparse.Namespace) -> None:
    table = rich.table.Table(
        title=f"PSNR in dB at quality {values.quality}, mean over the images (least); all but the "
        "last two columns beside float64 arithmetic",
        title_justify="left",
    )
    for column in ("factor", "plane", *resizing_quality.NAMES.values()):
        table.add_column(column, justify="right")
    for row in rows:
        numbers = [f"{row.mean[key]:.2f} ({row.least[key]:.1f})" for key in resizing_quality.NAMES]
        table.add_row(f"{row.factor:g}", row.component, *numbers)
    rich.console.Console(width=140).print(table)


def _make_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m benchmarks.resizing",
        description="Measures speed and quality of resized pictures beside a plain Pillow loop.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--input_dir", metavar="DIR", help="folder with JPEGs, in any depth; none: they are drawn")
    add("--images", type=_parse_count, default=150, metavar="N", help="how many images at most")
    add("--size", type=_parse_size, default="500x375", metavar="WxH", help="of drawn images")
    add(
        "--subsampling",
        type=_parse_samplings,
        default="4:4:4,4:2:0",
        metavar="NAME,…",
        help="of drawn images, in turns",
    )
    add("--smallest_side", type=_parse_count, default=256, metavar="PIXELS", help="of the results")
    add("--quality", type=_parse_quality, default=75, metavar="Q", help="of the results")
    add(
        "--factors",
        type=_parse_factors,
        default="1,1.5,2,3,4,6,8,12,16",
        metavar="F,…",
        help="by which sides become smaller where the quality is measured",
    )
    add("--repeats", type=_parse_count, default=7, metavar="N", help="passes; the median counts")
    add("--output", default=_DEFAULT_OUTPUT, metavar="FILE", help="JSON for the results")
    add("--check", action="store_true", help="fail if a goal is missed")
    return parser


def _parse_count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1; got {text!r}")
    return int(text)


def _parse_quality(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"expected a quality from 1 to 100; got {text!r}")
    return int(text)


def _parse_size(text: str) -> tuple[int, int]:
    width, x, height = text.partition("x")
    if not (x and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"expected a size such as 500x375; got {text!r}")
    return int(width), int(height)


def _parse_samplings(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if not set(names) <= set(SUBSAMPLINGS):
        raise argparse.ArgumentTypeError(f"expected some of {', '.join(SUBSAMPLINGS)}; got {text}")
    return names


def _parse_factors(text: str) -> tuple[float, ...]:
    try:
        factors = tuple(float(part) for part in text.split(","))
    except ValueError:
        factors = ()
    if not factors or not all(0 < factor < 1000 for factor in factors):
        raise argparse.ArgumentTypeError(f"expected numbers such as 1,2,4; got {text!r}")
    return factors


if __name__ == "__main__":
    sys.exit(main())
