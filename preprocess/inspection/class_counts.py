"""How many records each fine and each coarse class has."""

from __future__ import annotations

from jpegkeras.dataset_info import DatasetInfo


def count_classes(info: DatasetInfo, split: str, task: str) -> list[tuple[str, int]]:
    """Returns (readable name, records in the split) of each class of a task, "fine" or "coarse"."""
    counts = info.splits[split].class_counts
    names = info.class_names(task)
    if task == "fine":
        return list(zip(names, counts))
    totals = [0] * len(names)
    for entry, count in zip(info.classes, counts):
        totals[entry.coarse] += count
    return list(zip(names, totals))


def extremes(counts: list[tuple[str, int]]) -> tuple[tuple[str, int], tuple[str, int]]:
    """Returns the class of the fewest records and that of the most; of equal ones the first."""
    return min(counts, key=lambda entry: entry[1]), max(counts, key=lambda entry: entry[1])
