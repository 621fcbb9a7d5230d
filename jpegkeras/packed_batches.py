"""What a packed batch holds: the form in which the host hands images to the device for training.

The host only parses records and puts them side by side; crop, flip, transposition and widening to
int16 are done by the batch on the device (`jpegkeras.unpacking`), which has to be sent half the
bytes that way. Of B images the features are, for each key of `COMPONENTS`:

- `{key}/dc`: int16 [B, rows × cols];
- `{key}/ac`: int8 [B, (n − 1) × rows × cols], frequency by frequency (all of AC 1, all of AC 2, …);
- `{key}/overflow/index`: int32 [B, M] and `{key}/overflow/value`: int16 [B, M]: the AC coefficients
  that int8 cannot hold, by their place in `ac`, which is 0 there; −1 and 0 where there is none;

and of them all:

- `quantization`: uint16 [B, 3, n], zigzag order;
- `draws`: float32 [B, `DRAWS`] from 0 to below 1, by which crop, flip and augmentation are chosen.

`Layout` says what cannot be seen from that. M is a power of two, so that few shapes occur.
"""

from __future__ import annotations

import dataclasses

from jpegkeras.sampling import COMPONENTS, chroma_ratio, mcu_size

#: The random numbers of an image, and what the first are for; the others are the augmentation's.
DRAWS = 16
CROP_DOWN, CROP_ACROSS, FLIP = 0, 1, 2


@dataclasses.dataclass(frozen=True)
class Layout:
    """How the images of packed batches lie, and what a network takes from them.

    `frame`: whole MCUs (down, across) of which the crop is taken; `grids`: (rows, cols) of blocks
    of each of `COMPONENTS` as they are packed, which may include blocks of MCUs at the lower and
    the right edge that are not whole. `image_size` is the crop's in pixels.
    """

    frame: tuple[int, int]
    grids: tuple[tuple[int, int], ...]
    image_size: int
    sampling: str
    num_frequencies: int

    @classmethod
    def of_images(
        cls, height: int, width: int, *, image_size: int, sampling: str, num_frequencies: int
    ) -> Layout:
        """Returns the layout of whole images of one size in pixels."""
        mcu_height, mcu_width = mcu_size(sampling)
        grids = [
            (-(-height * v // mcu_height), -(-width * h // mcu_width))
            for v, h in (_blocks_of_mcu(key, sampling) for key in COMPONENTS)
        ]
        frame = (height // mcu_height, width // mcu_width)
        return cls(frame, tuple(grids), image_size, sampling, num_frequencies)

    @classmethod
    def of_crops(cls, *, image_size: int, sampling: str, num_frequencies: int) -> Layout:
        """Returns the layout of images that the host has cropped already."""
        return cls.of_images(
            image_size,
            image_size,
            image_size=image_size,
            sampling=sampling,
            num_frequencies=num_frequencies,
        )

    @property
    def crop(self) -> tuple[int, int]:
        """The crop in MCUs (down, across)."""
        mcu_height, mcu_width = mcu_size(self.sampling)
        return self.image_size // mcu_height, self.image_size // mcu_width

    @property
    def is_cropped(self) -> bool:
        """Whether nothing is left to crop."""
        return self.frame == self.crop

    def grid(self, key: str) -> tuple[int, int]:
        """Returns the (rows, cols) of blocks that a component is packed with."""
        return self.grids[COMPONENTS.index(key)]

    @property
    def num_blocks(self) -> int:
        """How many blocks of all components are packed of an image."""
        return sum(rows * cols for rows, cols in self.grids)

    def blocks_of_mcu(self, key: str) -> tuple[int, int]:
        """Returns how many blocks of a component an MCU has, down and across."""
        return _blocks_of_mcu(key, self.sampling)

    def crop_grid(self, key: str) -> tuple[int, int]:
        """Returns the (rows, cols) of blocks of a component's crop."""
        (down, across), (v, h) = self.crop, self.blocks_of_mcu(key)
        return down * v, across * h


def _blocks_of_mcu(key: str, sampling: str) -> tuple[int, int]:
    if key != "y":
        return 1, 1
    h, v = chroma_ratio(sampling)
    return v, h
