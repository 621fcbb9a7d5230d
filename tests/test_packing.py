from __future__ import annotations

import numpy as np
import pytest

from jpegkeras.packing import pack, unpack


def expected(coefficients):
    """What `pack` is to give, by NumPy."""
    rows, cols, count = coefficients.shape
    planes = np.moveaxis(coefficients, -1, 0).reshape(count, rows * cols)
    ac = planes[1:].ravel()
    overflow = np.flatnonzero((ac < -128) | (ac > 127))
    small = ac.copy()
    small[overflow] = 0
    wide = planes.astype(np.int64)
    return {
        "dc": planes[0],
        "ac": small.astype(np.int8),
        "overflow_index": overflow,
        "overflow_value": ac[overflow],
        "sums": np.stack([wide.sum(axis=1), (wide**2).sum(axis=1), (wide == 0).sum(axis=1)]),
    }


def draw(shape, spread, seed=0):
    values = np.random.default_rng(seed).normal(0, spread, shape)
    return np.clip(np.rint(values), -32768, 32767).astype(np.int16)


def check(coefficients):
    packed = pack(coefficients)
    for name, value in expected(coefficients).items():
        found = getattr(packed, name)
        assert found.dtype == value.dtype, name
        np.testing.assert_array_equal(found, value, err_msg=name)
    assert packed.shape == coefficients.shape[:2]
    again = unpack(packed.shape, packed.dc, packed.ac, packed.overflow_index, packed.overflow_value)
    assert again.dtype == np.int16
    np.testing.assert_array_equal(again, coefficients)


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 15, 16, 17, 32, 48, 63, 64])
@pytest.mark.parametrize("grid", [(1, 1), (1, 7), (8, 8), (9, 7), (5, 13), (16, 16), (13, 29)])
def test_every_count_and_grid(count, grid):
    check(draw((*grid, count), spread=40, seed=count))


@pytest.mark.parametrize("spread", [0, 0.5, 60, 200, 5000, 50000])
def test_from_no_overflow_to_overflows_alone(spread):
    check(draw((21, 11, 64), spread))


def test_the_limits_of_both_types():
    values = np.array([-32768, -129, -128, -1, 0, 1, 127, 128, 32767], np.int16)
    check(np.resize(values, (10, 10, 64)))


def test_slices_of_wider_blocks():
    check(draw((9, 10, 64), 50)[..., :16])
    check(draw((9, 10, 64), 50)[::2, ::3])


@pytest.mark.parametrize(
    "coefficients",
    [np.zeros((2, 2, 65), np.int16), np.zeros((2, 2, 64), np.int32), np.zeros((4, 64), np.int16)],
)
def test_other_arrays_are_refused(coefficients):
    with pytest.raises(ValueError, match="expected"):
        pack(coefficients)


@pytest.mark.parametrize(
    ("shape", "dc", "ac", "index", "values", "message"),
    [
        ((2, 2), 3, 4, [], [], "do not fit"),
        ((2, 2), 4, 5, [], [], "do not fit"),
        ((2, 2), 4, 256, [], [], "do not fit"),
        ((0, 2), 0, 0, [], [], "do not fit"),
        ((2, 2), 4, 4, [1], [], "1 overflows with 0"),
        ((2, 2), 4, 4, [4], [200], "outside"),
        ((2, 2), 4, 4, [-1], [200], "outside"),
    ],
)
def test_what_does_not_fit_is_not_unpacked(shape, dc, ac, index, values, message):
    with pytest.raises(ValueError, match=message):
        unpack(shape, np.zeros(dc, np.int16), np.zeros(ac, np.int8), index, values)
