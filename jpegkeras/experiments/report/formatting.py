"""Numbers as text, the same on the page, on the terminal and in plots."""

from __future__ import annotations

from jpegkeras.experiments.results import Spread

MINUS = "−"
_UNITS = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_MINUTE, _HOUR = 60.0, 3600.0


def percent(value: float) -> str:
    """Returns a percentage with the paper's two digits, without its sign."""
    return f"{value:.2f}"


def plus_minus(spread: Spread) -> str:
    """Returns mean and standard deviation; the mean alone for one seed."""
    if spread.deviation is None:
        return percent(spread.mean)
    return f"{percent(spread.mean)} ±{percent(spread.deviation)}"


def points(value: float) -> str:
    """Returns a difference with its sign: +0.38, −2.34."""
    text = f"{value:+.2f}".replace("-", MINUS)
    return "0.00" if text in ("+0.00", f"{MINUS}0.00") else text


def amount(value: float) -> str:
    """Returns three digits and the prefix of their unit: 3.86 G, 85.3 M."""
    for factor, prefix in _UNITS:
        # What rounds to 1000 of the smaller unit is 1 of this one.
        if abs(value) >= 0.9995 * factor:
            return f"{_three_digits(value / factor)} {prefix}"
    return _three_digits(value)


def duration(seconds: float) -> str:
    """Returns a time in its unit: 41 s, 5.3 min, 1.7 h."""
    if seconds < 2 * _MINUTE:
        return f"{_three_digits(seconds)} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 2 * _HOUR:
        return f"{_three_digits(seconds / _MINUTE)} min"
    return f"{_three_digits(seconds / _HOUR)} h"


def whole(value: float) -> str:
    """Returns a whole number with thousands apart."""
    return f"{value:,.0f}"


def _three_digits(value: float) -> str:
    for digits, limit in ((2, 9.995), (1, 99.95)):
        if abs(value) < limit:
            return f"{value:.{digits}f}"
    return f"{value:,.0f}"
