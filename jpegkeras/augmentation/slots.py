"""Which of an image's random numbers decides what.

Every record of an epoch has `NUM_DRAWS` numbers, uniform in [0, 1), that depend on the seed, the
epoch and its place in the epoch's order alone. Slots are fixed, so that one augmentation more does
not change what the others do.
"""

from __future__ import annotations

from jpegkeras.packed_batches import DRAWS

NUM_DRAWS = DRAWS

# 0, 1 and 2 are the crop's and the flip's: `jpegkeras.packed_batches` names them.
ORIENTATION = 3
ZOOM = 4
ZOOM_DOWN = 5
ZOOM_ACROSS = 6
TRANSLATION_DOWN = 7
TRANSLATION_ACROSS = 8
BRIGHTNESS = 9
CONTRAST = 10
SATURATION = 11
HUE = 12
CUTOUT = 13
CHROMA_DROP = 14
MIXUP = 15
