"""Draws what each augmentation does to images of a data set.

python -m jpegkeras.augmentation --data_dir=DIR --output=sheet.png
"""

from __future__ import annotations

import functools
import os
import pathlib
import sys

from absl import flags

from jpegkeras import command_line
from jpegkeras.augmentation.examples import load_examples
from jpegkeras.errors import InputError
from jpegkeras.files import replacing, write_json
from jpegkeras.quiet import quiet_tensorflow

_DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of the data set.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "PNG file to write.", required=True)
_JSON = flags.DEFINE_string(
    "json", None, "File that gets how far each transform is from the same one made on pixels."
)
_NUM_IMAGES = flags.DEFINE_integer("num_images", 6, "Rows.", lower_bound=1, upper_bound=100)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the images and of the draws.", lower_bound=0)
_IMAGE_SIZE = flags.DEFINE_integer(
    "image_size", None, "Side of the crops in pixels; default: what fits, up to 224."
)
_NUM_FREQUENCIES = flags.DEFINE_integer(
    "num_frequencies", None, "Bands of the network; default: all.", lower_bound=1, upper_bound=64
)


def main(argv: list[str]) -> int:
    """Draws the sheet that the flags ask for; returns the exit status."""
    try:
        if len(argv) > 1:
            raise InputError(f"unexpected arguments: {' '.join(argv[1:])} (write --name=value).")
        _run()
    except (InputError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def _run() -> None:
    output = pathlib.Path(_OUTPUT.value)
    if output.suffix.lower() != ".png":
        raise InputError(f"--output must be the name of a PNG file, *.png; got {output}.")
    for path in filter(None, (_OUTPUT.value, _JSON.value)):
        _check_writable(pathlib.Path(path))
    load = functools.partial(
        load_examples,
        _DATA_DIR.value,
        num_images=_NUM_IMAGES.value,
        seed=_SEED.value,
        image_size=_IMAGE_SIZE.value,
    )
    examples = load(num_frequencies=_NUM_FREQUENCIES.value)
    full = load() if _JSON.value else None
    with quiet_tensorflow():
        from jpegkeras.augmentation import relations
        from jpegkeras.augmentation.columns import make_columns
        from jpegkeras.augmentation.contact_sheet import draw_sheet
    subtitle = (
        f"{examples.image_size} x {examples.image_size} pixels, {examples.sampling}, "
        f"{examples.num_frequencies} of 64 frequencies, seed {_SEED.value}; decoded after the "
        "transform of the coefficients"
    )
    columns = make_columns(examples, _SEED.value)
    sheet = draw_sheet(columns, "Augmentation in the coefficient domain", subtitle)
    with replacing(output) as temporary:
        sheet.save(temporary, "PNG", optimize=True)
    print(f"Wrote {output}: {len(columns)} columns of {len(examples.images)} images.")
    if full is not None:
        write_json(_JSON.value, relations.measure(examples, full))
        print(f"Wrote {_JSON.value}")


def _check_writable(path: pathlib.Path) -> None:
    """Raises InputError, before the work, for a file that could not be written after it."""
    if path.is_dir():
        raise InputError(f"{path} is a folder. Give the name of a file.")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}. Make it first.")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{path}: the folder {path.parent} cannot be written to.")


if __name__ == "__main__":
    command_line.run(main)
