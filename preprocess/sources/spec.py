"""Which input a job was told to take."""

from __future__ import annotations

import dataclasses

# Flag → the flags that may stand beside it.
_COMPANIONS = {
    "input_csv": ("input_dir",),
    "input_dir": ("test_labels",),
    "input_tar": ("test_tar", "test_labels"),
    "input_tfrecords": ("test_tfrecords",),
}
_LISTS = ("input_tar", "test_tar", "input_tfrecords", "test_tfrecords")


@dataclasses.dataclass(frozen=True)
class SourceSpec:
    """The flags that name the input; exactly one kind of input is given.

    `input_dir`: a folder of class folders, or of train/ and test/ (val/, validation/) of such.
    `input_csv`: a CSV path,label[,split], its paths relative to `input_dir` or to its own folder.
    `input_tar`: tar or zip archives of what `input_dir` may be, or of tars a class; `test_tar`:
    those of the test split, if `input_tar` is the train split alone. `test_labels`: a file with the
    classes of a test split without class folders. `input_tfrecords`: TFRecord files with
    image/encoded and image/class/label; `test_tfrecords`: those of the test split. Archives and
    TFRecord files are given as paths and glob patterns, separated by commas.

    Raises ValueError, which names the flags, for an input that is missing or contradictory.
    """

    input_dir: str | None = None
    input_csv: str | None = None
    input_tar: str | None = None
    test_tar: str | None = None
    test_labels: str | None = None
    input_tfrecords: str | None = None
    test_tfrecords: str | None = None

    def __post_init__(self) -> None:
        given = self._given()
        kinds = [name for name in _COMPANIONS if name in given]
        if not kinds:
            advice = f" --{given[0]} is not an input of its own." if given else ""
            raise ValueError(
                "--input_dir (a folder with one folder a class), --input_csv, --input_tar or "
                f"--input_tfrecords is missing.{advice}"
            )
        kind = kinds[0]  # the CSV comes first, since --input_dir may stand beside it
        for name in given:
            if name != kind and name not in _COMPANIONS[kind]:
                raise ValueError(_conflict(kind, name))
        for name in _LISTS:
            if any(not part for part in split_paths(getattr(self, name) or "-")):
                raise ValueError(
                    f"--{name}={getattr(self, name)}: a path is empty; give paths separated by "
                    "single commas."
                )

    def __str__(self) -> str:
        """Returns the input as a message names it."""
        return self.input_csv or self.input_dir or self.input_tar or self.input_tfrecords or ""

    def _given(self) -> list[str]:
        return [field.name for field in dataclasses.fields(self) if getattr(self, field.name)]


def split_paths(paths: str) -> list[str]:
    """Returns the paths of a flag that takes several."""
    return [path.strip() for path in paths.split(",")]


def _conflict(kind: str, name: str) -> str:
    if name in _COMPANIONS:
        return f"--{kind} and --{name} are both given. Give one input."
    companions = [kind for kind, names in _COMPANIONS.items() if name in names]
    allowed = " or ".join(f"--{companion}" for companion in companions)
    return f"--{name} goes with {allowed}, not with --{kind}."
