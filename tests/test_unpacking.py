"""Packed batches → inputs of the networks, beside crops and flips of each image by NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from jpegkeras import transforms
from jpegkeras.packed_batches import CROP_ACROSS, CROP_DOWN, DRAWS, FLIP, Layout
from jpegkeras.packing import pack
from jpegkeras.sampling import COMPONENTS
from jpegkeras.unpacking import central_places, random_places, unpack

SIZE = 32
BATCH = 6


def layout_of(height, width, sampling="4:2:0", count=16):
    return Layout.of_images(
        height, width, image_size=SIZE, sampling=sampling, num_frequencies=count
    )


def draw_images(layout, large=0.02, seed=0):
    """Small coefficients, and a share of large ones that int8 cannot hold."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(BATCH):
        image = {}
        for key in COMPONENTS:
            shape = (*layout.grid(key), layout.num_frequencies)
            values = rng.integers(-128, 128, shape)
            values[..., 0] = rng.integers(-1024, 1024, shape[:2])
            bursts = rng.random(shape) < large
            values[bursts] = rng.choice([-1023, -129, 128, 1023], np.sum(bursts))
            image[key] = values.astype(np.int16)
        images.append(image)
    return images


def pack_images(images, layout):
    features = {
        "quantization": np.tile(
            np.arange(1, 1 + layout.num_frequencies, dtype=np.uint16), (len(images), 3, 1)
        )
    }
    for key in COMPONENTS:
        planes = [pack(image[key]) for image in images]
        room = max(1, *(len(plane.overflow_index) for plane in planes)) + 2
        index = np.full((len(images), room), -1, np.int32)
        value = np.zeros((len(images), room), np.int16)
        for row, plane in enumerate(planes):
            index[row, : len(plane.overflow_index)] = plane.overflow_index
            value[row, : len(plane.overflow_index)] = plane.overflow_value
        features[f"{key}/dc"] = np.stack([plane.dc for plane in planes])
        features[f"{key}/ac"] = np.stack([plane.ac for plane in planes])
        features[f"{key}/overflow/index"], features[f"{key}/overflow/value"] = index, value
    return {key: tf.constant(value) for key, value in features.items()}


def check(inputs, images, layout, top, left, flip):
    for number, image in enumerate(images):
        expected = transforms.crop(
            image, int(top[number]), int(left[number]), SIZE, layout.sampling
        )
        for key in COMPONENTS:
            wanted = expected[key]
            if flip[number]:
                wanted = transforms.flip_horizontal(wanted)
            np.testing.assert_array_equal(inputs[key][number], wanted)


def places(layout, seed=1):
    rng = np.random.default_rng(seed)
    most = [frame - crop for frame, crop in zip(layout.frame, layout.crop)]
    top, left = (rng.integers(0, count + 1, BATCH).astype(np.int32) for count in most)
    return top, left, rng.random(BATCH) < 0.5


@pytest.mark.parametrize("count", [1, 2, 16, 64])
@pytest.mark.parametrize("sampling", ["4:2:0", "4:2:2", "4:4:4"])
def test_as_crop_and_flip_of_each_image(sampling, count):
    layout = layout_of(64, 80, sampling, count)
    images = draw_images(layout)
    packed = pack_images(images, layout)
    top, left, flip = places(layout)
    assert 0 < np.sum(flip) < BATCH and len(set(top)) > 1
    inputs = unpack(packed, layout, *map(tf.constant, (top, left, flip)))
    check(inputs, images, layout, top, left, flip)
    assert {key: inputs[key].dtype for key in COMPONENTS} == dict.fromkeys(COMPONENTS, tf.int16)
    np.testing.assert_array_equal(inputs["quantization"], packed["quantization"])


@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 47), (95, 127), (32, 300)])
def test_frames_of_any_size(height, width):
    """Also of such that end within an MCU, whose last blocks no crop reaches."""
    layout = layout_of(height, width)
    images = draw_images(layout)
    top, left, flip = places(layout)
    inputs = unpack(pack_images(images, layout), layout, *map(tf.constant, (top, left, flip)))
    check(inputs, images, layout, top, left, flip)


@pytest.mark.parametrize("large", [0, 0.5, 1])
def test_any_number_of_overflows(large):
    layout = layout_of(48, 48, count=5)
    images = draw_images(layout, large)
    top, left, flip = places(layout)
    inputs = unpack(pack_images(images, layout), layout, *map(tf.constant, (top, left, flip)))
    check(inputs, images, layout, top, left, flip)


@pytest.mark.parametrize("jit", [False, True])
def test_in_a_graph_as_eagerly(jit):
    layout = layout_of(64, 80)
    images = draw_images(layout)
    packed = pack_images(images, layout)
    drawn = tf.random.stateless_uniform([BATCH, DRAWS], seed=[0, 1])

    def function(packed, drawn):
        return unpack(packed, layout, *random_places(drawn, layout))

    eager = function(packed, drawn)
    compiled = tf.function(function, jit_compile=jit, autograph=False)(packed, drawn)
    tf.nest.map_structure(np.testing.assert_array_equal, compiled, eager)
    check(eager, images, layout, *random_places(drawn, layout))


def test_with_a_batch_of_unknown_size():
    layout = layout_of(64, 80)
    images = draw_images(layout)
    packed = pack_images(images, layout)
    specs = {key: tf.TensorSpec([None, *v.shape[1:]], v.dtype) for key, v in packed.items()}

    @tf.function(input_signature=[specs], autograph=False)
    def function(packed):
        where = central_places(tf.shape(packed["y/dc"])[0], layout)
        return unpack(packed, layout, *where)

    inputs = function(packed)
    assert inputs["y"].shape == (BATCH, 4, 4, 16)
    assert function.get_concrete_function().structured_outputs["y"].shape[1:] == (4, 4, 16)
    check(inputs, images, layout, [1] * BATCH, [1] * BATCH, [False] * BATCH)


def test_draws_are_places_that_fit_and_each_is_reached():
    below_one = np.nextafter(np.float32(1), np.float32(0))
    for count in range(1, 70):
        layout = layout_of(SIZE + 16 * (count - 1), SIZE)
        draws = np.zeros((count + 1, DRAWS), np.float32)
        draws[:count, CROP_DOWN] = (np.arange(count, dtype=np.float32) + 0.5) / count
        draws[count] = below_one
        top, left, flip = random_places(draws, layout)
        np.testing.assert_array_equal(top, [*range(count), count - 1])
        assert not np.any(left)
        np.testing.assert_array_equal(flip, [True] * count + [False])


def test_each_place_has_a_draw_of_its_own():
    layout = layout_of(64, 80)
    draws = np.full((3, DRAWS), 0.6, np.float32)
    for row, slot in enumerate((CROP_DOWN, CROP_ACROSS, FLIP)):
        draws[row, slot] = 0
    top, left, flip = (np.asarray(values) for values in random_places(draws, layout))
    assert (list(top), list(left)) == ([0, 1, 1], [2, 0, 2])
    assert list(flip) == [False, False, True]


@pytest.mark.parametrize("sampling", ["4:2:0", "4:2:2", "4:4:4"])
def test_the_centre_is_that_of_the_transforms(sampling):
    for height, width in [(32, 32), (47, 64), (256, 341), (500, 33)]:
        layout = layout_of(height, width, sampling)
        top, left, flip = central_places(2, layout)
        expected = transforms.center_offsets(height, width, SIZE, sampling)
        assert (int(top[0]), int(left[1])) == expected
        assert not np.any(flip)
