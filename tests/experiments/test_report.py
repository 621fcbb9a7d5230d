"""The files of the report: what is in them, that any results can be reported, and told alike."""

from __future__ import annotations

import csv
import dataclasses
import html.parser
import io
import json
import subprocess
import sys
import urllib.parse
import xml.etree.ElementTree

import pytest
import rich.console
from PIL import Image

from jpegkeras.experiments.report import __main__ as command
from jpegkeras.experiments.report import print_tables, write_report
from jpegkeras.experiments.results import Results, save_results
from tests.experiments import fakes

NASTY = '<script>alert("1")</script> & $x_1$ \'a\' "b"'
# Elements of HTML without an end.
VOID = {"meta", "br", "img", "link", "hr", "input"}


class Page(html.parser.HTMLParser):
    """What a page has: elements, text, and that each element ends where it should."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.words, self.open = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def links(self):
        return [attrs["href"] for tag, attrs in self.elements if tag == "a"]


def read_page(folder):
    return Page((folder / "report.html").read_text("utf-8"))


def read_rows(path):
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8"))))


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    results = fakes.make_results(
        failed=lambda cell: (cell.network, cell.task, cell.seed) == ("dct64", "fine", 0),
        done=lambda cell: (cell.network, cell.variant.quality) != ("fbs16", 25),
    )
    return folder, results, write_report(results, folder)


def test_the_files_of_a_report(report):
    folder, _, paths = report
    assert paths[0] == folder / "report.html"
    assert sorted(paths) == sorted(path for path in folder.rglob("*") if path.is_file())
    plots = [
        "difficulty",
        "resolution",
        "resolution-one-network",
        "quality",
        "quality-one-network",
        "multiply-adds",
        "speed",
        "learning-cost",
        "per-class",
        "confusion-rgb",
        "confusion-dct64",
        "confusion-fbs32",
        "confusion-fbs16",
    ]
    assert {path.name for path in (folder / "plots").iterdir()} == {
        f"{name}.{form}" for name in plots for form in ("svg", "png")
    }
    assert {path.name for path in folder.glob("*.csv")} == {
        f"{name}.csv"
        for name in [
            "complexity",
            "difficulty",
            "resolution",
            "resolution-one-network",
            "quality",
            "quality-one-network",
            "per-class",
            "learning-cost",
            "speed",
        ]
    }


def test_plots_are_pictures_with_something_on_them(report):
    folder, _, _ = report
    for path in (folder / "plots").glob("*.png"):
        with Image.open(path) as image:
            assert min(image.size) > 300
            assert len(image.convert("RGB").getcolors(1 << 24)) > 10
    for path in (folder / "plots").glob("*.svg"):
        assert xml.etree.ElementTree.parse(path).getroot().tag.endswith("svg")


def test_the_page_needs_nothing_else(report):
    folder, _, _ = report
    page = read_page(folder)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "object", "img"}
    for _, attributes in page.elements:
        for name, value in attributes.items():
            assert name != "src"
            assert "//" not in (value or ""), (name, value)
    assert "@import" not in (folder / "report.html").read_text("utf-8")
    assert [tag for tag, _ in page.elements].count("svg") == 13


def test_ids_are_told_apart_and_links_lead_somewhere(report):
    folder, results, paths = report
    page = read_page(folder)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    # Of clip paths and marks; the same content has the same id.
    own = [name for name in ids if name.startswith("from-")]
    assert len(own) == len(set(own))
    known = {str(path.relative_to(folder)) for path in paths} | {"results.json"}
    for cell in results.cells:
        known |= {f"{cell.run}/cell.json", f"{cell.run}/log.txt"}
        known |= {found.file for found in (cell.own, *cell.others) if found}
    for target in page.links():
        if target.startswith("#"):
            assert target[1:] in ids
        else:
            assert urllib.parse.unquote(target) in known


def test_every_evaluation_is_named_on_the_page(report):
    folder, results, _ = report
    targets = {urllib.parse.unquote(target) for target in read_page(folder).links()}
    for cell in results.cells:
        for evaluation in (cell.own, *cell.others):
            if evaluation is not None:
                assert evaluation.file in targets


def test_the_page_says_whose_data_and_what_is_not_done(report):
    folder, results, _ = report
    text = read_page(folder).text
    states = [cell.state for cell in results.cells]
    assert f"{states.count('done')} of {len(states)} runs done" in text
    for words in (
        "This is not the paper’s data.",
        "Here: 200 classes, 12 coarse classes, 100,000 training images.",
        "ImageNet's images at 64×64 pixels; 12 groups of our own.",
        "tiny_imagenet",
        "NVIDIA H200",
        "2026-01-31",
        "the loss is nan at step 120; it has diverged.",
        "3 pending",
        "2 of 3 seeds",
    ):
        assert words in text


def test_csv_rows_are_seeds_with_their_files(report):
    folder, results, _ = report
    rows = read_rows(folder / "quality-one-network.csv")
    assert len(rows) == 4 * 4 * 3
    by_key = {cell.key: cell for cell in results.cells}
    cells = {cell.run: cell for cell in by_key.values()}
    for row in rows:
        cell = cells[row["run"]]
        (evaluation,) = (
            found
            for found in (cell.own, *cell.others)
            if (found.quality, found.resolution) == (int(row["column"]), 64)
        )
        assert row["file"] == evaluation.file
        assert float(row["top1_percent"]) == pytest.approx(100 * evaluation.top1, abs=1e-6)
        assert (row["network"], int(row["seed"])) == (cell.network, cell.seed)
        assert float(row["paper_top1_percent"]) > 90
    states = [row["state"] for row in read_rows(folder / "quality.csv") if row["column"] == "25"]
    assert sorted(states) == ["done"] * 9 + ["pending"] * 3
    (failed,) = (row for row in read_rows(folder / "difficulty.csv") if row["state"] == "failed")
    assert (failed["network"], failed["top1_percent"], failed["file"]) == ("dct64", "", "")
    assert "diverged" in failed["error"]


def test_the_same_results_give_the_same_bytes(report, tmp_path):
    folder, results, paths = report
    write_report(results, tmp_path)
    for path in paths:
        again = tmp_path / path.relative_to(folder)
        assert again.read_bytes() == path.read_bytes(), path.name


def test_what_is_data_is_escaped(tmp_path):
    results = fakes.make_results(
        fakes.make_config(seeds=(0,), resolutions=(64,)),
        failed=lambda cell: cell.network == "fbs16",
    )
    cells = []
    for cell in results.cells:
        own = cell.own and dataclasses.replace(cell.own, file=f"runs/{NASTY}.json")
        classes = tuple({**row, "class": f"$x_1$ <b>{i}"} for i, row in enumerate(cell.classes))
        key = f"javascript:{NASTY}{cell.key}"
        cells.append(
            dataclasses.replace(
                cell, key=key, run=key, error=cell.error and NASTY, own=own, classes=classes
            )
        )
    results = dataclasses.replace(
        results,
        cells=tuple(cells),
        data={**results.data, "title": NASTY, "note": NASTY, "source": NASTY},
        config={**results.config, "name": NASTY},
        machine={NASTY: NASTY},
        speed={**results.speed, "where": NASTY},
    )
    write_report(results, tmp_path)
    page = read_page(tmp_path)
    assert "script" not in {tag for tag, _ in page.elements}
    assert NASTY in page.text
    assert not any(target.startswith("javascript:") for target in page.links())
    # As letters, not as a formula.
    assert "$x_1$" in (tmp_path / "plots" / "per-class.svg").read_text("utf-8")
    console = rich.console.Console(width=100, file=io.StringIO())
    print_tables(results, console)
    assert f"failed: javascript:{NASTY}" in console.file.getvalue()


@pytest.mark.parametrize(
    "results",
    [
        Results(config={}, data={}, machine={}),
        fakes.make_results(done=lambda cell: False),
        fakes.make_results(failed=lambda cell: True),
        fakes.make_results(done=lambda cell: cell.key == "r64-q100-coarse/rgb/seed0"),
        fakes.make_results(fakes.make_config(networks=("fbs16",), seeds=(7,)), ("resolution",)),
        fakes.make_results(fakes.make_config(resolution=48)),
    ],
    ids=["nothing", "pending", "failed", "first", "one network", "base apart"],
)
def test_any_stage_of_a_study_can_be_reported(tmp_path, results):
    paths = write_report(results, tmp_path)
    assert all(path.stat().st_size for path in paths)
    page = read_page(tmp_path)
    assert "not the paper’s data" in page.text
    console = rich.console.Console(width=100, file=io.StringIO())
    print_tables(results, console)
    assert "nan" not in page.text.replace("the loss is nan", "")


def test_networks_other_than_the_papers_can_be_reported(tmp_path):
    results = fakes.make_results(fakes.make_config(seeds=(0,)))
    cells = tuple(
        dataclasses.replace(
            cell, network={"fbs16": "energy:16 $a_b$"}.get(cell.network, cell.network)
        )
        for cell in results.cells
    )
    write_report(dataclasses.replace(results, cells=cells), tmp_path)
    assert "energy:16 $a_b$" in read_page(tmp_path).text
    assert (tmp_path / "plots" / "confusion-energy-16--a-b-.png").exists()


def test_results_of_a_file_are_reported_alike(report, tmp_path, capsys):
    folder, results, paths = report
    save_results(results, tmp_path)
    assert command.main([str(tmp_path)]) == 0
    assert f"Wrote {tmp_path / 'report.html'} and {len(paths) - 1} files" in (
        " ".join(capsys.readouterr().out.split())
    )
    same = (tmp_path / "report.html").read_bytes()
    assert same == (folder / "report.html").read_bytes()


@pytest.mark.parametrize("content", [None, "{", json.dumps({"schema_version": 99})])
def test_a_folder_without_results_is_told_in_a_line(tmp_path, capsys, content):
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    assert command.main([str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path / 'results.json'}: ")
    assert error.count("\n") == 1


def test_tables_fit_a_terminal_of_100_columns():
    console = rich.console.Console(width=100, file=io.StringIO())
    config = fakes.make_config(qualities=(10, 25, 50, 75, 90, 100))
    results = fakes.make_results(
        config,
        failed=lambda cell: (cell.network, cell.task, cell.seed) == ("dct64", "fine", 0),
    )
    print_tables(results, console)
    text = console.file.getvalue()
    lines = [line for line in text.splitlines() if not line.startswith("failed:")]
    assert max(map(len, lines)) <= 100
    for words in ("3.858", "5.40", "quality 10", "quality 90, trained"[:10], "paper 96.49"):
        assert words in text
    # What does not fit would be cut.
    assert "…" not in text
    assert "1 failed" in text
    assert "failed: r64-q100-fine/dct64/seed0: the loss is nan" in text


def test_the_report_loads_without_tensorflow():
    code = (
        "import sys, jpegkeras.experiments.report\n"
        "print(sorted({'tensorflow', 'keras', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "[]\n", result.stderr
