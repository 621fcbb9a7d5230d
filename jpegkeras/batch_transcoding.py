"""Many JPEGs' bytes → coefficients, as `transcode` gives them one by one, but sooner.

Files that can stay as they are (the usual case of a data set that was brought to its size before)
are read in one batch, and no more of their frequencies than are kept.
"""

from __future__ import annotations

from collections.abc import Sequence

from jpegkeras.jpeg import JpegCoefficients, read_batch
from jpegkeras.transcoding import UNTOUCHED, Transcoded, Transcoding, transcode

_UPRIGHT = 1
# Of a batch, those that were as wanted, at least, for another batch to be tried.
_WORTHWHILE = 0.5


class BatchTranscoder:
    """Transcodes batches of files of one data set with the same settings."""

    def __init__(self, settings: Transcoding):
        self._settings = settings
        self._tries = settings.quality is None and settings.downscale == 1

    def transcode(self, items: Sequence[bytes]) -> list[Transcoded | Exception]:
        """Returns for each file what `transcode` returns, or the exception that it raises.

        Raises MemoryError, which is no fault of a file.
        """
        if not self._tries or len(items) < 2:
            return [self._one(data) for data in items]
        count = self._settings.num_frequencies
        read = read_batch(items, count, 1, on_error="return")
        kept = [self._is_as_wanted(image) for image in read]
        self._tries = sum(kept) >= _WORTHWHILE * len(items)
        return [
            Transcoded(image, UNTOUCHED) if is_kept else self._one(data)
            for data, image, is_kept in zip(items, read, kept)
        ]

    def _is_as_wanted(self, image: JpegCoefficients | Exception) -> bool:
        settings = self._settings
        return (
            not isinstance(image, Exception)
            and not image.rgb
            and image.subsampling == settings.subsampling
            and settings.smallest_side in (None, min(image.height, image.width))
            and (image.orientation == _UPRIGHT or not settings.respect_orientation)
        )

    def _one(self, data: bytes) -> Transcoded | Exception:
        try:
            return transcode(data, self._settings)
        except MemoryError:
            raise
        except Exception as error:  # One odd file must not stop a job over a million files.
            return error
