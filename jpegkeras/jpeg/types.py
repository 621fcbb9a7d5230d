"""What a read JPEG looks like: quantised coefficients with their tables and sampling factors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

MAX_SIZE = 65535
MAX_SAMPLING = 4
BLOCK_SIZE = 8
BLOCK_COEFFICIENTS = 64


def _zigzag() -> np.ndarray:
    # Walk the anti-diagonals; odd ones run downwards, even ones upwards (T.81 Figure A.6).
    order = sorted(
        (row + column, row if (row + column) % 2 else column, row * BLOCK_SIZE + column)
        for row in range(BLOCK_SIZE)
        for column in range(BLOCK_SIZE)
    )
    table = np.array([raster for _, _, raster in order], dtype=np.int64)
    table.setflags(write=False)
    return table


#: int64 [64]: the raster index (8 * row + column) of each zigzag position (T.81 A.3.6).
ZIGZAG = _zigzag()

_SUBSAMPLING_NAMES = {
    (1, 1): "4:4:4",
    (2, 1): "4:2:2",
    (1, 2): "4:4:0",
    (2, 2): "4:2:0",
    (4, 1): "4:1:1",
    (4, 2): "4:1:0",
}


def ceil_div(value: int, divisor: int) -> int:
    """Return value / divisor, rounded up."""
    return -(-value // divisor)


def count_blocks(size: int, factor: int, max_factor: int) -> int:
    """Return how many blocks a component has along one axis, MCU padding left out (T.81 A.1.1).

    Args:
        size: height or width of the image in pixels.
        factor: the component's sampling factor along that axis.
        max_factor: the largest sampling factor of the frame along that axis.
    """
    return ceil_div(ceil_div(size * factor, max_factor), BLOCK_SIZE)


# eq=False: comparing arrays by == has no single truth value.
@dataclass(frozen=True, eq=False)
class Component:
    """One component (luma or chroma plane) of an image.

    Attributes:
        coefficients: int16 [rows, cols, n], quantised, zigzag order.
        quantization: uint16 [n], the quantisation table in zigzag order; coefficients times this
            are the DCT coefficients.
        sampling: (h, v), the sampling factors, 1 to 4 each (T.81 B.2.2).

    Raises:
        ValueError: a dtype, shape or factor is not as above.
    """

    coefficients: np.ndarray
    quantization: np.ndarray
    sampling: tuple[int, int]

    @classmethod
    def trusted(
        cls, coefficients: np.ndarray, quantization: np.ndarray, sampling: tuple[int, int]
    ) -> Component:
        """Make one of what is known to be right, without a check of it, which takes its time."""
        component = object.__new__(cls)
        vars(component).update(
            coefficients=coefficients, quantization=quantization, sampling=sampling
        )
        return component

    def __post_init__(self):
        coefficients, quantization = self.coefficients, self.quantization
        if coefficients.dtype != np.int16 or coefficients.ndim != 3:
            raise ValueError(
                "coefficients must be int16 [rows, cols, n]; "
                f"got {coefficients.dtype} {list(coefficients.shape)}."
            )
        if not 1 <= coefficients.shape[2] <= BLOCK_COEFFICIENTS or 0 in coefficients.shape:
            raise ValueError(
                "coefficients must have at least one block and 1 to 64 frequencies; "
                f"got shape {list(coefficients.shape)}."
            )
        if quantization.dtype != np.uint16 or quantization.shape != coefficients.shape[2:]:
            raise ValueError(
                f"quantization must be uint16 [{coefficients.shape[2]}]; "
                f"got {quantization.dtype} {list(quantization.shape)}."
            )
        h, v = self.sampling
        if not (1 <= h <= MAX_SAMPLING and 1 <= v <= MAX_SAMPLING):
            raise ValueError(f"sampling must be two factors from 1 to 4; got {self.sampling}.")


@dataclass(frozen=True, eq=False)
class JpegCoefficients:
    """The quantised DCT coefficients of one image, as its JPEG stores them.

    Attributes:
        height: height in pixels, 1 to 65535.
        width: width in pixels, 1 to 65535.
        components: one (grayscale) or three (Y, Cb, Cr) components. Rows of a component are
            ceil(component height / 8), where component height = ceil(height * v / v_max)
            (T.81 A.1.1); likewise columns. Blocks that only pad an MCU are left out.
        rgb: the three components are R, G, B, not Y, Cb, Cr.
        orientation: the EXIF orientation, 1 to 8; 1 where the file has none. What is stored is not
            turned: see lossless.apply_orientation.
        complete: False if the file was truncated or damaged and reading it was asked for all the
            same; some coefficients are then missing or wrong.

    Raises:
        ValueError: the sizes do not fit together, or an attribute is out of its range.
    """

    height: int
    width: int
    components: tuple[Component, ...]
    rgb: bool = False
    orientation: int = 1
    complete: bool = True

    @classmethod
    def trusted(
        cls,
        height: int,
        width: int,
        components: tuple[Component, ...],
        rgb: bool,
        orientation: int,
    ) -> JpegCoefficients:
        """Make a complete one of what is known to be right, without a check of it."""
        image = object.__new__(cls)
        vars(image).update(
            height=height,
            width=width,
            components=components,
            rgb=rgb,
            orientation=orientation,
            complete=True,
        )
        return image

    def __post_init__(self):
        if not 1 <= self.orientation <= 8:
            raise ValueError(f"orientation must be from 1 to 8; got {self.orientation}.")
        if self.rgb and len(self.components) != 3:
            raise ValueError(f"an RGB image has 3 components; got {len(self.components)}.")
        for name, size in (("height", self.height), ("width", self.width)):
            if not 1 <= size <= MAX_SIZE:
                raise ValueError(f"{name} must be from 1 to {MAX_SIZE}; got {size}.")
        if not 1 <= len(self.components) <= 4:
            raise ValueError(f"there must be 1 to 4 components; got {len(self.components)}.")
        h_max = max(component.sampling[0] for component in self.components)
        v_max = max(component.sampling[1] for component in self.components)
        frequencies = self.num_frequencies
        for index, component in enumerate(self.components):
            h, v = component.sampling
            expected = (
                count_blocks(self.height, v, v_max),
                count_blocks(self.width, h, h_max),
                frequencies,
            )
            if component.coefficients.shape != expected:
                raise ValueError(
                    f"coefficients of component {index} must have shape {list(expected)}; "
                    f"got {list(component.coefficients.shape)}."
                )

    @property
    def num_frequencies(self) -> int:
        """How many coefficients of each block are held: the n lowest in zigzag order."""
        return self.components[0].coefficients.shape[2]

    @property
    def color_space(self) -> str:
        """What the components are: "grayscale", "YCbCr" or "RGB"."""
        if len(self.components) == 1:
            return "grayscale"
        return "RGB" if self.rgb else "YCbCr"

    @cached_property
    def subsampling(self) -> str:
        """The usual name of the chroma subsampling.

        "gray" for one component; "4:4:4", "4:2:2", "4:4:0", "4:2:0", "4:1:1" or "4:1:0" for three
        whose luma has 1 to 4 times the samples of both chroma components; "other" for the rest.
        """
        if len(self.components) == 1:
            return "gray"
        (h, v), chroma = self.components[0].sampling, {c.sampling for c in self.components[1:]}
        if len(self.components) != 3 or len(chroma) != 1:
            return "other"
        chroma_h, chroma_v = chroma.pop()
        if h % chroma_h or v % chroma_v:
            return "other"
        return _SUBSAMPLING_NAMES.get((h // chroma_h, v // chroma_v), "other")
