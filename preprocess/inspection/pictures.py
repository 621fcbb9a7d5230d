"""Draws the pictures of a data set and puts them into a folder."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence

from PIL import Image

from jpegkeras.dataset_info import DatasetInfo
from preprocess.inspection.band_maps import draw_band_maps
from preprocess.inspection.bands import Band
from preprocess.inspection.contact_sheet import Tile, decode, draw_contact_sheet
from preprocess.inspection.drawing import spell
from preprocess.inspection.files import save
from preprocess.inspection.samples import Choice, Sample, read_samples
from preprocess.sources import TRAIN

BANDS_FILE, SAMPLES_FILE = "bands.png", "samples.png"


def draw_pictures(
    directory: str,
    folder: str,
    info: DatasetInfo,
    bands: dict[str, Sequence[Band]],
    choice: Choice,
) -> list[str]:
    """Draws the bands and the records of a choice into `folder` and returns the files' paths.

    Without records there is no contact sheet. Raises InputError for a record that cannot be read
    and a picture that cannot be written.
    """
    name = spell(os.path.basename(os.path.abspath(directory))) or "the data set"
    held = f"{info.num_frequencies} of 64 frequencies"
    subtitle = f"{TRAIN}: {info.splits[TRAIN].records:,} records, {info.sampling}, {held}"
    drawing = draw_band_maps(bands, f"Bands of {name}", subtitle)
    paths = [save(folder, BANDS_FILE, _png(drawing))]
    samples = read_samples(directory, info, choice)
    if samples:
        records = info.splits[choice.split].records
        subtitle = f"{choice.split}: {len(samples):,} of {records:,} records, {held}"
        tiles = [_tile(sample, info) for sample in samples]
        drawing = draw_contact_sheet(tiles, f"Records of {name}", subtitle)
        paths.append(save(folder, SAMPLES_FILE, _png(drawing)))
    return paths


def _tile(sample: Sample, info: DatasetInfo) -> Tile:
    record = sample.record
    size = f"{record.image.width}x{record.image.height}"  # the font has no ×
    return Tile(
        picture=decode(record.image),
        title=info.classes[record.label].title,
        substitute=f"class {record.label}",
        caption=f"#{sample.index}  {size}",
    )


def _png(drawing: Image.Image) -> bytes:
    out = io.BytesIO()
    drawing.save(out, "PNG", optimize=True)
    return out.getvalue()
