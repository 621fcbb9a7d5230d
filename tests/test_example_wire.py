from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from jpegkeras.example_wire import serialize_example

BIG = np.random.default_rng(0).bytes(300_000)
INTS = [0, 1, -1, 127, 128, 300, 2**31, -(2**31), 2**63 - 1, -(2**63)]


def by_tensorflow(features):
    example = tf.train.Example()
    for key, value in features.items():
        feature = example.features.feature[key]
        if isinstance(value, (bytes, np.ndarray)):
            data = value if isinstance(value, bytes) else value.tobytes()
            feature.bytes_list.value.append(data)
        else:
            feature.int64_list.value.extend(value)
    return example.SerializeToString(deterministic=True)


@pytest.mark.parametrize(
    "features",
    [
        {"a": b""},
        {"b": b"x", "a/a": [1], "a/b": [2], "B": [3]},
        {"ints": INTS},
        {"one": [5], "five": [5] * 50, "many": list(range(5000))},
        {"bytes": BIG, "key" * 50: BIG[:127], "m": BIG[:128], "l": BIG[:16384]},
        {"array": np.arange(12, dtype="<i2").reshape(3, 4), "empty": np.empty(0, np.int8)},
        {"coefficients": np.arange(200_000, dtype=np.int64).astype(np.int8)},
    ],
)
def test_the_bytes_are_those_of_protobuf(features):
    assert serialize_example(features) == by_tensorflow(features)
    # Again, from what was kept of the first time.
    assert serialize_example(features) == by_tensorflow(features)
