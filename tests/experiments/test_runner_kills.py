"""Studies that really train, and are killed."""

from __future__ import annotations

import json
import pathlib
import random
import signal
import time

import pytest

from jpegkeras.experiments.networks import RESOLUTION
from jpegkeras.experiments.results import DONE, load_results
from tests.experiments.studies import write_images
from tests.experiments.study_process import start
from tests.training_process import steps_done

pytestmark = pytest.mark.slow
SETTINGS = {"networks": ["fbs16"], "resolutions": [32, 48]}


def findings(folder):
    """Everything that the studies have found, without times and places."""
    results = load_results(folder)
    found = {}
    for cell in results.cells:
        assert cell.state == DONE, cell
        for evaluation in (cell.own, *cell.others):
            content = json.loads((pathlib.Path(folder) / evaluation.file).read_text())
            found[cell.key, evaluation.resolution] = {
                key: content[key] for key in ("top1", "top5", "loss", "confusion", "image_size")
            }
    return found


def test_studies_killed_at_random_find_what_undisturbed_ones_find(tmp_path):
    write_images(tmp_path, per_class=60)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = start(tmp_path, whole, RESOLUTION, **SETTINGS)
    said, _ = process.communicate()
    assert process.returncode == 0, said
    runs = [
        killed / "runs" / key / "fbs16" / "seed0" for key in ("r32-q90-coarse", "r48-q90-coarse")
    ]
    rng = random.Random(5)
    for run, number in zip(runs, (signal.SIGKILL, signal.SIGTERM)):
        process = start(tmp_path, killed, RESOLUTION, **SETTINGS)
        wanted = rng.randint(5, 40)
        while steps_done(run) < wanted:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.send_signal(number)
        process.communicate()
        assert process.returncode == (143 if number == signal.SIGTERM else -number)
        assert not (run / "cell.json").exists()
    process = start(tmp_path, killed, RESOLUTION, **SETTINGS)
    said, _ = process.communicate()
    assert process.returncode == 0, said
    assert findings(killed) == findings(whole)
    assert len(findings(whole)) == 3


def test_a_cell_ends_with_studies_that_are_killed(tmp_path):
    write_images(tmp_path, per_class=60)
    output = tmp_path / "out"
    run = output / "runs" / "r32-q90-coarse" / "fbs16" / "seed0"
    process = start(tmp_path, output, RESOLUTION, **SETTINGS)
    while steps_done(run) < 5:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.kill()
    process.communicate()
    end = time.monotonic() + 60
    facts = run / "run.json"
    while not facts.is_file() or json.loads(facts.read_text())["state"] != "interrupted":
        assert time.monotonic() < end
        time.sleep(0.1)
