"""Metadata and dependencies are in setup.cfg; this file only chooses the build of TensorFlow.

The package `tensorflow` carries the GPU kernels and is twice the size of `tensorflow-cpu`, and the
two must never be installed side by side. On a machine without a GPU:

    JPEGKERAS_TENSORFLOW=tensorflow-cpu pip install .
"""

import os

import setuptools

BUILDS = ("tensorflow", "tensorflow-cpu")


class Distribution(setuptools.Distribution):
    """Requires the build of TensorFlow that the environment variable names."""

    def parse_config_files(self, *args: object, **kwargs: object) -> None:
        """Reads setup.cfg, then swaps the one requirement."""
        super().parse_config_files(*args, **kwargs)
        build = os.environ.get("JPEGKERAS_TENSORFLOW", "tensorflow")
        if build not in BUILDS:
            raise SystemExit(f"JPEGKERAS_TENSORFLOW must be one of {BUILDS}; got {build!r}.")
        # In place: setuptools has handed the list itself on to the metadata.
        self.install_requires[:] = [
            build + requirement[len("tensorflow") :]
            if requirement.startswith("tensorflow>")
            else requirement
            for requirement in self.install_requires
        ]


setuptools.setup(distclass=Distribution)
