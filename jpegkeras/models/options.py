"""The options that all networks share, and the shapes of their inputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from jpegkeras.bands import Bands
from jpegkeras.sampling import SAMPLINGS

# Sampling → how many luma blocks stand beside one chroma block, (vertically, horizontally): the
# order of a tensor's axes.
CHROMA_FACTORS = {name: (v, h) for name, (h, v) in SAMPLINGS.items()}

Statistics = Mapping[str, Mapping[str, Sequence[float]]]


@dataclasses.dataclass(frozen=True)
class NetworkOptions:
    """What `build_model` takes besides the name; see there.

    Raises:
      ValueError: an option is out of its range; the message names the range.
    """

    num_frequencies: int = 64
    num_classes: int = 1000
    image_size: int = 224
    sampling: str = "4:2:0"
    statistics: Statistics | None = None
    batch_norm_momentum: float = 0.99
    # That of keras.applications, so that published weights give the same outputs.
    batch_norm_epsilon: float = 1.001e-5
    synchronized: bool = False
    zero_init_residual: bool = False
    input_frequencies: int | None = None
    bands: Bands | None = None
    learned_bands: int | None = None

    def __post_init__(self):
        if self.sampling not in CHROMA_FACTORS:
            raise ValueError(
                f"sampling must be one of {list(CHROMA_FACTORS)}; got {self.sampling!r}."
            )
        check_frequencies(self.num_frequencies)
        if self.input_frequencies is not None:
            check_frequencies(self.input_frequencies, "input_frequencies")
            if self.input_frequencies < self.num_frequencies:
                raise ValueError(
                    f"input_frequencies ({self.input_frequencies}) must not be fewer than "
                    f"num_frequencies ({self.num_frequencies})."
                )
        self._check_bands()
        check_image_size(self.image_size, self.sampling)
        if not isinstance(self.num_classes, int) or self.num_classes < 1:
            raise ValueError(f"num_classes must be a positive integer; got {self.num_classes!r}.")
        if not 0 <= self.batch_norm_momentum < 1:
            raise ValueError(
                f"batch_norm_momentum must be at least 0 and below 1; got "
                f"{self.batch_norm_momentum}."
            )
        if not self.batch_norm_epsilon > 0:
            raise ValueError(f"batch_norm_epsilon must be positive; got {self.batch_norm_epsilon}.")

    def _check_bands(self) -> None:
        n = self.num_frequencies
        if self.bands is not None and self.learned_bands is not None:
            raise ValueError("bands are given or learned; got both bands and learned_bands.")
        if self.bands is not None and self.bands.highest >= n:
            raise ValueError(
                f"bands must be below num_frequencies ({n}), from 0 on; got {self.bands.to_text()}."
            )
        if self.learned_bands is not None:
            check_frequencies(self.learned_bands, "learned_bands")
            if self.learned_bands > n:
                raise ValueError(
                    f"learned_bands ({self.learned_bands}) must not be more than num_frequencies "
                    f"({n}), of which they are chosen."
                )

    @property
    def mean_frequencies(self) -> int:
        """The n that 3n bands would have: a third of all, rounded."""
        if self.learned_bands is not None:
            return self.learned_bands
        return self.num_frequencies if self.bands is None else round(self.bands.total / 3)

    @property
    def bands_name(self) -> str:
        """Which bands, as the end of a network's name."""
        if self.learned_bands is not None:
            return f"learned_{self.learned_bands}"
        if self.bands is not None:
            return "_".join(map(str, self.bands.counts))
        return f"{self.num_frequencies}"

    @property
    def chroma_factor(self) -> tuple[int, int]:
        """Luma blocks beside one chroma block, (vertically, horizontally)."""
        return CHROMA_FACTORS[self.sampling]

    @property
    def input_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of one example's inputs."""
        n = self.num_frequencies if self.input_frequencies is None else self.input_frequencies
        return input_shapes(self.image_size, n, self.sampling)


def check_frequencies(n: int, name: str = "num_frequencies") -> None:
    """Raises ValueError unless n is a whole number 1 … 64."""
    if not isinstance(n, int) or not 1 <= n <= 64:
        raise ValueError(
            f"{name} must be an integer 1 … 64, a block's coefficients in zigzag order; got {n!r}."
        )


def check_image_size(image_size: int, sampling: str) -> None:
    """Raises ValueError, naming the nearest sizes that fit, unless the size is whole MCUs."""
    mcu = 8 * max(CHROMA_FACTORS[sampling])
    if isinstance(image_size, int) and image_size > 0 and image_size % mcu == 0:
        return
    problem = (
        f"image_size must be a positive multiple of {mcu} pixels for {sampling}; got {image_size!r}"
    )
    if not isinstance(image_size, int):
        raise ValueError(f"{problem}.")
    below = image_size // mcu * mcu
    nearest = f"{below} and {below + mcu}" if below > 0 else f"{mcu}"
    raise ValueError(f"{problem}. Nearest that fit: {nearest}.")


def input_shapes(
    image_size: int = 224, num_frequencies: int = 64, sampling: str = "4:2:0"
) -> dict[str, tuple[int, ...]]:
    """The shapes of one example of a network's inputs.

    Args:
      image_size: side of the square image in pixels, whole MCUs.
      num_frequencies: bands a component, 1 … 64.
      sampling: "4:4:4", "4:2:2" or "4:2:0".

    Returns:
      `{"y": (rows, cols, n), "cb": …, "cr": …, "quantization": (3, n)}`.

    Raises:
      ValueError: an argument is out of its range.
    """
    if sampling not in CHROMA_FACTORS:
        raise ValueError(f"sampling must be one of {list(CHROMA_FACTORS)}; got {sampling!r}.")
    check_frequencies(num_frequencies)
    check_image_size(image_size, sampling)
    vertical, horizontal = CHROMA_FACTORS[sampling]
    blocks = image_size // 8
    chroma = (blocks // vertical, blocks // horizontal, num_frequencies)
    return {
        "y": (blocks, blocks, num_frequencies),
        "cb": chroma,
        "cr": chroma,
        "quantization": (3, num_frequencies),
    }
