"""Which DCT bands a network looks at: the lists, and the text of `--bands` that asks for them.

A band is a component and a frequency, named by its position in zigzag order (ITU-T T.81 figure
A.6), 0 … 63; there are 192. `FORMS` lists what can be asked for.

Imports nothing but the standard library, so that a command line can be parsed before TensorFlow is
loaded.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import pathlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jpegkeras.errors import InputError
from jpegkeras.sampling import COMPONENTS

FREQUENCIES = 64
#: The kinds of `BandChoice`.
FIXED, FILE, ENERGY, INFORMATION, LEARNED = "fixed", "file", "energy", "information", "learned"
#: What `--bands` takes: an example, and what it means.
FORMS = {
    "lowest:16": "the 16 lowest frequencies of each component, as --num_frequencies=16",
    "y:32,c:8": "the 32 lowest of Y and the 8 lowest each of Cb and Cr; or y:32,cb:8,cr:4",
    "channels:48": "a published set of 24, 48 or 64 bands",
    "y=0-15+20,cb=0-3,cr=0-3": "zigzag positions, listed",
    "@bands.json": 'a file with zigzag positions, {"y": [0, 1], "cb": [0], "cr": [0]}',
    "energy:16": "the 3×16 bands of highest variance in the data set",
    "information:16": "the 3×16 bands that tell most about the class, measured on the data set",
    "learned:16": "all bands at first, of which training keeps about 3×16",
}

_COUNTED = re.compile(rf"(lowest|channels|{ENERGY}|{INFORMATION}|{LEARNED}):(.*)")


def zigzag_positions() -> list[tuple[int, int]]:
    """The 64 (row, column) positions of a block in zigzag order (ITU-T T.81 figure A.6)."""

    def along_diagonal(position: tuple[int, int]) -> tuple[int, int]:
        row, col = position
        diagonal = row + col
        return diagonal, row if diagonal % 2 else col

    return sorted(((row, col) for row in range(8) for col in range(8)), key=along_diagonal)


@dataclasses.dataclass(frozen=True)
class Bands:
    """Bands of each component: zigzag positions, ascending, one or more of each.

    Raises ValueError for other lists.
    """

    y: tuple[int, ...]
    cb: tuple[int, ...]
    cr: tuple[int, ...]

    def __post_init__(self) -> None:
        for key, positions in self.to_dict().items():
            if not positions:
                raise ValueError(f"each component needs a band or more; {key} has none.")
            for position in positions:
                if type(position) is not int or not 0 <= position < FREQUENCIES:
                    raise ValueError(
                        f"a zigzag position must be a whole number from 0 to {FREQUENCIES - 1}; "
                        f"{key} has {position!r}."
                    )
            if list(positions) != sorted(set(positions)):
                raise ValueError(
                    f"the positions of {key} must be ascending, each once; got {positions}."
                )

    @classmethod
    def from_lists(cls, lists: Mapping[str, Iterable[int]]) -> Bands:
        """Returns the bands of lists in any order, keyed by component."""
        return cls(**{key: tuple(sorted(lists[key])) for key in COMPONENTS})

    @classmethod
    def lowest(cls, y: int, cb: int, cr: int) -> Bands:
        """Returns so many lowest frequencies of each component."""
        return cls(tuple(range(y)), tuple(range(cb)), tuple(range(cr)))

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many bands Y, Cb and Cr have."""
        return len(self.y), len(self.cb), len(self.cr)

    @property
    def total(self) -> int:
        """How many bands there are."""
        return sum(self.counts)

    @property
    def highest(self) -> int:
        """The highest position; records must hold one frequency more than that."""
        return max(self.y[-1], self.cb[-1], self.cr[-1])

    @property
    def is_lowest(self) -> bool:
        """Whether these are the n lowest of each component, n = highest + 1."""
        n = self.highest + 1
        return self == Bands.lowest(n, n, n)

    def to_dict(self) -> dict[str, tuple[int, ...]]:
        """Returns the lists, keyed by component."""
        return {key: getattr(self, key) for key in COMPONENTS}

    def to_text(self) -> str:
        """Returns the lists as `--bands` takes them."""
        return ",".join(f"{key}={_join(positions)}" for key, positions in self.to_dict().items())


@dataclasses.dataclass(frozen=True)
class BandChoice:
    """What a text of `--bands` asks for.

    `bands` of the kind `FIXED`, `path` of `FILE`; of the others `count`, the n of 3n bands.
    """

    kind: str
    bands: Bands | None = None
    path: str = ""
    count: int = 0


@dataclasses.dataclass(frozen=True)
class Selection:
    """What a network takes of a data set.

    Its inputs have the `num_frequencies` lowest of each component; of these it looks at `bands`, or
    at all (None). `learned`: n where it learns which 3n of all it needs, else 0.
    """

    num_frequencies: int
    bands: Bands | None = None
    learned: int = 0


def parse_bands(text: str) -> BandChoice:
    """Parses the text of `--bands`; a file that it names is not read yet.

    Raises InputError, one line with an example, for a text that has none of the `FORMS`.
    """
    counted = _COUNTED.fullmatch(text)
    if text.startswith("@"):
        if text == "@":
            raise _error(text, "the name of a file is missing", "@bands.json")
        return BandChoice(FILE, path=text[1:])
    if counted:
        return _parse_counted(text, *counted.groups())
    if "=" in text:
        return BandChoice(FIXED, _parse_lists(text))
    if ":" in text:
        return BandChoice(FIXED, _parse_counts(text))
    raise _error(text, f"it must be one of {', '.join(FORMS)}", "lowest:16")


def read_bands(path: str) -> Bands:
    """Reads bands from a JSON file with the lists `y`, `cb` and `cr`; other keys may be there.

    Raises InputError for a file that cannot be read or does not hold them.
    """
    example = '{"y": [0, 1, 2, 3], "cb": [0, 1], "cr": [0, 1]}'
    try:
        content = json.loads(pathlib.Path(path).read_text("utf-8"))
        if not isinstance(content, dict) or not all(
            isinstance(content.get(key), list) for key in COMPONENTS
        ):
            raise ValueError("it does not hold lists y, cb and cr")
        return Bands(**{key: tuple(content[key]) for key in COMPONENTS})
    except OSError as error:
        raise InputError(
            f"--bands=@{path}: cannot be read ({error.strerror}). Give a JSON file, e.g. {example}."
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"--bands=@{path}: {str(error).rstrip('.')}. It must be JSON of zigzag positions, "
            f"e.g. {example}."
        ) from error


def select_bands(
    text: str,
    available: int,
    statistics: Mapping[str, Mapping[str, Sequence[float]]],
    information: Callable[[], Mapping[str, Sequence[float]]],
) -> Selection:
    """Returns what a text of `--bands` stands for on a data set.

    Args:
      text: see `FORMS`.
      available: the frequencies of each component that its records hold.
      statistics: of its bands (`DatasetInfo.statistics`). Energy is the variance, the square of
        `std`: what does not differ from image to image, such as the mean of luma's DC, tells
        nothing.
      information: called to measure what each band tells about the class, `available` values of
        each component.

    Raises:
      InputError: the text is none, or the records hold too few frequencies.
    """
    choice = parse_bands(text)
    if choice.kind in (FIXED, FILE):
        bands = read_bands(choice.path) if choice.kind == FILE else choice.bands
        return _of_list(text, bands, available)
    if choice.count > available:
        raise InputError(
            f"--bands={text}: the records hold {available} frequencies of each component. Take a "
            "lower number, or preprocess with more."
        )
    if choice.kind == LEARNED:
        return Selection(available, learned=choice.count)
    if choice.kind == INFORMATION:
        scores = information()
    else:
        scores = {key: [std * std for std in statistics[key]["std"]] for key in COMPONENTS}
    return _of_list(text, top_bands(scores, 3 * choice.count), available)


def top_bands(scores: Mapping[str, Sequence[Any]], count: int) -> Bands:
    """Returns each component's DC and, of all other bands, those of highest score: `count` in all.

    `scores`: a value (or a tuple of values) for each frequency of each component, in zigzag order.
    Of equal scores lower frequencies come first, then Y before Cb before Cr.
    """
    lists = {key: [0] for key in COMPONENTS}
    others = [
        (scores[key][position], -position, -place, key)
        for place, key in enumerate(COMPONENTS)
        for position in range(1, len(scores[key]))
    ]
    for _, position, _, key in sorted(others, reverse=True)[: count - len(lists)]:
        lists[key].append(-position)
    return Bands.from_lists(lists)


def published_bands(total: int) -> Bands:
    """Returns a set of 24, 48 or 64 bands of Xu et al., "Learning in the Frequency Domain".

    CVPR 2020. Published as places in a block, here in zigzag order. Raises ValueError for another
    total.
    """
    if total not in _PUBLISHED:
        raise ValueError(f"published sets have 24, 48 or 64 bands; got {total}.")
    luma, chroma = _PUBLISHED[total]
    order = {8 * row + col: place for place, (row, col) in enumerate(zigzag_positions())}
    y, c = ([order[place] for place in places] for places in (luma, chroma))
    return Bands.from_lists({"y": y, "cb": c, "cr": c})


def _places(rows: range, cols: int) -> list[int]:
    """Places in a block, row by row: the first columns of some rows."""
    return [8 * row + col for row in rows for col in range(cols)]


# Total → places of Y and of either chroma component, row by row.
_PUBLISHED = {
    24: (_places(range(4), 4), [0, 1, 8, 9]),
    48: (_places(range(4), 6) + _places(range(4, 6), 4), [0, 1, 2, 8, 9, 10, 16, 17]),
    64: (_places(range(2), 7) + _places(range(2, 7), 6), [0, 1, 2, 8, 9, 10, 16, 17, 24, 25]),
}


def _of_list(text: str, bands: Bands, available: int) -> Selection:
    if bands.highest >= available:
        raise InputError(
            f"--bands={text}: it needs {bands.highest + 1} frequencies of a component, but the "
            f"records hold {available}. Choose lower bands, or preprocess with more."
        )
    return Selection(bands.highest + 1, None if bands.is_lowest else bands)


def _parse_counted(text: str, kind: str, number: str) -> BandChoice:
    example = next(form for form in FORMS if form.startswith(kind))
    count = int(number) if re.fullmatch("[0-9]{1,9}", number) else -1
    if kind == "channels":
        if count not in _PUBLISHED:
            raise _error(text, "published sets have 24, 48 or 64 bands", example)
        return BandChoice(FIXED, published_bands(count))
    if not 1 <= count <= FREQUENCIES:
        raise _error(text, f"its number must be from 1 to {FREQUENCIES}", example)
    if kind == "lowest":
        return BandChoice(FIXED, Bands.lowest(count, count, count))
    return BandChoice(kind, count=count)


def _parse_counts(text: str) -> Bands:
    example = "y:32,c:8"
    counts = {}
    for key, number in _by_component(text, ":", example).items():
        counts[key] = int(number) if re.fullmatch("[0-9]{1,9}", number) else -1
        if not 1 <= counts[key] <= FREQUENCIES:
            raise _error(text, f"each number must be from 1 to {FREQUENCIES}", example)
    return Bands.lowest(**counts)


def _parse_lists(text: str) -> Bands:
    example = "y=0-15+20,cb=0-3,cr=0-3"
    lists = {}
    for key, listed in _by_component(text, "=", example).items():
        ranges = [
            re.fullmatch("([0-9]{1,9})(?:-([0-9]{1,9}))?", part) for part in listed.split("+")
        ]
        if not all(ranges):
            raise _error(text, f"{listed!r} is no list of positions and ranges", example)
        bounds = [(int(found[1]), int(found[2] or found[1])) for found in ranges]
        for first, last in bounds:
            if not first <= last < FREQUENCIES:
                raise _error(
                    text, f"positions are from 0 to {FREQUENCIES - 1}, ranges ascending", example
                )
        lists[key] = [place for first, last in bounds for place in range(first, last + 1)]
        if len(set(lists[key])) < len(lists[key]):
            raise _error(text, f"a position of {key} is there twice", example)
    return Bands.from_lists(lists)


def _by_component(text: str, sign: str, example: str) -> dict[str, str]:
    """Returns what stands behind the sign of each component; `c` stands for Cb and Cr."""
    found: dict[str, str] = {}
    for part in text.split(","):
        name, there, value = part.partition(sign)
        if not there or name not in (*COMPONENTS, "c"):
            raise _error(text, f"{part!r} is not understood", example)
        for key in ("cb", "cr") if name == "c" else (name,):
            if key in found:
                raise _error(text, f"{key} is there twice", example)
            found[key] = value
    missing = [key for key in COMPONENTS if key not in found]
    if missing:
        raise _error(text, f"{' and '.join(missing)} missing", example)
    return found


def _error(text: str, problem: str, example: str) -> InputError:
    text = " ".join(text.split())
    return InputError(f"--bands={text}: {problem}. Example: --bands={example}")


def _join(positions: Sequence[int]) -> str:
    """Positions as text, ranges put together: "0-15+20"."""
    parts = []
    for _, group in itertools.groupby(enumerate(positions), key=lambda item: item[1] - item[0]):
        run = [position for _, position in group]
        parts.append(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}")
    return "+".join(parts)
