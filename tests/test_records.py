from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from jpegkeras import record_format
from jpegkeras.errors import InputError
from jpegkeras.jpeg import read_coefficients
from jpegkeras.record_format import read_record, serialize_record
from jpegkeras.records import parse_record
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


@pytest.mark.parametrize("quality", range(1, 101))
def test_lossless_at_every_quality(quality):
    rng = np.random.default_rng(quality)
    height, width = rng.integers(1, 90, 2)
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    if quality % 2:
        pixels = np.where(pixels > 127, 255, 0).astype(np.uint8)  # the largest coefficients
    subsampling = ("4:2:0", "4:2:2", "4:4:4")[quality % 3]
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality, subsampling=subsampling)
    image = read_coefficients(out.getvalue())
    serialized = serialize(image)
    parsed, record = parse_record(serialized, 64), read_record(serialized)
    assert (record.image.height, record.image.width) == (height, width)
    assert record.image.subsampling == parsed["sampling"].numpy().decode() == subsampling
    for index, (key, component) in enumerate(zip(COMPONENTS, image.components)):
        again = record.image.components[index]
        np.testing.assert_array_equal(parsed[key], component.coefficients)
        np.testing.assert_array_equal(again.coefficients, component.coefficients)
        np.testing.assert_array_equal(parsed["quantization"][index], component.quantization)
        np.testing.assert_array_equal(again.quantization, component.quantization)


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


def test_the_bytes_are_those_of_tensorflows_own_message():
    serialized = serialize(noise_image())
    example = tf.train.Example.FromString(serialized)
    assert example.SerializeToString(deterministic=True) == serialized
    assert example.features.feature["y/overflow/index"].int64_list.value
    assert example.features.feature["schema"].int64_list.value == [2]


def other_version(serialized, version):
    example = tf.train.Example.FromString(serialized)
    del example.features.feature["schema"]
    if version:
        example.features.feature["schema"].int64_list.value.append(version)
    return example.SerializeToString()


@pytest.mark.parametrize("version", [None, 1, 3])
def test_another_schema_version_is_refused(version):
    serialized = other_version(serialize(noise_image()), version)
    with pytest.raises(tf.errors.InvalidArgumentError, match="another schema version"):
        parse_record(serialized, 8)
    dataset = tf.data.Dataset.from_tensors(serialized).map(lambda record: parse_record(record, 8))
    with pytest.raises(tf.errors.InvalidArgumentError, match="another schema version"):
        next(iter(dataset))
    with pytest.raises(InputError, match=f"schema version {version or 'none'}.*reads version 2"):
        read_record(serialized)


def changed(change):
    example = tf.train.Example.FromString(serialize(noise_image()))
    change(example.features.feature)
    return example.SerializeToString()


@pytest.mark.parametrize(
    "serialized",
    [
        b"\xff",
        changed(lambda feature: feature.pop("y/dc")),
        changed(lambda feature: feature["y/shape"].int64_list.value.append(1)),
        changed(lambda feature: feature["cb/ac"].bytes_list.value.__setitem__(0, b"short")),
        changed(lambda feature: feature["y/overflow/index"].int64_list.value.append(1 << 40)),
        changed(lambda feature: feature["quantization"].bytes_list.value.__setitem__(0, b"xx")),
        changed(lambda feature: feature["image/height"].int64_list.value.__setitem__(0, 4000)),
        changed(lambda feature: feature["image/sampling"].bytes_list.value.__setitem__(0, b"5")),
    ],
)
def test_what_does_not_hold_together_is_one_error(serialized):
    with pytest.raises(InputError, match="does not hold together|no serialised"):
        read_record(serialized)


def test_read_record_gives_labels_and_name():
    record = read_record(serialize(noise_image(), label=7, coarse_label=2, name=b"\xff.jpg"))
    assert (record.label, record.coarse_label, record.name) == (7, 2, b"\xff.jpg")


def test_every_key_is_in_the_docstring():
    example = tf.train.Example.FromString(serialize(noise_image()))
    for key in example.features.feature:
        assert key.split("/")[-1] in record_format.__doc__


def test_same_image_same_bytes():
    assert serialize(noise_image()) == serialize(noise_image())


def test_one_component_is_refused():
    with pytest.raises(ValueError, match="components y, cb, cr; got 1"):
        serialize(noise_image(mode="L"))


def _jpeg_bytes():
    out = io.BytesIO()
    Image.new("RGB", (20, 20), (200, 30, 90)).save(out, "JPEG")
    return out.getvalue()
