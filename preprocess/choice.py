"""Which of the listed files a job takes: all, those of some classes, or so many of each class."""

from __future__ import annotations

import collections
from collections.abc import Collection, Mapping, Sequence

from jpegkeras.errors import InputError
from preprocess.sources import SourceFile
from preprocess.splits import split_key


def keep_classes(
    files: Sequence[SourceFile], classes: Collection[str], labels: str
) -> list[SourceFile]:
    """Returns the files of the `classes` alone. Raises InputError where one has no file at all."""
    kept = [file for file in files if file.label in classes]
    absent = sorted(set(classes) - {file.label for file in kept})
    if absent:
        raise InputError(
            f"{labels}: {len(absent)} of its {len(classes)} classes have no image; the first is "
            f"{absent[0]!r}. Remove their rows, or mend the names."
        )
    return kept


def limit_classes(
    files: Sequence[SourceFile], limits: Mapping[str, int], seed: int
) -> list[SourceFile]:
    """Returns at most `limits[split]` files of each class in each split; 0 is no limit.

    Those with the lowest hash of their base name stay (ties by path): with a higher limit the same
    and some more.
    """
    members = collections.defaultdict(list)
    for file in files:
        members[file.split, file.label].append(file)
    kept = []
    for (split, _), found in members.items():
        limit = limits.get(split, 0)
        if limit:
            found = sorted(found, key=lambda file: split_key(file, seed))[:limit]
        kept += found
    return kept
