"""The settings of one preprocessing job, validated."""

from __future__ import annotations

import dataclasses

from jpegkeras.dataset_info import COMPRESSIONS
from jpegkeras.transcoding import Transcoding
from preprocess.sources import SourceSpec

ENGINES = ("local", "beam")


@dataclasses.dataclass(frozen=True)
class PreprocessConfig:
    """What `preprocess.job.run` needs to know.

    `input_dir` to `test_tfrecords` say where the images are: see `sources.SourceSpec`. `labels` is
    a CSV of titles and coarse classes. `train_shards` and `test_shards` of 0 are chosen from the
    number of images. `test_fraction` goes to the test split where the input names none. Of each
    class and split at most `train_per_class` and `test_per_class` images are taken (0: all), and
    with `only_labelled` no class that `labels` lacks. A job that
    rejects more than the fraction `max_rejected` of its files fails. `engine`: one of `ENGINES`;
    `workers` (0: one a core) is of the local one, `beam_options` of Beam's. Raises ValueError for a
    value out of range.
    """

    output_dir: str
    input_dir: str | None = None
    input_csv: str | None = None
    input_tar: str | None = None
    test_tar: str | None = None
    test_labels: str | None = None
    input_tfrecords: str | None = None
    test_tfrecords: str | None = None
    labels: str | None = None
    transcoding: Transcoding = Transcoding()
    compression: str = "gzip"
    test_fraction: float = 0.2
    train_shards: int = 0
    test_shards: int = 0
    train_per_class: int = 0
    test_per_class: int = 0
    only_labelled: bool = False
    engine: str = "local"
    workers: int = 0
    beam_options: str = ""
    seed: int = 0
    max_rejected: float = 0.05
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not self.output_dir:
            raise ValueError("--output_dir is missing: the folder to write the data set to.")
        self.source  # noqa: B018  (checks itself)
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
        for name in ("train_per_class", "test_per_class"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0; got {getattr(self, name)}.")
        if self.only_labelled and not self.labels:
            raise ValueError("--only_labelled needs --labels, whose classes are taken.")
        if self.workers < 0:
            raise ValueError(f"workers must be at least 0; got {self.workers}.")
        if self.engine not in ENGINES:
            raise ValueError(f"engine must be one of {', '.join(ENGINES)}; got {self.engine!r}.")
        if self.beam_options and self.engine != "beam":
            raise ValueError("--beam_options are given, but --engine is not beam.")
        if self.workers and self.engine == "beam":
            raise ValueError(
                "--workers is of --engine=local; Beam's runner has an option of its own, as in "
                "--beam_options=--direct_num_workers=2."
            )

    @property
    def source(self) -> SourceSpec:
        """Where the images are. Raises ValueError for an input that is missing or contradictory."""
        names = [field.name for field in dataclasses.fields(SourceSpec)]
        return SourceSpec(**{name: getattr(self, name) for name in names})
