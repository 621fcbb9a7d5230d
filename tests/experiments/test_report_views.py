"""Which figures stand where in the report's tables, against what the results say."""

from __future__ import annotations

import dataclasses
import statistics

import pytest

from jpegkeras.experiments.report import formatting
from jpegkeras.experiments.report.class_views import class_rows, coarse_cells, confusion
from jpegkeras.experiments.report.costs import learning_costs
from jpegkeras.experiments.report.views import NOT_EVALUATED, base_entries, study_tables
from jpegkeras.experiments.results import DONE, FAILED, PENDING, Results, Spread
from tests.experiments import fakes


def tables_of(results):
    return {table.name: table for table in study_tables(results)}


def entry_of(table, network, column):
    place = [found.key for found in table.columns].index(column)
    (row,) = (row for row in table.rows if row.network == network)
    return row.entries[place]


def test_a_table_a_study_and_one_a_way_of_evaluating():
    tables = tables_of(fakes.make_results())
    assert {name: [c.key for c in table.columns] for name, table in tables.items()} == {
        "difficulty": ["fine", "coarse"],
        "resolution": ["32", "64"],
        "resolution-one-network": ["32", "64"],
        "quality": ["25", "50", "75", "100"],
        "quality-one-network": ["25", "50", "75", "100"],
    }
    for table in tables.values():
        assert [row.network for row in table.rows] == ["rgb", "dct64", "fbs32", "fbs16"]


@pytest.mark.parametrize(
    ("name", "network", "column", "task", "resolution", "quality", "paper", "paper_drop"),
    [
        ("difficulty", "dct64", "fine", "fine", 64, 100, 70.28, 70.28 - 76.28),
        ("difficulty", "fbs16", "coarse", "coarse", 64, 100, 93.92, 93.92 - 96.49),
        ("resolution", "fbs32", "32", "coarse", 32, 100, 71.83, 71.83 - 81.82),
        ("quality", "fbs16", "25", "coarse", 64, 25, 92.69, 92.69 - 95.78),
        ("quality", "rgb", "100", "coarse", 64, 100, 96.49, None),
    ],
)
def test_figures_of_a_network_trained_at_each(
    name, network, column, task, resolution, quality, paper, paper_drop
):
    entry = entry_of(tables_of(fakes.make_results())[name], network, column)
    ours, baseline = (
        [100 * fakes.top1_of(key, task, resolution, quality, seed) for seed in (0, 1, 2)]
        for key in (network, "rgb")
    )
    assert entry.spread.mean == pytest.approx(statistics.fmean(ours))
    assert entry.spread.deviation == pytest.approx(statistics.stdev(ours))
    assert entry.spread.count == 3
    assert entry.paper == paper
    if network == "rgb":
        assert entry.drop is None
        assert entry.paper_drop is None
    else:
        expected = statistics.fmean(ours) - statistics.fmean(baseline)
        assert entry.drop == pytest.approx(expected)
        assert entry.paper_drop == pytest.approx(paper_drop)


def test_one_network_is_that_of_the_base_variant_evaluated_elsewhere():
    tables = tables_of(fakes.make_results())
    for name, column, file in (
        ("resolution-one-network", "32", "r32-q100.json"),
        ("resolution-one-network", "64", "r64-q100.json"),
        ("quality-one-network", "25", "r64-q25.json"),
        ("quality-one-network", "100", "r64-q100.json"),
    ):
        entry = entry_of(tables[name], "fbs32", column)
        assert [reading.evaluation.file for reading in entry.readings] == [
            f"runs/r64-q100-coarse/fbs32/seed{seed}/evaluations/{file}" for seed in (0, 1, 2)
        ]
    assert tables["quality-one-network"].trained.key == "100"
    assert tables["resolution-one-network"].trained.key == "64"


def test_what_is_pending_or_failed_is_counted_and_not_averaged():
    results = fakes.make_results(
        failed=lambda cell: (cell.network, cell.task, cell.seed) == ("dct64", "fine", 0),
        done=lambda cell: cell.seed < 2 and cell.network != "fbs16",
    )
    table = tables_of(results)["difficulty"]
    entry = entry_of(table, "dct64", "fine")
    assert [entry.count(state) for state in (DONE, FAILED, PENDING)] == [1, 1, 1]
    expected = 100 * fakes.top1_of("dct64", "fine", 64, 100, 1)
    assert entry.spread == Spread(pytest.approx(expected), None, 1)
    nothing = entry_of(table, "fbs16", "fine")
    assert (nothing.spread, nothing.drop, nothing.count(PENDING)) == (None, None, 3)
    assert nothing.paper == 68.12


def test_a_drop_needs_a_figure_of_rgb():
    results = fakes.make_results(done=lambda cell: cell.network != "rgb")
    entry = entry_of(tables_of(results)["quality"], "dct64", "25")
    assert entry.spread.count == 3
    assert entry.drop is None


def test_a_missing_evaluation_is_told_apart_from_a_pending_run():
    results = fakes.make_results()
    cells = tuple(dataclasses.replace(cell, others=()) for cell in results.cells)
    entry = entry_of(
        tables_of(dataclasses.replace(results, cells=cells))["quality-one-network"], "rgb", "25"
    )
    assert [reading.state for reading in entry.readings] == [NOT_EVALUATED] * 3
    assert entry.spread is None


def test_only_the_studies_that_were_planned_have_tables():
    results = fakes.make_results(studies=("quality",))
    assert list(tables_of(results)) == ["quality", "quality-one-network"]
    assert list(tables_of(fakes.make_results(studies=("difficulty",)))) == ["difficulty"]
    empty = Results(config={}, data={}, machine={})
    assert study_tables(empty) == []
    assert base_entries(empty) == {}


def test_classes_and_confusion_are_of_the_base_variant_over_seeds():
    results = fakes.make_results()
    own = [
        cell
        for cell in results.cells
        if (cell.network, cell.task, cell.resolution, cell.quality) == ("rgb", "coarse", 64, 100)
    ]
    assert len(own) == 3
    names, counts = confusion(coarse_cells(results)["rgb"])
    assert names == list(fakes.COARSE)
    assert counts[3][5] == sum(cell.confusion[3][5] for cell in own)
    rows = {row.name: row for row in class_rows(results)}
    assert set(rows) == set(fakes.COARSE)
    expected = statistics.fmean(100 * cell.classes[3]["top1"] for cell in own)
    assert rows[fakes.COARSE[3]].top1["rgb"] == pytest.approx(expected)
    means = [row.mean for row in class_rows(results)]
    assert means == sorted(means, reverse=True)


def test_a_class_without_test_images_has_no_row():
    results = fakes.make_results()
    cells = tuple(
        dataclasses.replace(cell, classes=({**cell.classes[0], "top1": None}, *cell.classes[1:]))
        for cell in results.cells
    )
    rows = class_rows(dataclasses.replace(results, cells=cells))
    assert [row.name for row in rows].count(fakes.COARSE[0]) == 0
    assert len(rows) == len(fakes.COARSE) - 1


def test_learning_costs_are_means_of_runs_of_a_kind():
    costs = learning_costs(fakes.make_results())
    # 3 seeds of 4 qualities at 64 pixels; of 1 quality at 32.
    kinds = {(cost.network, cost.task, cost.resolution): cost for cost in costs}
    assert {key[1:]: len(cost.cells) for key, cost in kinds.items()} == {
        ("coarse", 32): 3,
        ("coarse", 64): 12,
        ("fine", 64): 3,
    }
    cost = kinds["rgb", "coarse", 64]
    seconds = [cell.train_seconds for cell in cost.cells]
    assert cost.seconds == pytest.approx(sum(seconds) / 12)
    assert cost.images_per_second == pytest.approx(30 * 100_000 / cost.seconds)
    assert cost.total == 30 * 100_000 * cost.multiply_adds


@pytest.mark.parametrize(
    ("function", "value", "text"),
    [
        (formatting.points, -2.344, "−2.34"),
        (formatting.points, 0.38, "+0.38"),
        (formatting.points, -0.001, "0.00"),
        (formatting.amount, 3_858_000_000, "3.86 G"),
        (formatting.amount, 999_600, "1.00 M"),
        (formatting.amount, 85_300_000, "85.3 M"),
        (formatting.amount, 999.4, "999"),
        (formatting.amount, 12.34, "12.3"),
        (formatting.duration, 4.2, "4.20 s"),
        (formatting.duration, 41.3, "41 s"),
        (formatting.duration, 318, "5.30 min"),
        (formatting.duration, 9000, "2.50 h"),
        (formatting.plus_minus, Spread(94.154, None, 1), "94.15"),
        (formatting.plus_minus, Spread(94.154, 0.2, 3), "94.15 ±0.20"),
    ],
)
def test_numbers_as_text(function, value, text):
    assert function(value) == text
