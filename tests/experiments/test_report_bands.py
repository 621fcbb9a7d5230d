"""The report of the study of bands."""

from __future__ import annotations

import collections
import csv
import dataclasses
import io
import json

import matplotlib.colors
import matplotlib.figure
import pytest
import rich.console

from jpegkeras.bands import Bands, published_bands
from jpegkeras.experiments.networks import BANDS, LOWEST, SELECTIONS
from jpegkeras.experiments.report import print_tables, write_report
from jpegkeras.experiments.report.band_views import band_rows
from jpegkeras.experiments.report.costs import learning_costs
from jpegkeras.experiments.report.palette import FILL
from jpegkeras.experiments.report.plots import make_plots
from jpegkeras.experiments.report.views import base_entries
from jpegkeras.experiments.results import load_results, save_results
from tests.experiments import fakes
from tests.experiments.test_report import read_page

STUDIES = (*fakes.STUDIES, BANDS)
ONCE = {"seeds": (0,)}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    save_results(fakes.make_results(studies=(BANDS,)), folder)
    results = load_results(folder)
    write_report(results, folder)
    return folder, results


def test_rows_compare_means_over_seeds_with_the_lowest(report):
    _, results = report
    rows = {row.network: row for row in band_rows(results)}
    assert list(rows) == [LOWEST, *SELECTIONS]
    assert [row.selection for row in rows.values()] == [
        "lowest:16",
        "y:32,c:8",
        "channels:48",
        "energy:16",
        "information:16",
        "learned:16",
    ]

    def mean(network):
        return 100 * sum(fakes.top1_of(network, "coarse", 64, 100, seed) for seed in range(3)) / 3

    for network in SELECTIONS:
        assert rows[network].entry.spread.mean == pytest.approx(mean(network))
        assert rows[network].difference == pytest.approx(mean(network) - mean(LOWEST))
    assert rows[LOWEST].difference is None
    assert rows[LOWEST].bands == (Bands.lowest(16, 16, 16),) * 3
    assert rows["set48"].bands == (published_bands(48),) * 3
    assert rows["learned16"].counts == [(30, 12, 6), (31, 11, 6), (32, 10, 6)]
    assert rows["learned16"].gated.mean == pytest.approx(mean("learned16") + 2)
    assert rows["energy16"].gated is None


def test_bands_that_only_a_training_tells_are_unknown_before_it():
    results = fakes.make_results(
        studies=(BANDS,), done=lambda cell: False, failed=lambda cell: cell.network == "energy16"
    )
    known = {row.network: len(row.bands) for row in band_rows(results)}
    assert known == dict.fromkeys(known, 0) | {LOWEST: 3, "y32c8": 3, "set48": 3}
    console = rich.console.Console(file=io.StringIO(), width=100)
    print_tables(results, console)
    assert "3 failed" in console.file.getvalue()
    assert [plot.name for plot in make_plots(results)] == [BANDS]


def test_the_other_tables_are_as_without_them(tmp_path):
    with_bands, without = (
        fakes.make_results(fakes.make_config(**ONCE), studies=studies)
        for studies in (STUDIES, fakes.STUDIES)
    )
    assert band_rows(without) == []
    assert list(base_entries(with_bands)) == list(base_entries(without))
    names = [plot.name for plot in make_plots(without)]
    assert [plot.name for plot in make_plots(with_bands)] == [*names[:5], BANDS, *names[5:]]
    networks = {cost.network for cost in learning_costs(with_bands)}
    assert {*SELECTIONS} <= networks


def test_results_of_before_there_were_bands_are_read(tmp_path):
    results = fakes.make_results(fakes.make_config(**ONCE), studies=("quality",))
    save_results(results, tmp_path)
    path = tmp_path / "results.json"
    content = json.loads(path.read_text())
    for cell in content["cells"]:
        del cell["bands"], cell["gate"]
    path.write_text(json.dumps(content))
    found = load_results(tmp_path).cells
    assert [dataclasses.asdict(cell)["gate"] for cell in found] == [None] * len(found)
    assert [cell.own for cell in found] == [cell.own for cell in results.cells]


def test_the_page_the_csv_and_the_terminal_say_the_same(report):
    folder, results = report
    page = read_page(folder)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert "bands" in ids
    rows = band_rows(results)
    console = rich.console.Console(file=io.StringIO(), width=100)
    print_tables(results, console)
    said = console.file.getvalue()
    assert max(map(len, said.splitlines())) <= 100
    for row in rows:
        for text in (row.selection, f"{row.entry.spread.mean:.2f}"):
            assert text in page.text
            assert text in said
        assert f"from-bands-{row.network}" in ids
    lines = list(csv.DictReader((folder / "bands.csv").open(encoding="utf-8")))
    assert len(lines) == 3 * len(rows)
    learned = [line for line in lines if line["selection"] == "learned:16"]
    assert [line["y_bands"] for line in learned] == ["30", "31", "32"]
    assert learned[0]["bands"] == "y=0-28+40,cb=0-11,cr=0-5"
    assert all(line["gated_file"] in page.links() for line in learned)
    gates = [cell.gate for cell in results.cells if cell.gate]
    assert all(gate.bands_file in page.links() for gate in gates)
    assert (folder / "plots" / "bands.png").is_file()


def squares_of(axes):
    """The squares of a map: (row, column) → how opaque, 0 where nothing is chosen."""
    found = {}
    for patch in axes.patches:
        chosen = matplotlib.colors.same_color(patch.get_facecolor()[:3], FILL)
        # Four corners and the end of each.
        for corners in patch.get_path().vertices.reshape(-1, 5, 2):
            column, row = corners[:4].mean(axis=0).round().astype(int).tolist()
            assert (row, column) not in found
            found[row, column] = patch.get_alpha() if chosen else 0
    return found


def test_the_maps_show_each_band_at_its_place(report):
    _, results = report
    (plot,) = (plot for plot in make_plots(results) if plot.name == BANDS)
    figure = matplotlib.figure.Figure()
    plot.draw(figure)
    assert len(figure.axes) == 6 * 3
    maps = [squares_of(axes) for axes in figure.axes]
    assert {frozenset(found) for found in maps} == {
        frozenset((row, column) for row in range(8) for column in range(8))
    }
    # The published set, as it is published: row by row.
    luma, chroma, _ = maps[6:9]
    assert {place for place, share in luma.items() if share == 1} == {
        *((row, column) for row in range(4) for column in range(6)),
        *((row, column) for row in (4, 5) for column in range(4)),
    }
    assert {place for place, share in chroma.items() if share == 1} == {
        *((row, column) for row in range(2) for column in range(3)),
        (2, 0),
        (2, 1),
    }
    # Of three seeds: 30 bands of all, two of fewer.
    shares = collections.Counter(round(share, 3) for share in maps[15].values())
    assert shares == {1: 30, 0.667: 1, 0.333: 1, 0: 32}
    assert [axes.get_title() for axes in figure.axes[-3:]] == [
        "Y: 30, 31, 32",
        "Cb: 12, 11, 10",
        "Cr: 6",
    ]
