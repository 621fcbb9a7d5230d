"""Runs a module of the project with the tiny networks beside the real ones.

python -m tests.experiments.with_tiny MODULE ARGUMENT…
"""

from __future__ import annotations

import dataclasses
import importlib
import sys


def main():
    from jpegkeras.experiments import complexity
    from tests import band_networks, networks

    networks.add_tiny_network()
    band_networks.add_band_network()
    # The paper's table costs seconds: four large networks are built for it.
    row = dataclasses.replace(complexity.PAPER[0], model=networks.TINY)
    complexity.PAPER = (row,)
    return importlib.import_module(sys.argv[1]).main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
