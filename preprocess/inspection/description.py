"""Everything about a data set as one JSON object."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from jpegkeras.dataset_info import DatasetInfo
from preprocess.inspection.bands import Band
from preprocess.inspection.class_counts import count_classes
from preprocess.inspection.verification import Verification


def describe(
    directory: str,
    info: DatasetInfo,
    bands: dict[str, list[Band]],
    verification: Verification,
    pictures: Sequence[str],
) -> dict[str, Any]:
    """Returns what `--json` writes: the tables, the check and where the pictures are."""
    return {
        "data_dir": directory,
        "schema_version": info.schema_version,
        "jpegkeras_version": info.jpegkeras_version,
        "num_frequencies": info.num_frequencies,
        "sampling": info.sampling,
        "compression": info.compression,
        "smallest": info.smallest,
        "largest": info.largest,
        "transcoding": info.transcoding,
        "settings": info.settings,
        "counts": info.counts,
        "splits": {
            name: {
                "records": split.records,
                "bytes": sum(verification.sizes.get(shard.file, 0) for shard in split.shards),
                "shards": [
                    {**dataclasses.asdict(shard), "bytes": verification.sizes.get(shard.file)}
                    for shard in split.shards
                ],
                **{task: _rows(count_classes(info, name, task)) for task in ("fine", "coarse")},
            }
            for name, split in info.splits.items()
        },
        "classes": [dataclasses.asdict(entry) for entry in info.classes],
        "coarse_classes": info.coarse_classes,
        "bands": {key: [dataclasses.asdict(band) for band in bands[key]] for key in bands},
        "verified": {
            "quick": verification.quick,
            "records": verification.records,
            "problems": [dataclasses.asdict(problem) for problem in verification.problems],
        },
        "pictures": list(pictures),
    }


def _rows(counts: Sequence[tuple[str, int]]) -> list[dict[str, Any]]:
    """Returns a row a class: two classes may have one title."""
    return [{"class": name, "records": count} for name, count in counts]
