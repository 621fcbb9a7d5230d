"""Fine and coarse classes: their indices, titles and order."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable

from jpegkeras.dataset_info import ClassInfo
from jpegkeras.errors import InputError
from preprocess.tables import read_table

COLUMNS = ("class", "name", "coarse")


def make_classes(
    found: Iterable[str], labels: str | os.PathLike | None
) -> tuple[tuple[ClassInfo, ...], tuple[str, ...]]:
    """Returns the fine classes, sorted by id, and the names of the coarse classes, sorted.

    `found` are the ids that occur in the data; others get no index. Ids that all are whole numbers
    are sorted as such. `labels` is a CSV with the columns class, name and coarse; without it each
    class is titled by its id and is a coarse class of its own. Raises InputError for a class that
    `labels` lacks.
    """
    ids = _sort_ids(set(found))
    if labels is None:
        classes = tuple(ClassInfo(name, name, index) for index, name in enumerate(ids))
        return classes, tuple(ids)
    table = read_labels(labels)
    for name in ids:
        if name not in table:
            raise InputError(
                f"{labels}: the data has the unknown class {name!r}; add a row "
                f"{','.join(COLUMNS)} for it here."
            )
    coarse_classes = tuple(sorted({table[name][1] for name in ids}))
    classes = tuple(
        ClassInfo(name, table[name][0], coarse_classes.index(table[name][1])) for name in ids
    )
    return classes, coarse_classes


def _sort_ids(ids: Collection[str]) -> list[str]:
    if all(name.isascii() and name.isdigit() for name in ids):
        return sorted(ids, key=_by_value)
    return sorted(ids)


def _by_value(number: str) -> tuple[int, str, str]:
    """Returns what sorts digits by their value; int() takes no more than some thousands."""
    digits = number.lstrip("0")
    return len(digits), digits, number


def read_labels(path: str | os.PathLike) -> dict[str, tuple[str, str]]:
    """Returns class → (title, coarse class). Raises InputError for a bad CSV."""
    table: dict[str, tuple[str, str]] = {}
    for line, row in read_table(path, COLUMNS):
        name, title, coarse = (row[column].strip() for column in COLUMNS)
        if name in table:
            raise InputError(f"{path}, line {line}: the class {name!r} occurs twice.")
        table[name] = (title, coarse)
    return table
