"""The paper's four networks, and its figures (dos Santos et al., ICIP 2020); and networks on other
bands than the lowest.
"""

from __future__ import annotations

import dataclasses

DIFFICULTY, RESOLUTION, QUALITY = "difficulty", "resolution", "quality"
#: The study that is not the paper's: which bands, of equally many.
BANDS = "bands"


@dataclasses.dataclass(frozen=True)
class StudiedNetwork:
    """A network of the paper's tables and the one here that stands for it, or one on other bands.

    `approach` and `input_channels` as the paper has them; `model` and `num_frequencies` for
    `build_model`. `paper_gflops`: 10⁹ multiply–adds an image, and `paper_parameters`: 10⁶, as the
    paper prints them for 224×224 pixels and 1000 classes. `bands`, a text of `--bands`, stands for
    other bands than the lowest, 3 × `num_frequencies` in all, so that the cost is the same; the
    paper has no such network.
    """

    key: str
    title: str
    approach: str
    input_channels: str
    model: str
    num_frequencies: int
    paper_gflops: float | None = None
    paper_parameters: float | None = None
    bands: str = ""

    @property
    def selection(self) -> str:
        """Its bands as a text of `--bands`."""
        return self.bands or f"lowest:{self.num_frequencies}"


NETWORKS = {
    network.key: network
    for network in (
        StudiedNetwork("rgb", "RGB", "ResNet-50 + RGB", "3x1", "resnet50_rgb", 64, 3.86, 25.6),
        StudiedNetwork(
            "dct64", "DCT 3×64", "ResNet-50 + DCT", "3x64", "resnet50_dct", 64, 5.40, 28.4
        ),
        StudiedNetwork(
            "fbs32", "FBS 3×32", "ResNet-50 + DCT + FBS", "3x32", "resnet50_dct", 32, 3.68, 26.2
        ),
        StudiedNetwork(
            "fbs16", "FBS 3×16", "ResNet-50 + DCT + FBS", "3x16", "resnet50_dct", 16, 3.18, 25.6
        ),
    )
}

#: The network of the paper that `SELECTIONS` are compared with.
LOWEST = "fbs16"

#: Other ways to choose as many bands as `LOWEST` has.
SELECTIONS = {
    network.key: network
    for network in (
        StudiedNetwork(key, bands, "ResNet-50 + DCT", "48", "resnet50_dct", 16, bands=bands)
        for key, bands in (
            ("y32c8", "y:32,c:8"),
            ("set48", "channels:48"),
            ("energy16", "energy:16"),
            ("info16", "information:16"),
            ("learned16", "learned:16"),
        )
    )
}

#: Study → network → column → the paper's top-1 in per cent: on 211 classes of ImageNet, which it
#: does not name ("fine"), or 12 groups of them ("coarse" and everything else).
PAPER_TOP1: dict[str, dict[str, dict[str, float]]] = {
    DIFFICULTY: {
        "rgb": {"fine": 76.28, "coarse": 96.49},
        "dct64": {"fine": 70.28, "coarse": 94.15},
        "fbs32": {"fine": 69.79, "coarse": 94.53},
        "fbs16": {"fine": 68.12, "coarse": 93.92},
    },
    RESOLUTION: {
        "rgb": {"32": 81.82, "64": 90.39, "128": 94.56, "256": 96.49},
        "dct64": {"32": 72.72, "64": 82.06, "128": 90.32, "256": 94.15},
        "fbs32": {"32": 71.83, "64": 82.22, "128": 90.78, "256": 94.53},
        "fbs16": {"32": 70.35, "64": 81.35, "128": 90.16, "256": 93.92},
    },
    QUALITY: {
        "rgb": {"25": 95.78, "50": 95.98, "75": 96.09, "100": 96.49},
        "dct64": {"25": 93.84, "50": 94.02, "75": 94.50, "100": 94.15},
        "fbs32": {"25": 93.63, "50": 93.97, "75": 94.20, "100": 94.53},
        "fbs16": {"25": 92.69, "50": 93.26, "75": 93.66, "100": 93.92},
    },
}


def network_of(key: str) -> StudiedNetwork:
    """Returns a network of `NETWORKS` or `SELECTIONS`; raises KeyError."""
    return NETWORKS[key] if key in NETWORKS else SELECTIONS[key]
