"""The picture of a run: what is drawn where, and that any rows can be drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from jpegkeras import curves

TRAIN, TEST, TOP5 = ((0, 114, 178), (213, 94, 0), (0, 158, 115))


def make_looks(count, **changes):
    return [
        {
            "step": 10 * i,
            "loss": 3.0 / i,
            "top1": 1 - 1 / (i + 1),
            "learning_rate": 0.1,
            "images_per_second": 90.0,
            **changes,
        }
        for i in range(1, count + 1)
    ]


def make_epochs(count, **changes):
    return [
        {
            "epoch": i,
            "step": 100 * i,
            "train_loss": 2.5 / i,
            "train_top1": 0.4,
            "test_loss": 2.6 / i,
            "test_top1": 0.35,
            "test_top5": 0.8,
            "learning_rate": 0.1,
            "images_per_second": 80.0,
            **changes,
        }
        for i in range(1, count + 1)
    ]


def draw(tmp_path, looks, epochs, title="resnet50_dct_16 on records"):
    path = tmp_path / "curves.png"
    curves.draw(looks, epochs, path, title)
    with Image.open(path) as image:
        assert image.size == (1200, 800)
        return np.asarray(image.convert("RGB"))


def places(pixels, color):
    """The rows and columns of the pixels of a colour, in the middle of its lines."""
    return np.nonzero((pixels == color).all(axis=-1))


def test_each_curve_is_in_its_panel(tmp_path):
    pixels = draw(tmp_path, make_looks(60), make_epochs(6))
    rows, columns = places(pixels, TRAIN)
    # Loss and learning rate on the left, accuracy and speed on the right.
    quarters = {(row >= 530, column >= 600) for row, column in zip(rows.tolist(), columns.tolist())}
    assert quarters == {(False, False), (False, True), (True, False), (True, True)}
    rows, columns = places(pixels, TOP5)
    assert rows.max() < 530
    assert columns.min() > 600


def test_better_is_higher_and_less_loss_is_lower(tmp_path):
    better = [{"step": step, "test_top1": step / 100, "test_loss": 1.0} for step in (10, 90)]
    rows, columns = places(draw(tmp_path, [], better)[:530], TEST)
    accuracy = columns > 600
    # Of the line alone: the legend is drawn in the same colour.
    line = accuracy & (rows > 170)
    left, right = columns[line].argmin(), columns[line].argmax()
    assert rows[line][right] < rows[line][left] - 200


@pytest.mark.parametrize(
    ("looks", "epochs"),
    [
        ([], []),
        (make_looks(1), []),
        ([], make_epochs(1)),
        (make_looks(2), make_epochs(1)),
        (make_looks(5000), make_epochs(500)),
        (make_looks(3, loss=math.nan, top1=math.inf, learning_rate=0.0), make_epochs(2)),
        (make_looks(3), make_epochs(2, test_loss=None, test_top1=math.nan)),
        ([{"step": 0}], [{"step": 0, "epoch": 0}]),
        (make_looks(3, loss=0.0, images_per_second=0.0), []),
        (make_looks(100, loss=-1e30), make_epochs(2, test_loss=1e30)),
        (make_looks(50, loss=1e308, learning_rate=1e300, images_per_second=1e-320), []),
    ],
)
def test_any_rows_can_be_drawn(tmp_path, looks, epochs):
    pixels = draw(tmp_path, looks, epochs)
    assert (pixels != 255).any()


def test_a_point_alone_is_seen(tmp_path):
    rows, _ = places(draw(tmp_path, make_looks(1), []), TRAIN)
    assert len(rows) > 20


@pytest.mark.parametrize("title", ["$x_{$ and \\frac", "a\nb" * 200, "Käfer 甲虫"])
def test_any_title_is_shown_without_a_warning(tmp_path, recwarn, title):
    plain = draw(tmp_path, [], [], title="")
    assert (draw(tmp_path, [], [], title) != plain).any()
    assert [warning for warning in recwarn if warning.category is UserWarning] == []


def test_a_picture_that_cannot_be_written_is_an_os_error(tmp_path):
    (tmp_path / "folder").write_text("")
    with pytest.raises(OSError):
        curves.draw([], [], tmp_path / "folder" / "curves.png")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_series_has_the_finite_values_of_the_rows_that_have_some():
    rows = [
        {"step": 1, "loss": 2.0},
        {"step": 2},
        {"step": 3, "loss": None},
        {"step": 4, "loss": math.inf},
        {"step": 5, "loss": 1},
    ]
    steps, values = curves.series(rows, "loss")
    np.testing.assert_array_equal(steps, [1, 5])
    np.testing.assert_array_equal(values, [2, 1])
    assert curves.series([], "loss")[0].shape == (0,)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 100, 101])
def test_thinning_keeps_the_mean_of_each_share(count):
    values = np.random.default_rng(count).normal(size=count)
    steps, thinned = curves.thin(np.arange(count) * 2.0, values, 8)
    size = math.ceil(count / 8)
    shares = [slice(start, start + size) for start in range(0, count, size)]
    assert len(steps) <= 8
    np.testing.assert_allclose(steps, [(np.arange(count) * 2.0)[share].mean() for share in shares])
    np.testing.assert_allclose(thinned, [values[share].mean() for share in shares])


def test_smoothing_takes_the_mean_around_and_keeps_a_slope():
    np.testing.assert_allclose(curves.smooth(np.arange(20.0), 3), np.arange(20.0))
    values = np.random.default_rng(0).normal(size=30)
    smoothed = curves.smooth(values, 2)
    np.testing.assert_allclose(smoothed[10], values[8:13].mean())
    np.testing.assert_allclose(smoothed[1], values[:3].mean())
    np.testing.assert_allclose(smoothed[[0, -1]], values[[0, -1]])


def test_a_learning_rate_has_a_decade_or_more_and_four_at_most():
    low, high = curves._decades(np.array([0.05]))
    assert high / low == pytest.approx(10)
    assert low < 0.05 < high
    low, high = curves._decades(np.array([1e-12, 0.1]))
    assert low == pytest.approx(0.1 / 1e4 / 1.2)
    assert high == pytest.approx(0.12)
