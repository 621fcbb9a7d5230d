"""The settings of one preprocessing job, validated."""

from __future__ import annotations

import dataclasses

from jpegkeras.dataset_info import COMPRESSIONS
from jpegkeras.transcoding import Transcoding


@dataclasses.dataclass(frozen=True)
class PreprocessConfig:
    """What `preprocess.job.run` needs to know.

    `input_dir` is a folder of class folders; with `input_csv` it is what the CSV's paths are
    relative to (None: the CSV's own folder). `labels` is a CSV of titles and coarse classes.
    `train_shards` and `test_shards` of 0 are chosen from the number of images, `workers` of 0 is
    one a core. `test_fraction` goes to the test split where the input names none. A job that
    rejects more than the fraction `max_rejected` of its files fails. Raises ValueError for a value
    out of range.
    """

    output_dir: str
    input_dir: str | None = None
    input_csv: str | None = None
    labels: str | None = None
    transcoding: Transcoding = Transcoding()
    compression: str = "gzip"
    test_fraction: float = 0.2
    train_shards: int = 0
    test_shards: int = 0
    workers: int = 0
    seed: int = 0
    max_rejected: float = 0.05
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not self.output_dir:
            raise ValueError("--output_dir is missing: the folder to write the data set to.")
        if not self.input_dir and not self.input_csv:
            raise ValueError(
                "--input_dir (a folder with one folder a class) or --input_csv is missing."
            )
        if self.compression not in COMPRESSIONS:
            raise ValueError(
                f"compression must be one of {', '.join(COMPRESSIONS)}; got {self.compression!r}."
            )
        if not 0 < self.test_fraction < 1:
            raise ValueError(f"test_fraction must lie between 0 and 1; got {self.test_fraction}.")
        if not 0 <= self.max_rejected <= 1:
            raise ValueError(f"max_rejected must be from 0 to 1; got {self.max_rejected}.")
        for name in ("train_shards", "test_shards"):
            if not 0 <= getattr(self, name) <= 99_999:
                raise ValueError(f"{name} must be from 0 to 99999; got {getattr(self, name)}.")
        if self.workers < 0:
            raise ValueError(f"workers must be at least 0; got {self.workers}.")
