"""The random numbers by which images are cropped, flipped and augmented.

They are a function of a seed and of an image's number in the epoch's order alone: not of the
batches, devices or hosts that the images are shared out to, nor of where a run was continued.
"""

from __future__ import annotations

import tensorflow as tf

from jpegkeras.packed_batches import DRAWS

# Philox gives 4 numbers for each value of its counter (Salmon et al. 2011, "Parallel random
# numbers: as easy as 1, 2, 3"), so that the numbers of an image begin at a counter of their own.
_COUNTERS = DRAWS // 4
_PHILOX = 1


def draw(seed: int, first: tf.Tensor, count: int) -> tf.Tensor:
    """Returns float32 [count, DRAWS], from 0 to below 1, for `count` images from number `first`.

    `seed`: from 0 to below 2⁶³; `first`: an int64 scalar.
    """
    return tf.raw_ops.StatelessRandomUniformV2(
        shape=[count, DRAWS],
        key=tf.constant([seed], tf.uint64),
        counter=tf.cast(tf.stack([first * _COUNTERS, 0]), tf.uint64),
        alg=_PHILOX,
        dtype=tf.float32,
    )
