"""What a run of the benchmark of the networks is to measure. Loads neither Keras nor TensorFlow."""

from __future__ import annotations

import dataclasses

PUBLISHED, RGB = "keras", "rgb"
FORWARD, FOLDED, STEP = "forward", "folded", "step"
LAYERS, END_TO_END = "layers", "end_to_end"
MEASURES = (FORWARD, FOLDED, STEP, LAYERS, END_TO_END)


@dataclasses.dataclass(frozen=True)
class NetworkSettings:
    """The settings of one run.

    Attributes:
        backend: "tensorflow" or "jax".
        precision: "float32", "bfloat16" or "float16"; the latter two compute in mixed precision.
        batch_size: images a batch.
        image_size: side of the networks' input in pixels.
        models: "keras", "rgb", and n of networks on 3×n bands.
        what: some of MEASURES.
        rounds: how often each is timed; medians are reported.
        steps: passes that are timed together.
        images: JPEGs a pass from bytes.
        threads: of the readers.
        jit: compile with XLA; JAX always does.
    """

    backend: str
    precision: str
    batch_size: int
    image_size: int
    models: tuple[str, ...]
    what: tuple[str, ...]
    rounds: int
    steps: int
    images: int
    threads: int
    jit: bool

    @property
    def title(self) -> str:
        """The settings in words."""
        compiled = ", XLA" if self.jit or self.backend == "jax" else ""
        return (
            f"{self.backend}{compiled}, {self.precision}, batches of {self.batch_size}, "
            f"{self.image_size}×{self.image_size} pixels"
        )
