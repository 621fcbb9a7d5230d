from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from jpegkeras.jpeg import read_coefficients
from jpegkeras.records import parse_record, serialize_record
from jpegkeras.sampling import COMPONENTS


def noise_image(quality=100, height=43, width=70, mode="RGB"):
    """Coefficients of noise, which at quality 100 pass what an int8 can hold."""
    pixels = np.random.default_rng(0).choice([0, 255], (height, width, 3)).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(out, "JPEG", quality=quality)
    return read_coefficients(out.getvalue())


def serialize(image, **values):
    return serialize_record(image, **{"label": 3, "coarse_label": 1, "name": b"a.jpg", **values})


@pytest.mark.parametrize("quality", [10, 90, 100])
def test_round_trip_loses_nothing(quality):
    image = noise_image(quality)
    parsed = parse_record(serialize(image), 64)
    for index, (key, component) in enumerate(zip(COMPONENTS, image.components)):
        assert parsed[key].dtype == tf.int16
        np.testing.assert_array_equal(parsed[key], component.coefficients)
        np.testing.assert_array_equal(parsed["quantization"][index], component.quantization)
    assert (parsed["height"], parsed["width"]) == (43, 70)
    assert (parsed["label"], parsed["coarse_label"]) == (3, 1)
    if quality == 100:
        assert np.abs(image.components[0].coefficients[..., 1:]).max() > 128


@pytest.mark.parametrize("count", [1, 2, 16, 63])
def test_a_prefix_is_the_lowest_frequencies(count):
    image = noise_image()
    serialized = serialize(image)
    parsed = parse_record(serialized, count)
    for key, component in zip(COMPONENTS, image.components):
        np.testing.assert_array_equal(parsed[key], component.coefficients[..., :count])
    assert parsed["quantization"].shape == (3, count)


def test_in_a_pipeline_as_eagerly():
    images = [noise_image(height=height) for height in (8, 43, 65)]
    dataset = tf.data.Dataset.from_tensor_slices([serialize(image) for image in images])
    for image, parsed in zip(images, dataset.map(lambda record: parse_record(record, 20))):
        for key, component in zip(COMPONENTS, image.components):
            np.testing.assert_array_equal(parsed[key], component.coefficients[..., :20])


def test_too_few_frequencies_say_so():
    image = read_coefficients(_jpeg_bytes(), num_frequencies=8)
    serialized = serialize(image)
    assert parse_record(serialized, 8)["y"].shape[-1] == 8
    with pytest.raises(tf.errors.InvalidArgumentError, match="fewer frequencies"):
        parse_record(serialized, 9)
    dataset = tf.data.Dataset.from_tensors(serialized).map(lambda record: parse_record(record, 9))
    with pytest.raises(tf.errors.InvalidArgumentError, match="fewer frequencies"):
        next(iter(dataset))


def test_names_are_bytes():
    parsed = parse_record(serialize(noise_image(), name=b"caf\xe9/\xff.jpg"), 1)
    assert parsed["name"].numpy() == b"caf\xe9/\xff.jpg"


def test_the_sampling_is_stored():
    example = tf.train.Example.FromString(serialize(noise_image()))
    assert example.features.feature["image/sampling"].bytes_list.value == [b"4:2:0"]


def test_same_image_same_bytes():
    assert serialize(noise_image()) == serialize(noise_image())


def test_one_component_is_refused():
    with pytest.raises(ValueError, match="components y, cb, cr; got 1"):
        serialize(noise_image(mode="L"))


def _jpeg_bytes():
    out = io.BytesIO()
    Image.new("RGB", (20, 20), (200, 30, 90)).save(out, "JPEG")
    return out.getvalue()
