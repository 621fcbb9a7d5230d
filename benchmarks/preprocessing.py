"""Measures the preprocessing job: speed, size of the shards, memory of its workers.

    python -m benchmarks.preprocessing [--input_dir=DIR [--cut]] [--output=FILE] [--check]
    python -m benchmarks.preprocessing --memory [--images=100000]

On images of 256×256 pixels, quality 75, 4:2:0, drawn or made from those of --input_dir: resized, or
with --cut the centres of those that are large enough, as they are. With --as_found on the files of
--input_dir, brought to --smallest_side=256 --quality=75, beside a plain Pillow loop. A job is timed
on few and on many images, and the difference taken: what it takes to start and to end is no matter
of its speed, and is given beside. Everything takes turns; medians are compared.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import rich.console
import rich.table

from benchmarks import images, machine, report
from benchmarks.goals import Verdict
from benchmarks.settings import Settings
from jpegkeras import files
from jpegkeras.errors import InputError

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_RESIZED = {"smallest_side": 256, "quality": 75}
_SAMPLE_SECONDS = 0.25
_MEMORY_LIMIT = 400


@dataclasses.dataclass(frozen=True)
class Variant:
    """Settings of the job to measure."""

    name: str
    workers: int
    settings: dict[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    values = _parse(argv)
    try:
        settings = _image_settings(values)
    except ValueError as error:
        print(f"error: {error}.", file=sys.stderr)
        return 2
    try:
        with tempfile.TemporaryDirectory(dir=values.scratch_dir) as scratch:
            measure = _measure_memory if values.memory else _measure_speed
            result, verdicts = measure(values, settings, pathlib.Path(scratch))
    except (InputError, OSError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    report.print_verdicts(verdicts)
    output = pathlib.Path(values.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    provenance = {
        "command": f"python -m benchmarks.preprocessing {' '.join(_shown(argv))}".strip(),
        "date": datetime.date.today().isoformat(),
        "machine": machine.describe(),
    }
    judged = [dataclasses.asdict(verdict) for verdict in verdicts]
    files.write_json(output, {**provenance, **result, "goals": judged})
    report.say(f"Written: {output}")
    return int(values.check and any(verdict.met is False for verdict in verdicts))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input_dir", help="folder of JPEGs to make the images from")
    parser.add_argument("--as_found", action="store_true", help="take them as they are, to resize")
    parser.add_argument("--cut", action="store_true", help="cut their centres, without resizing")
    parser.add_argument("--images", type=int, default=0, help="how many (0: as many as usual)")
    parser.add_argument("--copies", type=int, default=0, help="how often each (0: as usual)")
    parser.add_argument("--repeats", type=int, default=5, help="rounds; medians are reported")
    parser.add_argument("--memory", action="store_true", help="watch the workers' memory instead")
    parser.add_argument("--output", default="build/benchmarks/preprocessing.json")
    parser.add_argument("--scratch_dir", help="where to put images and shards (some gigabytes)")
    parser.add_argument("--check", action="store_true", help="fail where a goal is missed")
    return parser.parse_args(argv)


def _shown(argv: Sequence[str] | None) -> list[str]:
    arguments = sys.argv[1:] if argv is None else list(argv)
    hidden = ("--scratch_dir", "--output", "--input_dir")
    return [a if not a.startswith(hidden) else f"{a.partition('=')[0]}=…" for a in arguments]


def _measure_speed(
    values: argparse.Namespace, settings: Settings, scratch: pathlib.Path
) -> tuple[dict[str, Any], list[Verdict]]:
    chosen = images.collect(settings)
    # Enough that a job takes some seconds, so that what is told of two workers is not noise.
    usual = 3000 if values.as_found else 16_000
    copies = values.copies or max(2, round(usual / len(chosen.jpegs)))
    if values.as_found:
        peer = "pillow"
        variants = [
            Variant(f"n={n}, {name}", workers, {**_RESIZED, "num_frequencies": n, **_gzip(name)})
            for n, name, workers in ((64, "none", 1), (16, "gzip", 1), (64, "none", 2))
        ]
    else:
        peer = "decode"
        variants = [
            Variant(f"n={n}, {name}", workers, {"num_frequencies": n, **_gzip(name)})
            for n in (64, 16)
            for name in ("none", "gzip")
            for workers in (1, 2)
        ]
    tables = _write_images(scratch / "images", chosen.jpegs, copies)
    counts = [len(chosen.jpegs), copies * len(chosen.jpegs)]
    peers: list[float] = []
    runs: dict[Variant, list[dict[str, float]]] = {}
    _run_job(tables[0], 1, variants[0].settings, scratch / "out")  # which compiles the kernels
    with report.progress("measuring", values.repeats) as advance:
        for _ in range(values.repeats):
            peers.append(_run(peer, tables[0])["images_per_second"])
            for number, variant in enumerate(variants):
                once = _time_job(tables, counts, variant, scratch / "out")
                runs.setdefault(number, []).append(once)
            advance()
    rows = [_row(variant, runs[number], peers) for number, variant in enumerate(variants)]
    name = "tf.io.decode_jpeg" if peer == "decode" else "Pillow: open, resize, save"
    _print_rows(rows, chosen.origin, name, statistics.median(peers))
    result = {
        "images": {**chosen.describe(), "copies": copies},
        "peer": {"name": name, "images_per_second": peers},
        "jobs": rows,
    }
    return result, _judge(rows, name, resized=values.as_found)


def _gzip(name: str) -> dict[str, str]:
    return {"compression": name}


def _image_settings(values: argparse.Namespace) -> Settings:
    # In --memory, --images counts links to the images.
    count = 1000 if values.memory else values.images or 1000
    return Settings(
        images=count,
        input_dir=values.input_dir,
        as_found=values.as_found and not values.memory,
        size=256,
        quality=75,
        subsampling="4:2:0",
        optimize=False,
        num_frequencies=(64,),
        repeats=1,
        batch=32,
        large_batch=256,
        libraries=(),
        cut=values.cut,
    )


def _write_images(folder: pathlib.Path, jpegs: Sequence[bytes], copies: int) -> list[pathlib.Path]:
    """Writes the images so many times; returns a CSV that lists them once, and one of all."""
    folder.mkdir()
    names = []
    for copy in range(copies):
        for index, jpeg in enumerate(jpegs):
            name = f"{copy}-{index:05d}.jpg"
            (folder / name).write_bytes(jpeg)
            names.append(name)
    tables = []
    for count in (len(jpegs), len(names)):
        lines = [f"{name},{index % 10}" for index, name in enumerate(names[:count])]
        tables.append(folder / f"{count}.csv")
        tables[-1].write_text("\n".join(["path,label", *lines]) + "\n")
    return tables


def _run(*arguments: object) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.job_worker", *map(str, arguments)]
    done = subprocess.run(command, cwd=_ROOT, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _time_job(
    tables: Sequence[pathlib.Path], counts: Sequence[int], variant: Variant, out: pathlib.Path
) -> dict[str, float]:
    few, many = (_run_job(table, variant.workers, variant.settings, out) for table in tables)
    seconds = many["seconds"] - few["seconds"]
    return {
        "images_per_second": (counts[1] - counts[0]) / seconds,
        "start_and_end_seconds": few["seconds"] - seconds * counts[0] / (counts[1] - counts[0]),
        "size": many["bytes_out"] / many["bytes_in"],
    }


def _run_job(
    table: pathlib.Path, workers: int, settings: dict[str, Any], out: pathlib.Path
) -> dict[str, float]:
    try:
        return _run("job", table, out, workers, json.dumps(settings))
    finally:
        shutil.rmtree(out, ignore_errors=True)


def _row(
    variant: Variant, runs: Sequence[dict[str, float]], peers: Sequence[float]
) -> dict[str, Any]:
    return {
        "name": variant.name,
        "workers": variant.workers,
        "settings": variant.settings,
        "images_per_second": statistics.median(run["images_per_second"] for run in runs),
        "ratio": statistics.median(
            run["images_per_second"] / peer for run, peer in zip(runs, peers)
        ),
        "start_and_end_seconds": statistics.median(run["start_and_end_seconds"] for run in runs),
        "size": runs[0]["size"],
        "runs": [run["images_per_second"] for run in runs],
    }


def _print_rows(rows: Sequence[dict[str, Any]], origin: str, peer: str, rate: float) -> None:
    table = rich.table.Table(title=f"Images {origin}", title_justify="left")
    table.add_column("job")
    for column in ("workers", "images/s", f"× {peer}", "start and end", "size / JPEGs"):
        table.add_column(column, justify="right")
    table.add_row(peer, "1", f"{rate:,.0f}", "1.00", "", "")
    for row in rows:
        table.add_row(
            row["name"],
            str(row["workers"]),
            f"{row['images_per_second']:,.0f}",
            f"{row['ratio']:.2f}",
            f"{row['start_and_end_seconds']:.1f} s",
            f"{row['size']:.3f}",
        )
    rich.console.Console().print(table)


def _judge(rows: Sequence[dict[str, Any]], peer: str, *, resized: bool) -> list[Verdict]:
    by_key = {(row["name"], row["workers"]): row for row in rows}
    verdicts = []
    if resized:
        ratio = by_key["n=64, none", 1]["ratio"]
        verdicts.append(_at_least(f"smallest side 256, quality 75 / {peer}", ratio, 1.5))
    else:
        for name in ("n=64, none", "n=16, none"):
            verdicts.append(_at_least(f"{name} / {peer}", by_key[name, 1]["ratio"], 1.0))
        for name, most in (
            ("n=64, gzip", 1.25),
            ("n=16, gzip", 0.85),
            ("n=64, none", 7.3),
            ("n=16, none", 1.9),
        ):
            size = by_key[name, 1]["size"]
            verdicts.append(
                Verdict(f"{name}: bytes / JPEGs", f"at most {most:g}", size, size <= most)
            )
    for name, workers in by_key:
        if workers == 2:
            pairs = zip(by_key[name, 2]["runs"], by_key[name, 1]["runs"])
            ratio = statistics.median(two / one for two, one in pairs)
            verdicts.append(_at_least(f"{name}: 2 workers / 1", ratio, 1.8))
    return verdicts


def _at_least(what: str, ratio: float, least: float) -> Verdict:
    return Verdict(what, f"at least {least:g}", ratio, ratio >= least)


def _measure_memory(
    values: argparse.Namespace, settings: Settings, scratch: pathlib.Path
) -> tuple[dict[str, Any], list[Verdict]]:
    count = values.images or 100_000
    jpegs = images.collect(settings).jpegs
    table = _link_images(scratch / "images", jpegs, count)
    command = [sys.executable, "-m", "benchmarks.job_worker", "job", str(table)]
    command += [
        str(scratch / "out"),
        "2",
        json.dumps({"num_frequencies": 16, "compression": "gzip"}),
    ]
    process = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.DEVNULL)
    samples: list[list[int]] = []
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(process.pid, samples, ended))
    watcher.start()
    process.wait()
    ended.set()
    watcher.join()
    largest = [max(sample) for sample in samples if sample]
    steady = largest[len(largest) // 10 :]
    half = len(steady) // 2
    growth = statistics.median(steady[half:]) / statistics.median(steady[:half])
    peak = max(largest)
    verdicts = [
        Verdict(
            f"peak memory of a worker over {count:,} files, MB",
            f"at most {_MEMORY_LIMIT}",
            peak,
            peak <= _MEMORY_LIMIT,
        ),
        Verdict("memory in the second half / in the first", "at most 1.02", growth, growth <= 1.02),
    ]
    step = max(1, len(largest) // 40)
    return {"files": count, "largest_worker_megabytes": largest[::step]}, verdicts


def _link_images(folder: pathlib.Path, jpegs: Sequence[bytes], count: int) -> pathlib.Path:
    """Writes the images, and links to them under so many names that there are `count`."""
    folder.mkdir()
    lines = ["path,label"]
    for number in range(count):
        path = folder / f"{number:07d}.jpg"
        if number < len(jpegs):
            path.write_bytes(jpegs[number])
        else:
            os.link(folder / f"{number % len(jpegs):07d}.jpg", path)
        lines.append(f"{path.name},{number % 10}")
    table = folder / "list.csv"
    table.write_text("\n".join(lines) + "\n")
    return table


def _watch(parent: int, samples: list[list[int]], ended: threading.Event) -> None:
    """Appends the resident megabytes of each worker, until told to end."""
    while not ended.is_set():
        samples.append([size for size in map(_resident, _workers(parent)) if size])
        time.sleep(_SAMPLE_SECONDS)


def _workers(parent: int) -> Iterator[int]:
    try:
        children = pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    except OSError:
        return
    for child in children:
        try:
            if "spawn_main" in pathlib.Path(f"/proc/{child}/cmdline").read_text():
                yield int(child)
        except OSError:
            continue


def _resident(process: int) -> int:
    try:
        for line in pathlib.Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) // 1024
    except OSError:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
