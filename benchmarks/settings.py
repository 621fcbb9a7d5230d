"""What a run of the benchmark is to measure."""

from __future__ import annotations

import dataclasses

SUBSAMPLINGS = ("4:2:0", "4:2:2", "4:4:4")


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of one run.

    Attributes:
        images: how many images at most.
        input_dir: folder with the images, in any depth; None: they are drawn.
        as_found: take the JPEGs of input_dir as they are; the next four are then unused.
        size: side of the square images in pixels.
        quality: Pillow's quality, 1 to 100.
        subsampling: chroma sampling, one of SUBSAMPLINGS.
        optimize: Huffman tables made for each image, not the standard ones.
        num_frequencies: the n of jpegkeras's rows.
        repeats: passes over the images; the medians are reported.
        batch: images a call of jpegkeras.jpeg.read_batch.
        large_batch: of the rows of large batches.
        libraries: keys of peers.LIBRARIES.
        cut: cut the squares from the images of input_dir as they are, rather than make them
            smaller; images that are too small are skipped.

    Raises:
        ValueError: a setting is out of its range; the message names its flag.
    """

    images: int
    input_dir: str | None
    as_found: bool
    size: int
    quality: int
    subsampling: str
    optimize: bool
    num_frequencies: tuple[int, ...]
    repeats: int
    batch: int
    large_batch: int
    libraries: tuple[str, ...]
    cut: bool = False

    def __post_init__(self):
        for name, value, least, most in (
            ("images", self.images, 1, None),
            ("size", self.size, 8, 65535),
            ("quality", self.quality, 1, 100),
            ("repeats", self.repeats, 1, None),
            ("batch", self.batch, 1, None),
            ("large_batch", self.large_batch, 1, None),
            *(("num_frequencies", value, 1, 64) for value in self.num_frequencies),
        ):
            if value < least or (most is not None and value > most):
                limits = f"at least {least}" if most is None else f"from {least} to {most}"
                raise ValueError(f"--{name} must be {limits}; got {value}")
        if self.as_found and self.input_dir is None:
            raise ValueError("--as_found needs --input_dir, the folder of the files to take")
        if self.cut and self.input_dir is None:
            raise ValueError("--cut needs --input_dir, the folder of the files to cut from")
        if self.cut and self.as_found:
            raise ValueError("--cut and --as_found exclude each other; give one of them")

    @property
    def standard(self) -> bool:
        """The images are those that the goals of speed are stated for."""
        made = (self.size, self.quality, self.subsampling, self.optimize)
        return not self.as_found and made == (256, 75, "4:2:0", False)
