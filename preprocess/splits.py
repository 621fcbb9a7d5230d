"""Which files go to the test split, and in which order: by hashes, the same on every machine."""

from __future__ import annotations

import collections
import hashlib
import os
import posixpath
from collections.abc import Iterable

from preprocess.sources import TEST, TRAIN, SourceFile


def stable_hash(seed: int, name: str) -> bytes:
    """Returns the SHA-256 of "seed:name", the name as the bytes that the disk holds."""
    return hashlib.sha256(f"{seed}:".encode() + os.fsencode(name)).digest()


def assign_splits(files: Iterable[SourceFile], test_fraction: float, seed: int) -> list[SourceFile]:
    """Returns the files with the split filled in where it is not given, class by class.

    Of a class's n files, the round(test_fraction × n) with the lowest hash of their base name go to
    test (ties by path), but one always stays in train. A file thus keeps its split when its folder
    is moved.
    """
    by_class = collections.defaultdict(list)
    assigned = []
    for file in files:
        if file.split is None:
            by_class[file.label].append(file)
        else:
            assigned.append(file)
    for members in by_class.values():
        members.sort(key=lambda file: split_key(file, seed))
        tests = min(round(test_fraction * len(members)), len(members) - 1)
        assigned += [
            file._replace(split=TEST if position < tests else TRAIN)
            for position, file in enumerate(members)
        ]
    return assigned


def split_key(file: SourceFile, seed: int) -> tuple[bytes, bytes]:
    """Returns what files are ordered by: the hash of the base name, then the path."""
    return stable_hash(seed, posixpath.basename(file.path)), os.fsencode(file.path)
