"""`curves.png`: a run's loss, accuracy, learning rate and speed."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jpegkeras.files import replacing

_INCHES, _DOTS_PER_INCH = (12.0, 8.0), 100
# Colours that differ to the colour-blind too (Okabe and Ito, "Color Universal Design", 2008).
_TRAIN, _TEST, _OTHER = "#0072B2", "#D55E00", "#009E73"
_FAINT = 0.3
_GREY = "#666666"
# More points than this are averaged: there are no more pixels across.
_MOST_POINTS = 800
# Points over which a curve is smoothed, as a share of all.
_SMOOTHED_SHARE = 0.05
_INFINITE = 1e100
# As many points are marked at most, and as many are too few for a line.
_MOST_MARKS = 40

Rows = Sequence[Mapping[str, float]]


def draw(looks: Rows, epochs: Rows, path: str | os.PathLike, title: str = "") -> None:
    """Draws a run of any length into a PNG of 1200 × 800 pixels.

    Args:
      looks: rows with `step` and any of `loss`, `top1`, `learning_rate` and `images_per_second`
        (`jpegkeras.run_log.LOOK_COLUMNS`), in the order of the steps.
      epochs: rows with `step` and any of `epoch`, `train_loss`, `train_top1`, `test_loss`,
        `test_top1`, `test_top5`, `learning_rate` and `images_per_second`.
      path: the file to write, whole or not at all.
      title: what the run is.

    Raises:
      OSError: the file cannot be written.
    """
    # Without pyplot, which would keep every figure and ask for a window system.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_INCHES, dpi=_DOTS_PER_INCH, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)
    canvas = FigureCanvasAgg(figure)
    if title:
        # A class or a folder may be named with dollars, which would begin a formula.
        figure.suptitle(_shorten(title), fontsize=14, parse_math=False)
    (loss, accuracy), (rate, speed) = figure.subplots(
        2, 2, sharex=True, gridspec_kw={"height_ratios": (2, 1)}
    )
    _draw_loss(loss, looks, epochs)
    _draw_accuracy(accuracy, looks, epochs)
    _draw_learning_rate(rate, looks or epochs)
    _draw_speed(speed, looks or epochs)
    last = max((row["step"] for row in (*looks, *epochs)), default=0)
    for axes in (loss, accuracy, rate, speed):
        _finish_panel(axes, last)
    for axes in (rate, speed):
        axes.set_xlabel("step")
    per_epoch = _steps_per_epoch(epochs)
    if per_epoch is not None:
        for axes in (loss, accuracy):
            _add_epoch_axis(axes, per_epoch)
    with replacing(path) as temporary, warnings.catch_warnings():
        # About letters of a title that the font has not.
        warnings.simplefilter("ignore", UserWarning)
        canvas.print_figure(str(temporary), format="png", dpi=_DOTS_PER_INCH)


def series(rows: Rows, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the steps and the values, float64, of the rows that have a finite `key`."""
    found = [(row["step"], row[key]) for row in rows if _is_finite(row.get(key))]
    steps, values = np.array(found, np.float64).reshape(-1, 2).T
    return steps, values


def thin(steps: np.ndarray, values: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns `most` points or fewer: the means of equal shares of them, but for the last one."""
    size = -(-len(steps) // most)
    if size <= 1:
        return steps, values
    starts = np.arange(0, len(steps), size)
    counts = np.diff([*starts, len(steps)])
    return np.add.reduceat(steps, starts) / counts, np.add.reduceat(values, starts) / counts


def smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Returns the mean of each value and up to `width` neighbours on both sides.

    Towards the ends the window shrinks, the same on both sides, so that a slope stays one.
    """
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    reach = np.minimum(np.minimum(places, len(values) - 1 - places), width)
    return (sums[places + reach + 1] - sums[places - reach]) / (2 * reach + 1)


def _draw_loss(axes: Any, looks: Rows, epochs: Rows) -> None:  # noqa: ANN401
    _draw_train(axes, looks, epochs, "loss")
    _draw_test(axes, epochs, "test_loss", "test", _TEST, "o")
    lost = [row["step"] for row in looks if "loss" in row and not _is_finite(row["loss"])]
    if lost:
        axes.axvline(lost[0], color=_GREY, linestyle=":", label="not finite")
    axes.set_title("loss (cross-entropy, nats)")


def _draw_accuracy(axes: Any, looks: Rows, epochs: Rows) -> None:  # noqa: ANN401
    from matplotlib.ticker import PercentFormatter

    _draw_train(axes, looks, epochs, "top1", " top-1")
    _draw_test(axes, epochs, "test_top1", "test top-1", _TEST, "o")
    _draw_test(axes, epochs, "test_top5", "test top-5", _OTHER, "s")
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_title("right answers")


def _draw_learning_rate(axes: Any, rows: Rows) -> None:  # noqa: ANN401
    steps, values = series(rows, "learning_rate")
    # A logarithm has no 0, with which a warm-up begins and a cosine ends.
    positive = values > 0
    if positive.any():
        _plot(axes, steps[positive], values[positive], color=_TRAIN)
        axes.set_yscale("log")
        axes.set_ylim(*_decades(values[positive]))
    axes.set_title("learning rate")


def _draw_speed(axes: Any, rows: Rows) -> None:  # noqa: ANN401
    steps, values = thin(*series(rows, "images_per_second"), _MOST_POINTS)
    if len(steps):
        _plot(axes, steps, values, color=_TRAIN)
        axes.set_ylim(0, 1.08 * max(values.max(), 1e-9))
    axes.set_title("images a second")


def _draw_train(axes: Any, looks: Rows, epochs: Rows, key: str, suffix: str = "") -> None:  # noqa: ANN401
    """Draws the looks faintly and smoothed, or the epochs where nobody has looked."""
    steps, values = thin(*series(looks, key), _MOST_POINTS)
    if not len(steps):
        _draw_test(axes, epochs, f"train_{key}", f"train{suffix}", _TRAIN, "^")
        return
    width = round(_SMOOTHED_SHARE * len(steps) / 2)
    if width == 0:
        _plot(axes, steps, values, color=_TRAIN, label=f"train{suffix}")
        return
    axes.plot(steps, values, color=_TRAIN, alpha=_FAINT, linewidth=1)
    axes.plot(steps, smooth(values, width), color=_TRAIN, label=f"train{suffix}, smoothed")
    if key == "loss":
        _leave_out_peaks(axes, values)


def _draw_test(axes: Any, rows: Rows, key: str, label: str, color: str, marker: str) -> None:  # noqa: ANN401
    steps, values = series(rows, key)
    if len(steps):
        size = 5 if len(steps) <= _MOST_MARKS else 0
        axes.plot(steps, values, color=color, marker=marker, markersize=size, label=label)


def _plot(axes: Any, steps: np.ndarray, values: np.ndarray, **style: Any) -> None:  # noqa: ANN401
    """Draws a line, with marks where it has few points: one alone would not be seen."""
    axes.plot(steps, values, marker="." if len(steps) <= _MOST_MARKS else "", **style)


def _leave_out_peaks(axes: Any, values: np.ndarray) -> None:  # noqa: ANN401
    """Cuts the panel above rare peaks of the faint curve, which would press the rest flat."""
    usual = np.quantile(values, 0.98)
    low, high = axes.get_ylim()
    drawn = [line.get_ydata() for line in axes.get_lines() if line.get_alpha() is None]
    top = max(usual, *(np.max(data) for data in drawn)) if drawn else usual
    if values.max() > 2 * top > 0:
        axes.set_ylim(min(low, values.min()), 1.1 * top)
    else:
        axes.set_ylim(low, high)


def _decades(values: np.ndarray) -> tuple[float, float]:
    """Returns the ends of a logarithmic axis: a decade at least, for a tick that has its number.

    And four at most: the last steps of a cosine come as near to 0 as they like.
    """
    high = values.max()
    low = max(values.min(), high / 1e4)
    margin = max(1.2, math.sqrt(10 * low / high))
    return low / margin, high * margin


def _steps_per_epoch(epochs: Rows) -> float | None:
    whole = [row for row in epochs if row.get("epoch", 0) > 0 and row["step"] > 0]
    return whole[-1]["step"] / whole[-1]["epoch"] if whole else None


def _add_epoch_axis(axes: Any, per_epoch: float) -> None:  # noqa: ANN401
    from matplotlib.ticker import MaxNLocator

    above = axes.secondary_xaxis(
        "top", functions=(lambda x: x / per_epoch, lambda x: x * per_epoch)
    )
    above.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    above.set_xlabel("epoch")
    above.tick_params(colors=_GREY)


def _finish_panel(axes: Any, last_step: float) -> None:  # noqa: ANN401
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_xlim(0, max(1.02 * last_step, 1))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    if not axes.lines:
        axes.set_yticks([])
        place = {"transform": axes.transAxes, "ha": "center", "va": "center"}
        axes.text(0.5, 0.5, "nothing yet", color=_GREY, **place)
        return
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)


def _is_finite(value: float | None) -> bool:
    # JSON has null for what is not finite; sums and margins of what is still larger would overflow.
    return value is not None and abs(value) < _INFINITE


def _shorten(title: str, most: int = 110) -> str:
    line = " ".join(title.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
