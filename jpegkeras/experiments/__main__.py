"""Reproduces the tables of "The Good, the Bad, and the Ugly: Neural Networks Straight from JPEG".

python -m jpegkeras.experiments --table=complexity [--output_dir=DIR]
python -m jpegkeras.experiments --table=all --config=smoke --output_dir=DIR
python -m jpegkeras.experiments --table=bands --config=smoke --output_dir=DIR
python -m jpegkeras.experiments --table=all --config=FILE.json --input_dir=DIR --labels=FILE.csv
                                --output_dir=DIR [--list]
"""

from __future__ import annotations

from absl import flags

from jpegkeras import command_line
from jpegkeras.experiments import command

if __name__ == "__main__":
    command.define_flags(flags.FLAGS)
    flags.adopt_module_key_flags(command)  # or --help would not list them
    command_line.run(command.main)
