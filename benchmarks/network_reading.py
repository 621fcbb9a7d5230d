"""JPEG bytes in memory → the batches that a network takes: by our reader, TensorFlow's or Pillow's.

All take the central crop, and read one batch ahead of the network, on as many threads.
"""

from __future__ import annotations

import concurrent.futures
import functools
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image

from jpegkeras import transforms
from jpegkeras.jpeg import read_batch
from jpegkeras.sampling import COMPONENTS

Batches = Callable[[], Iterator[Any]]  # each call passes once over the images


def coefficient_batches(
    jpegs: Sequence[bytes], n: int, image_size: int, batch_size: int, threads: int
) -> Batches:
    """`jpegkeras.jpeg.read_batch` with n bands: inputs of a network of ours; 4:2:0 only."""

    def read(chunk: Sequence[bytes]) -> dict[str, np.ndarray]:
        images = read_batch(chunk, n, num_threads=threads)
        features = [_crop_coefficients(image.components, image_size) for image in images]
        batch = {key: np.stack([one[key] for one in features]) for key in COMPONENTS}
        tables = [[part.quantization for part in image.components] for image in images]
        return {**batch, "quantization": np.array(tables, "uint16")}

    return functools.partial(_one_ahead, read, _cut(jpegs, batch_size))


def pillow_batches(
    jpegs: Sequence[bytes], image_size: int, batch_size: int, threads: int
) -> Batches:
    """Pillow's decoder, which is libjpeg-turbo: uint8 [B, H, W, 3] RGB."""
    pool = concurrent.futures.ThreadPoolExecutor(threads)

    def decode(jpeg: bytes) -> np.ndarray:
        with Image.open(io.BytesIO(jpeg)) as image:
            pixels = np.asarray(image.convert("RGB"))
        top, left = _offsets(*pixels.shape[:2], image_size)
        return pixels[top : top + image_size, left : left + image_size]

    def read(chunk: Sequence[bytes]) -> np.ndarray:
        return np.stack(list(pool.map(decode, chunk)))

    return functools.partial(_one_ahead, read, _cut(jpegs, batch_size))


def tensorflow_batches(
    jpegs: Sequence[bytes], image_size: int, batch_size: int, threads: int
) -> Batches:
    """`tf.io.decode_and_crop_jpeg` in tf.data: uint8 [B, H, W, 3] RGB."""
    import tensorflow as tf

    def decode(jpeg: tf.Tensor) -> tf.Tensor:
        height, width, _ = tf.unstack(tf.io.extract_jpeg_shape(jpeg))
        window = [*_offsets(height, width, image_size), image_size, image_size]
        pixels = tf.io.decode_and_crop_jpeg(jpeg, window, channels=3)
        return tf.ensure_shape(pixels, (image_size, image_size, 3))

    dataset = tf.data.Dataset.from_tensor_slices(list(jpegs))
    dataset = dataset.map(decode, num_parallel_calls=threads)
    dataset = dataset.batch(batch_size, drop_remainder=True).prefetch(1)
    return lambda: iter(dataset)


def _crop_coefficients(components: Sequence[Any], image_size: int) -> dict[str, np.ndarray]:
    planes = {key: part.coefficients for key, part in zip(COMPONENTS, components)}
    rows, cols = planes["cb"].shape[:2]
    top, left = transforms.center_offsets(16 * rows, 16 * cols, image_size, "4:2:0")
    return transforms.crop(planes, top, left, image_size, "4:2:0")


def _offsets(height: Any, width: Any, image_size: int) -> tuple[Any, Any]:
    """The corner of the same crop in pixels: whole MCUs from the picture's own."""
    top, left = transforms.center_offsets(height, width, image_size, "4:2:0")
    return 16 * top, 16 * left


def _cut(jpegs: Sequence[bytes], batch_size: int) -> list[Sequence[bytes]]:
    starts = range(0, len(jpegs) - batch_size + 1, batch_size)
    return [jpegs[start : start + batch_size] for start in starts]


def _one_ahead(
    read: Callable[[Sequence[bytes]], Any], chunks: Sequence[Sequence[bytes]]
) -> Iterator[Any]:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        following = pool.submit(read, chunks[0])
        for chunk in chunks[1:]:
            batch, following = following.result(), pool.submit(read, chunk)
            yield batch
        yield following.result()
