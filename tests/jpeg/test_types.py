"""What the dataclasses refuse."""

from __future__ import annotations

import numpy as np
import pytest

from jpegkeras.jpeg import Component, JpegCoefficients


def component(rows=2, columns=3, n=16, sampling=(1, 1)):
    return Component(np.zeros((rows, columns, n), np.int16), np.ones(n, np.uint16), sampling)


@pytest.mark.parametrize(
    ("coefficients", "quantization", "sampling", "message"),
    [
        (np.zeros((2, 3, 16)), np.ones(16, np.uint16), (1, 1), "int16"),
        (np.zeros((2, 48), np.int16), np.ones(48, np.uint16), (1, 1), "rows, cols, n"),
        (np.zeros((2, 3, 65), np.int16), np.ones(65, np.uint16), (1, 1), "1 to 64"),
        (np.zeros((0, 3, 16), np.int16), np.ones(16, np.uint16), (1, 1), "at least one block"),
        (np.zeros((2, 3, 16), np.int16), np.ones(64, np.uint16), (1, 1), r"uint16 \[16\]"),
        (np.zeros((2, 3, 16), np.int16), np.ones(16, np.int16), (1, 1), r"uint16 \[16\]"),
        (np.zeros((2, 3, 16), np.int16), np.ones(16, np.uint16), (0, 1), "1 to 4"),
        (np.zeros((2, 3, 16), np.int16), np.ones(16, np.uint16), (1, 5), "1 to 4"),
    ],
)
def test_component_is_checked(coefficients, quantization, sampling, message):
    with pytest.raises(ValueError, match=message):
        Component(coefficients, quantization, sampling)


def test_image_is_checked():
    JpegCoefficients(16, 24, (component(),))
    JpegCoefficients(9, 17, (component(),))
    for height, width, components, message in [
        (17, 24, (component(),), r"shape \[3, 3, 16\]"),
        (16, 25, (component(),), r"shape \[2, 4, 16\]"),
        (0, 24, (component(),), "height"),
        (16, 65536, (component(),), "width"),
        (16, 24, (), "components"),
        (16, 24, (component(), component(n=8), component()), r"component 1 .* \[2, 3, 16\]"),
        (16, 24, (component(sampling=(2, 2)), component(), component()), r"\[1, 2, 16\]"),
    ]:
        with pytest.raises(ValueError, match=message):
            JpegCoefficients(height, width, components)


@pytest.mark.parametrize(
    ("sampling", "name"),
    [
        ([(1, 1)], "gray"),
        ([(2, 2)], "gray"),
        ([(1, 1), (1, 1), (1, 1)], "4:4:4"),
        ([(2, 2), (2, 2), (2, 2)], "4:4:4"),
        ([(2, 1), (1, 1), (1, 1)], "4:2:2"),
        ([(4, 1), (2, 1), (2, 1)], "4:2:2"),
        ([(1, 2), (1, 1), (1, 1)], "4:4:0"),
        ([(2, 2), (1, 1), (1, 1)], "4:2:0"),
        ([(4, 1), (1, 1), (1, 1)], "4:1:1"),
        ([(4, 2), (1, 1), (1, 1)], "4:1:0"),
        ([(2, 2), (2, 1), (1, 2)], "other"),
        ([(3, 1), (2, 1), (2, 1)], "other"),
        ([(1, 1), (2, 2), (2, 2)], "other"),
        ([(3, 1), (1, 1), (1, 1)], "other"),
        ([(1, 1), (1, 1)], "other"),
    ],
)
def test_subsampling_names(sampling, name):
    h_max, v_max = max(s[0] for s in sampling), max(s[1] for s in sampling)
    components = tuple(
        component(-(-12 * v // v_max), -(-12 * h // h_max), 4, (h, v)) for h, v in sampling
    )
    assert JpegCoefficients(96, 96, components).subsampling == name


@pytest.mark.parametrize("orientation", [0, 9, -1])
def test_orientation_is_checked(orientation):
    with pytest.raises(ValueError, match=f"from 1 to 8; got {orientation}"):
        JpegCoefficients(16, 24, (component(),), orientation=orientation)


def test_colour_spaces():
    assert JpegCoefficients(16, 24, (component(),)).color_space == "grayscale"
    assert JpegCoefficients(16, 24, (component(),) * 3).color_space == "YCbCr"
    assert JpegCoefficients(16, 24, (component(),) * 3, rgb=True).color_space == "RGB"
    with pytest.raises(ValueError, match="3 components; got 1"):
        JpegCoefficients(16, 24, (component(),), rgb=True)
