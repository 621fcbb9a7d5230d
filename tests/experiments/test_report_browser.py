"""The page in a browser: something is seen, and it does not scroll sideways."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from jpegkeras.experiments.networks import BANDS
from jpegkeras.experiments.report import write_report
from tests.experiments import fakes

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
needs_browser = pytest.mark.skipif(
    BROWSER is None, reason=f"none of {', '.join(BROWSERS)} is installed (Debian: chromium)"
)
WIDE, NARROW = 1280, 390

# The window of a browser without a screen has a least width; a frame has none.
FRAME = """<!DOCTYPE html><html><body style="margin:0">
<iframe src="page.html" style="border:0; width:{width}px; height:{height}px"></iframe>
</body></html>"""
MEASURE = """<script>
addEventListener("load", () => {
  const root = document.documentElement;
  const boxes = [...document.querySelectorAll("main *")].filter(
    (node) => !node.closest(".scroll > *, svg *") && node.getClientRects().length);
  const right = Math.max(...boxes.map((node) => node.getBoundingClientRect().right));
  const scrolled = [...document.querySelectorAll("section > .scroll, .pair .scroll")].filter(
    (node) => !node.closest("details") && node.scrollWidth > node.clientWidth).length;
  parent.document.title = JSON.stringify(
    {width: innerWidth, page: root.scrollWidth, right, scrolled, height: root.scrollHeight});
});
</script>"""


def browse(folder, *arguments):
    command = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--disable-dev-shm-usage",
        "--allow-file-access-from-files",
        f"--user-data-dir={folder / 'profile'}",
        *arguments,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def measure(folder, width):
    """The sizes of the page in a window of a width, as the page itself sees them."""
    page = (folder / "report.html").read_text("utf-8")
    (folder / "page.html").write_text(page.replace("</body>", f"{MEASURE}</body>"), "utf-8")
    (folder / "frame.html").write_text(FRAME.format(width=width, height=900), "utf-8")
    dump = browse(folder, "--window-size=1400,1000", "--dump-dom", (folder / "frame.html").as_uri())
    return json.loads(html.unescape(re.search("<title>(.*?)</title>", dump).group(1)))


def photograph(folder, width, height):
    (folder / "page.html").write_bytes((folder / "report.html").read_bytes())
    (folder / "frame.html").write_text(FRAME.format(width=width, height=height), "utf-8")
    path = folder / f"screen-{width}.png"
    browse(
        folder,
        f"--window-size={max(width, 600)},{height}",
        f"--screenshot={path}",
        (folder / "frame.html").as_uri(),
    )
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))[:, :width]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    results = fakes.make_results(
        studies=(*fakes.STUDIES, BANDS),
        failed=lambda cell: cell.key == "r64-q100-fine/dct64/seed0",
        done=lambda cell: cell.key != "r64-q25-coarse/fbs16/seed2",
    )
    write_report(results, folder)
    return folder


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_page_never_scrolls_sideways(folder, width):
    sizes = measure(folder, width)
    assert sizes["width"] == width
    assert sizes["page"] <= width
    assert sizes["right"] <= width
    assert sizes["height"] > 3000
    # The wide tables scroll in boxes of their own.
    assert (sizes["scrolled"] > 0) == (width == NARROW)


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_something_is_seen(folder, width):
    pixels = photograph(folder, width, 1600)
    assert pixels.shape[:2] == (1600, width)
    for quarter in np.array_split(pixels, 4):
        # Ground, ink and more, all the way down.
        assert len(np.unique(quarter.reshape(-1, 3), axis=0)) > 20
