"""How strongly images are augmented: the policies that `--augment` names."""

from __future__ import annotations

import dataclasses
import math

from jpegkeras.transforms import ORIENTATIONS


@dataclasses.dataclass(frozen=True)
class Policy:
    """What may happen to an image while training, and how much of it. Zero is off.

    Attributes:
      random_crop: the crop begins at a random MCU; else it is the central one.
      random_flip: every second image is mirrored left to right. These two are done when a batch is
        unpacked (`jpegkeras.unpacking`), all others by `augment_bands`.
      orientations: names of `jpegkeras.transforms.ORIENTATIONS`, one of which is drawn, each as
        often. Those that exchange rows and columns need square frames and whole diagonals of
        frequencies (1, 3, 6, 10, 15, 21, 28, 36, … 64).
      zoom_in: probability of a random quarter of the frame at twice its size.
      zoom_out: probability of the frame at half its size, somewhere on mid-grey.
      translation: largest shift, as a fraction of the frame; mid-grey moves in.
      brightness: largest shift, in sample values.
      contrast: the gain around mid-grey is 1 − contrast … 1 + contrast.
      saturation: the gain of the chroma is 1 − saturation … 1 + saturation.
      hue: largest rotation of (Cb, Cr), in degrees.
      chroma_drop: probability of no colour at all.
      cutout: probability of a mid-grey rectangle.
      cutout_size: its sides, as a fraction of the frame's; it is whole MCUs, at least one.
      mixup: α of Beta(α, α), from which the share of an image in the mixture with its neighbour in
        the batch is drawn (Zhang et al. 2018).

    Raises:
      ValueError: a value is out of its range.
    """

    random_crop: bool = False
    random_flip: bool = False
    orientations: tuple[str, ...] = ("identity",)
    zoom_in: float = 0.0
    zoom_out: float = 0.0
    translation: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    chroma_drop: float = 0.0
    cutout: float = 0.0
    cutout_size: float = 0.3
    mixup: float = 0.0

    def __post_init__(self):
        if not self.orientations or not set(self.orientations) <= set(ORIENTATIONS):
            raise ValueError(
                f"orientations must be some of {', '.join(ORIENTATIONS)}; got {self.orientations}."
            )
        for name in ("zoom_in", "zoom_out", "translation", "chroma_drop", "cutout"):
            self._check(name, 0, 1)
        for name in ("contrast", "saturation", "cutout_size"):
            self._check(name, 0, 1)
        self._check("brightness", 0, 255)
        self._check("hue", 0, 180)
        if self.zoom_in + self.zoom_out > 1:
            raise ValueError(
                f"zoom_in + zoom_out must be at most 1; got {self.zoom_in + self.zoom_out}."
            )
        if self.mixup:
            self._check("mixup", 0.05, 1)

    def _check(self, name: str, lowest: float, highest: float) -> None:
        value = getattr(self, name)
        if not (math.isfinite(value) and lowest <= value <= highest):
            raise ValueError(f"{name} must be {lowest} … {highest}; got {value}.")


_PAPER = Policy(random_crop=True, random_flip=True)

#: `--augment` → policy. The strengths of "strong" are customary ones for pictures; what they bring
#: has not been measured.
POLICIES = {
    "none": Policy(),
    "paper": _PAPER,
    "strong": dataclasses.replace(
        _PAPER,
        zoom_in=0.25,
        translation=0.125,
        brightness=32.0,
        contrast=0.3,
        saturation=0.4,
        hue=10.0,
        chroma_drop=0.1,
        cutout=0.5,
        mixup=0.2,
    ),
}
