"""Images, folders and the command line, for the tests of the preprocessing job."""

from __future__ import annotations

import io
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from absl import flags
from PIL import Image

from jpegkeras.dataset_info import COMPRESSIONS, DatasetInfo
from jpegkeras.records import parse_record
from preprocess import main
from preprocess.filesystems.local import LocalFileSystem
from preprocess.plan import make_plan
from preprocess.sources import list_source

ROOT = pathlib.Path(__file__).parents[2]


def draw(seed=0, height=40, width=56, mode="RGB"):
    """A picture with soft structure in every colour, as a PIL image."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return picture.convert(mode)


def encode(picture=None, kind="JPEG", **options):
    """Bytes of the picture; JPEGs are 4:2:0 of quality 85 unless told otherwise."""
    picture = draw() if picture is None else picture
    if kind == "JPEG":
        options = {"quality": 85, **options}
        if picture.mode == "RGB":
            options = {"subsampling": "4:2:0", **options}
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def write_files(folder, files):
    """Writes {path below the folder: bytes} and returns the folder."""
    for name, data in files.items():
        path = pathlib.Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return pathlib.Path(folder)


def write_classes(folder, counts, **options):
    """Writes {class: number} small JPEGs, each another picture, into class folders."""
    files = {
        f"{name}/{name}_{index}.jpg": encode(draw(hash_of(name) + index), **options)
        for name, count in counts.items()
        for index in range(count)
    }
    return write_files(folder, files)


def plan_of(config):
    """The plan of a job, as the job itself makes it."""
    return make_plan(config, list_source(config.source))


def reverse_listings(monkeypatch):
    """Makes the disk list its files in another order."""
    walk = LocalFileSystem.walk
    monkeypatch.setattr(
        LocalFileSystem, "walk", lambda self, path: reversed(list(walk(self, path)))
    )


def hash_of(name):
    return sum(ord(letter) * 1000 for letter in name)


def run_main(*arguments):
    """Runs the command line in this process and returns its exit status."""
    values = flags.FlagValues()
    main.define_flags(values)
    return main.run(values(["main", *map(str, arguments)]), values)


def start_main(*arguments, before="", **options):
    """Starts the command line as a process of its own; `before` is Python code to run first."""
    code = (
        f"{before}\nfrom absl import flags\nfrom jpegkeras import command_line\n"
        "from preprocess import main\nmain.define_flags(flags.FLAGS)\ncommand_line.run(main.main)"
    )
    # A job with worker processes needs a main module that can be imported again.
    command = ["-c", code] if before else ["-m", "preprocess.main"]
    return subprocess.Popen(
        [sys.executable, *command, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts what it runs in the background with interrupts ignored, which a child
        # inherits; the tests may have been started so.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **options,
    )


def read_shard(directory, file, num_frequencies=64):
    """The records of one shard, each as a dict of numpy values."""
    compression = COMPRESSIONS["gzip" if file.endswith(".gz") else "none"]
    path = str(pathlib.Path(directory, file))
    return [
        {key: value.numpy() for key, value in parse_record(record, num_frequencies).items()}
        for record in tf.data.TFRecordDataset(path, compression)
    ]


def read_split(directory, info: DatasetInfo, split, num_frequencies=64):
    """The records of all shards of a split, in order."""
    return [
        record
        for shard in info.splits[split].shards
        for record in read_shard(directory, shard.file, num_frequencies)
    ]


def contents(directory):
    """{path: bytes} of every file below a folder."""
    directory = pathlib.Path(directory)
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def children_of(process):
    path = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(number) for number in path.read_text().split()]


def workers_of(process):
    """The process numbers of a job's workers; Python keeps a resource tracker beside them."""
    return [number for number in children_of(process) if "spawn_main" in command_of(number)]


def command_of(number):
    try:
        return pathlib.Path(f"/proc/{number}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def is_running(number):
    try:
        return "\nState:\tZ" not in pathlib.Path(f"/proc/{number}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


needs_proc = pytest.mark.skipif(
    not pathlib.Path("/proc/self/task").exists(), reason="needs /proc to find the workers"
)
