from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from jpegkeras.jpeg import Component, JpegCoefficients
from jpegkeras.record_format import pack_image, serialize_packed, serialize_record
from jpegkeras.sampling import COMPONENTS


def draw_image(seed, *, count=64, height=40, width=56, spread=20.0):
    rng = np.random.default_rng(seed)
    components = []
    for h, v in ((2, 2), (1, 1), (1, 1)):
        shape = (-(-height * v // 16), -(-width * h // 16), count)
        values = rng.normal(0, spread, shape).clip(-2000, 2000).astype(np.int16)
        table = rng.integers(1, 256, count).astype(np.uint16)
        components.append(Component(values, table, (h, v)))
    return JpegCoefficients(height, width, tuple(components))


def by_tensorflow(image, label, coarse_label, name):
    """The record that the module's docstring describes, by TensorFlow's own messages."""
    example = tf.train.Example()

    def put(key, *, ints=None, data=None):
        feature = example.features.feature[key]
        if data is None:
            feature.int64_list.value.extend(np.ravel(ints).tolist())
        else:
            feature.bytes_list.value.append(data)

    put("schema", ints=2)
    put("image/height", ints=image.height)
    put("image/width", ints=image.width)
    put("image/sampling", data=image.subsampling.encode())
    put("image/name", data=name)
    put("label/fine", ints=label)
    put("label/coarse", ints=coarse_label)
    put("num_frequencies", ints=image.num_frequencies)
    tables = np.array([component.quantization for component in image.components])
    put("quantization", data=tables.astype("<u2").tobytes())
    for key, component in zip(COMPONENTS, image.components):
        rows, cols, _ = component.coefficients.shape
        planes = np.moveaxis(component.coefficients, -1, 0)
        ac = planes[1:].ravel().astype(np.int64)
        over = np.flatnonzero((ac < -128) | (ac > 127))
        put(f"{key}/shape", ints=[rows, cols])
        put(f"{key}/dc", data=planes[0].astype("<i2").tobytes())
        if len(over):
            put(f"{key}/overflow/index", ints=over)
            put(f"{key}/overflow/value", ints=ac[over])
        ac[over] = 0
        put(f"{key}/ac", data=ac.astype(np.int8).tobytes())
    return example.SerializeToString(deterministic=True)


def images():
    yield draw_image(0)
    yield draw_image(1)  # of the same form
    yield draw_image(2, spread=60)  # of the same form, but with overflows
    yield draw_image(3)
    yield draw_image(4, count=16)
    yield draw_image(5, count=1)
    yield draw_image(6, height=8, width=500, count=2)
    yield draw_image(7, height=8, width=500, count=2, spread=900)


@pytest.mark.parametrize("name", [b"", b"a/b.jpg", b"a/c.jpg", b"\xff\n " * 70])
@pytest.mark.parametrize(("label", "coarse_label"), [(0, 0), (7, 0), (7, 1), (999, 200)])
def test_the_bytes_are_those_of_protobuf(name, label, coarse_label):
    options = {"label": label, "coarse_label": coarse_label, "name": name}
    for image in images():
        wanted = by_tensorflow(image, **options)
        assert serialize_record(image, **options) == wanted
        parts = serialize_packed(pack_image(image), **options)
        assert b"".join(parts) == wanted
        assert sum(map(len, parts)) == len(wanted)


def test_coefficients_are_not_copied():
    packed = pack_image(draw_image(0))
    parts = serialize_packed(packed, label=1, coarse_label=1, name=b"x")
    for plane in packed.planes:
        for array in (plane.dc, plane.ac):
            assert any(isinstance(p, np.ndarray) and np.shares_memory(p, array) for p in parts)
