"""Colours and marks of the networks, in plots and on the page alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

INK, FAINT, GRID, FILL = "#1c2530", "#5d6874", "#d8dde3", "#1f6fb5"


@dataclasses.dataclass(frozen=True)
class Style:
    """How a network is drawn: colours on white and on dark ground, and matplotlib's marker."""

    color: str
    dark: str
    marker: str


# Colours that differ to the colour-blind too (Okabe and Ito, "Color Universal Design", 2008).
_STYLES = {
    "rgb": Style("#d55e00", "#ff8b45", "o"),
    "dct64": Style("#0072b2", "#56b0ec", "s"),
    "fbs32": Style("#009e73", "#34c79c", "^"),
    "fbs16": Style("#b4508c", "#e79cc8", "D"),
}
_OTHERS = (
    Style("#8a6d00", "#e6b93c", "v"),
    Style("#3f9fd0", "#8bd0f5", "P"),
    Style("#4d4d4d", "#bdbdbd", "X"),
)
# A colour of plots → the page's variable that stands for it, which differs in the dark.
_VARIABLES = {INK: "ink", FAINT: "faint", GRID: "grid", FILL: "fill"}


def style_of(network: str, networks: Sequence[str]) -> Style:
    """Returns the style of one of `networks`; those unknown to the paper take turns."""
    if network in _STYLES:
        return _STYLES[network]
    others = [key for key in networks if key not in _STYLES]
    return _OTHERS[others.index(network) % len(_OTHERS)]


def css_variables() -> tuple[dict[str, str], dict[str, str]]:
    """Returns name → value of the networks' colours on white ground, and on dark ground."""
    names = _network_names()
    light = {names[style.color]: style.color for style in _all()}
    return light, {names[style.color]: style.dark for style in _all()}


def css_names() -> dict[str, str]:
    """Returns the colours of plots → the names of the page's variables."""
    return {**_VARIABLES, **_network_names()}


def _all() -> tuple[Style, ...]:
    return (*_STYLES.values(), *_OTHERS)


def _network_names() -> dict[str, str]:
    return {style.color: f"net{number}" for number, style in enumerate(_all())}
