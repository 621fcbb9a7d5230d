"""What all tests share: quiet TensorFlow, two logical devices, clean flags, a tiny network."""

from __future__ import annotations

import pathlib

import pytest
from absl import flags
from absl.testing import flagsaver

from jpegkeras.quiet import quiet_tensorflow

with quiet_tensorflow():
    import tensorflow as tf

from tests import networks

# Before anything starts the devices: two slices of the CPU stand for two devices.
_CPU = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(_CPU, [tf.config.LogicalDeviceConfiguration()] * 2)

SHARED_DATA = pathlib.Path(__file__).parents[2] / "shared" / "data"


def pytest_make_parametrize_id(val, argname):
    """Names bytes by their argument: some hold the time, and all processes must give one name."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture(autouse=True)
def _clean_flags():
    """Flags are global: a test that sets one must not be felt by the next."""
    flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver():
        yield


@pytest.fixture
def tiny_network():
    """Puts the network "tiny" beside the real ones, for tests of what is around the network."""
    networks.add_tiny_network()
    yield
    networks.remove_tiny_network()
