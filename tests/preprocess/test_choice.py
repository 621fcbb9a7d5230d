from __future__ import annotations

import hashlib
import json
import random
from collections import Counter

import pytest

from jpegkeras.dataset_info import load_dataset_info
from jpegkeras.errors import InputError
from preprocess import job
from preprocess.choice import keep_classes, limit_classes
from preprocess.config import PreprocessConfig
from preprocess.sources import SourceFile
from tests.preprocess.helpers import plan_of, run_main, write_classes


def make_files(**counts):
    return [
        SourceFile(f"{label}/{label}{index}.jpg", label, "test" if index % 3 == 0 else "train", 1)
        for label, count in counts.items()
        for index in range(count)
    ]


def test_each_class_and_split_keeps_its_lowest_hashes():
    files = make_files(a=30, b=9, c=2)
    kept = limit_classes(files, {"train": 4, "test": 2}, seed=5)
    counts = Counter((file.label, file.split) for file in kept)
    assert counts == {
        ("a", "train"): 4,
        ("a", "test"): 2,
        ("b", "train"): 4,
        ("b", "test"): 2,
        ("c", "train"): 1,
        ("c", "test"): 1,
    }
    names = [file.path for file in files if (file.label, file.split) == ("a", "train")]
    names.sort(key=lambda name: hashlib.sha256(f"5:{name.split('/')[1]}".encode()).digest())
    assert {f.path for f in kept if (f.label, f.split) == ("a", "train")} == set(names[:4])


def test_a_higher_limit_takes_the_same_and_more_whatever_the_order():
    files = make_files(a=60)
    few = set(limit_classes(files, {"train": 5}, 0))
    more = set(limit_classes(random.Random(0).sample(files, len(files)), {"train": 6}, 0))
    assert few < more and len(more - few) == 1
    assert set(limit_classes(files, {"train": 0, "test": 0}, 0)) == set(files)


def test_only_the_named_classes_stay():
    files = make_files(a=3, b=3, c=3)
    assert {file.label for file in keep_classes(files, ["a", "c"], "labels.csv")} == {"a", "c"}
    with pytest.raises(InputError, match=r"labels.csv: 1 of its 2 classes have no image; .*'x'"):
        keep_classes(files, ["a", "x"], "labels.csv")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("in")
    write_classes(folder, {"a": 10, "b": 10, "c": 10})
    return folder


def labels_of(tmp_path, *classes):
    lines = ["class,name,coarse", *(f"{name},title {name},all" for name in classes)]
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return str(tmp_path / "labels.csv")


def test_the_job_makes_what_was_chosen_and_says_what_was_left_out(folder, tmp_path, capsys):
    arguments = [
        f"--input_dir={folder}",
        f"--labels={labels_of(tmp_path, 'a', 'c')}",
        "--only_labelled",
        "--train_per_class=5",
        "--test_per_class=1",
        f"--output_dir={tmp_path / 'out'}",
        "--workers=1",
    ]
    assert run_main(*arguments) == 0
    info = load_dataset_info(tmp_path / "out")
    assert [entry.name for entry in info.classes] == ["a", "c"]
    assert info.splits["train"].class_counts == (5, 5)
    assert info.splits["test"].class_counts == (1, 1)
    assert info.counts["left out"] == 30 - 12
    assert "left out as not asked for" in capsys.readouterr().out
    assert run_main(*arguments) == 0
    assert "finished already" in capsys.readouterr().err
    arguments[3] = "--train_per_class=6"
    assert run_main(*arguments) == 1
    assert "train_per_class was 5 and is now 6" in capsys.readouterr().err


def test_a_data_set_from_before_the_limits_counts_as_made_without(folder, tmp_path):
    config = PreprocessConfig(input_dir=str(folder), output_dir=str(tmp_path / "out"), workers=1)
    job.run(config)
    path = tmp_path / "out" / "dataset.json"
    content = json.loads(path.read_text())
    for name in ("train_per_class", "test_per_class", "only_labelled"):
        del content["settings"][name]
    path.write_text(json.dumps(content))
    assert job.run(config).finished_before


def test_a_class_that_labels_lacks_is_an_error_unless_left_out(folder, tmp_path):
    labels = labels_of(tmp_path, "a", "b")
    config = PreprocessConfig(input_dir=str(folder), output_dir="out", labels=labels)
    with pytest.raises(InputError, match="unknown class 'c'"):
        plan_of(config)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train_per_class": -1}, "train_per_class must be at least 0; got -1"),
        ({"only_labelled": True}, "--only_labelled needs --labels"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        PreprocessConfig(input_dir="in", output_dir="out", **settings)
