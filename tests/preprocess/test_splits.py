from __future__ import annotations

import hashlib
import random
from collections import Counter

import pytest

from preprocess.sources import SourceFile
from preprocess.splits import assign_splits


def make_files(**counts):
    return [
        SourceFile(f"{label}/{label}{index}.jpg", label, None, 1)
        for label, count in counts.items()
        for index in range(count)
    ]


def paths_of_tests(files):
    return {file.path for file in files if file.split == "test"}


def test_the_lowest_hashes_of_each_class_are_test():
    files = make_files(a=10, b=7)
    expected = set()
    for label, count in (("a", 2), ("b", 1)):
        names = [file.path for file in files if file.label == label]
        names.sort(key=lambda name: hashlib.sha256(f"5:{name.split('/')[1]}".encode()).digest())
        expected |= set(names[:count])
    assert paths_of_tests(assign_splits(files, 0.2, seed=5)) == expected


@pytest.mark.parametrize("fraction", [0.01, 0.2, 0.5, 0.99])
def test_every_class_has_its_share_and_one_to_train(fraction):
    counts = {"a": 1, "b": 2, "c": 3, "d": 20, "e": 101}
    files = assign_splits(make_files(**counts), fraction, seed=0)
    tests = Counter(file.label for file in files if file.split == "test")
    expected = {name: min(round(fraction * n), n - 1) for name, n in counts.items()}
    assert {name: tests[name] for name in counts} == expected
    assert len(files) == sum(counts.values())


def test_order_and_folder_do_not_matter_and_the_seed_does():
    files = make_files(a=30, b=30)
    shuffled = random.Random(1).sample(files, len(files))
    moved = [SourceFile(f"elsewhere/{f.path}", f.label, None, 1) for f in files]
    tests = paths_of_tests(assign_splits(files, 0.2, 0))
    assert paths_of_tests(assign_splits(shuffled, 0.2, 0)) == tests
    assert paths_of_tests(assign_splits(moved, 0.2, 0)) == {f"elsewhere/{name}" for name in tests}
    assert paths_of_tests(assign_splits(files, 0.2, 1)) != tests


def test_a_given_split_stays():
    files = [SourceFile("a/1.jpg", "a", "test", 1), SourceFile("a/2.jpg", "a", "train", 1)]
    assert assign_splits(files, 0.2, 0) == files
