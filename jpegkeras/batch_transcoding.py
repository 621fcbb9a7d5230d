"""Many JPEGs' bytes → packed images: what `transcode` and `pack_image` make of each, but sooner.

Files that can stay as they are (the usual case of a data set that was brought to its size before)
are read in one batch, no more of their frequencies than are kept, and packed on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from jpegkeras.packed_reading import Form, read_packed
from jpegkeras.record_format import PackedImage, pack_image
from jpegkeras.transcoding import UNTOUCHED, Transcoding, transcode

_UPRIGHT = 1
# Of a batch, those that were as wanted, at least, for another batch to be tried.
_WORTHWHILE = 0.5


class PackedResult(NamedTuple):
    """The packed image, and the route and the reasons of `Transcoded`."""

    image: PackedImage
    route: str
    reasons: tuple[str, ...] = ()


class BatchTranscoder:
    """Transcodes and packs batches of files of one data set with the same settings."""

    def __init__(self, settings: Transcoding):
        self._settings = settings
        self._tries = settings.quality is None and settings.downscale == 1

    def transcode(self, items: Sequence[bytes]) -> list[PackedResult | Exception]:
        """Returns for each file what `transcode` makes of it, or the exception that it raises.

        Images of a batch may share memory. Raises MemoryError, which is no fault of a file.
        """
        if not self._tries or len(items) < 2:
            return [self._one(data) for data in items]
        packed = read_packed(items, self._settings.num_frequencies, self._is_as_wanted)
        self._tries = sum(image is not None for image in packed) >= _WORTHWHILE * len(items)
        return [
            self._one(data) if image is None else PackedResult(image, UNTOUCHED)
            for data, image in zip(items, packed)
        ]

    def _is_as_wanted(self, form: Form) -> bool:
        settings = self._settings
        return (
            not form.rgb
            and form.sampling == settings.subsampling
            and settings.smallest_side in (None, min(form.height, form.width))
            and (form.orientation == _UPRIGHT or not settings.respect_orientation)
        )

    def _one(self, data: bytes) -> PackedResult | Exception:
        try:
            done = transcode(data, self._settings)
            return PackedResult(pack_image(done.image), done.route, done.reasons)
        except MemoryError:
            raise
        except Exception as error:  # One odd file must not stop a job over a million files.
            return error
