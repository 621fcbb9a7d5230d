"""What each DCT band tells about the class: `python -m jpegkeras.band_information --data_dir=DIR`.

`measurement` says what is measured.
"""

from jpegkeras.band_information.measurement import (
    BandInformation,
    load_information,
    measure_information,
    mutual_information,
    summarize,
)

__all__ = [
    "BandInformation",
    "load_information",
    "measure_information",
    "mutual_information",
    "summarize",
]
