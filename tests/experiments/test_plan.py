"""Which cells the studies have, what they cost, and how that is shown before anything runs."""

from __future__ import annotations

import dataclasses
import io

import pytest
import rich.console

from jpegkeras.errors import InputError
from jpegkeras.experiments import estimates, listing
from jpegkeras.experiments.cell_files import CellSpec, Records, training_of
from jpegkeras.experiments.cells import Cell, Variant, plan_cells, variants_of
from jpegkeras.experiments.config import PRESETS, StudyConfig
from jpegkeras.experiments.datasets import DataSets, Input
from jpegkeras.experiments.folder import Study, join
from jpegkeras.experiments.networks import (
    BANDS,
    DIFFICULTY,
    LOWEST,
    QUALITY,
    RESOLUTION,
    SELECTIONS,
)
from jpegkeras.experiments.progress import RunState, StudyProgress, read_state
from tests.experiments.studies import ALL, CONFIG, STAND_INS, request, run


def show(asked, **options):
    out = io.StringIO()
    listing.show(asked, rich.console.Console(file=out, width=120), STAND_INS, **options)
    return out.getvalue()


def test_the_papers_studies_have_each_training_once():
    cells = plan_cells(StudyConfig(), ALL)
    # Fine; coarse at 256 and 100, which three tables share; three resolutions; three qualities.
    assert len(cells) == 4 * (1 + 1 + 3 + 3)
    assert len({cell.key for cell in cells}) == len(cells)
    base = [cell for cell in cells if cell.variant == Variant(256, 100) and cell.task == "coarse"]
    assert {cell.studies for cell in base} == {ALL}
    assert {len(cell.evaluated_on) for cell in base} == {6}
    assert len(variants_of(cells)) == 7


def test_the_study_of_bands_shares_the_cell_of_the_lowest():
    papers, bands = plan_cells(StudyConfig(), ALL), plan_cells(StudyConfig(), (BANDS,))
    assert [cell.network for cell in bands] == [LOWEST, *SELECTIONS]
    assert {(cell.variant, cell.task) for cell in bands} == {(Variant(256, 100), "coarse")}
    both = plan_cells(dataclasses.replace(StudyConfig(), seeds=(0, 1)), (*ALL, BANDS))
    assert len(both) == len({cell.key for cell in both}) == 2 * (len(papers) + len(SELECTIONS))
    for cell in both:
        expected = cell.variant == Variant(256, 100) and cell.task == "coarse"
        expected = expected and cell.network in (LOWEST, *SELECTIONS)
        assert (BANDS in cell.studies) == expected
    # The rest of the plan is as it would be without them.
    first = [cell for cell in both if cell.seed == 0 and cell.network not in SELECTIONS]
    assert [(cell.key, cell.evaluated_on) for cell in first] == [
        (cell.key, cell.evaluated_on) for cell in papers
    ]
    # Whichever networks the other studies have.
    few = plan_cells(StudyConfig(networks=("rgb",)), (QUALITY, BANDS))
    assert {cell.network for cell in few if BANDS in cell.studies} == {LOWEST, *SELECTIONS}


@pytest.mark.parametrize(
    ("network", "training", "whole", "sizes"),
    [
        (
            "rgb",
            "c1fbe41650caf1f019be980e947de805019c2147b66e970a46955d9b3d012601",
            "f620d2239ea4e3764dac49097fb8a731b37fbccb8cef3b84261cb55e879b0562",
            ["resnet50_rgb/64/32/12", "resnet50_rgb/64/64/12"],
        ),
        (
            "fbs16",
            "b3e80996b5d50385514f931eefd49ada43bc4474fd20beacb8e350e85e18e1a3",
            "db4902d4953f008b158f87978f461a4359ef714ba8f81fbcbb970aac1398a8ab",
            ["resnet50_dct/16/32/12", "resnet50_dct/16/64/12"],
        ),
    ],
)
def test_folders_of_before_there_were_bands_stay_valid(network, training, whole, sizes):
    variants = (Variant(64, 100), Variant(32, 100), Variant(64, 25))
    records = {
        variant.key: Records(f"/x/{variant.key}", f"digest of {variant.key}")
        for variant in variants
    }
    cell = Cell(network, variants[0], "coarse", 1, variants[1:], (RESOLUTION, QUALITY))
    spec = CellSpec(cell, training_of(cell, PRESETS["tiny_imagenet"]), "/out", records)
    assert cell.key == f"r64-q100-coarse/{network}/seed1"
    assert (spec.training_digest, spec.digest) == (training, whole)
    assert [size.key for size in estimates.network_sizes([cell], {"coarse": 12})] == sizes
    # A table more leaves it as it is.
    more = dataclasses.replace(cell, studies=(*cell.studies, BANDS))
    assert dataclasses.replace(spec, cell=more).digest == whole


def test_learned_bands_are_twice_the_work():
    cells = {cell.network: cell for cell in plan_cells(CONFIG, (BANDS,))}
    classes, records = {"coarse": 2}, {"train": 30, "test": 6}
    (size,) = estimates.network_sizes(cells.values(), classes)
    works = {
        key: estimates.work_of(cell, training_of(cell, CONFIG), records, classes, {size.key: 1000})
        for key, cell in cells.items()
    }
    assert len({work.cost for key, work in works.items() if key != "learned16"}) == 1
    assert works["learned16"].cost == 2 * works["energy16"].cost
    assert works["learned16"].steps == works["energy16"].steps
    # As long as the network of the paper with as many bands.
    pace = estimates.Pace({"rgb": 2.0, LOWEST: 4.0})
    assert pace.seconds("energy16", 10) == 40


def test_the_work_of_a_cell_is_what_one_counts_by_hand():
    (cell,) = plan_cells(
        dataclasses.replace(CONFIG, networks=("rgb",), resolutions=(32, 48)), (RESOLUTION,)
    )[:1]
    classes = {"fine": 3, "coarse": 2}
    sizes = estimates.network_sizes([cell], classes)
    assert [(size.image_size, size.num_classes) for size in sizes] == [(32, 2), (48, 2)]
    costs = {size.key: size.image_size for size in sizes}
    records = {"train": 30, "test": 6}
    work = estimates.work_of(cell, CONFIG.training, records, classes, costs)
    # 7 batches of 4 in 30 records, 2 epochs; 2 + 1 evaluations at 32 pixels, one at 48.
    assert (work.steps, work.images) == (14, 56)
    assert work.forward == 56 * 32
    assert work.training == 3 * 56 * 32
    assert work.evaluations == 6 * (3 * 32 + 48)
    assert work.cost == work.training + work.evaluations


def test_a_pace_is_a_networks_own_or_that_of_the_others():
    pace = estimates.Pace({"rgb": 2.0, "fbs16": 4.0})
    assert pace.seconds("rgb", 10) == 20
    assert pace.seconds("dct64", 10) == 30
    assert estimates.Pace().seconds("rgb", 10) is None
    calibrated = estimates.pace_of_speeds({"rgb": 5.0}, {"rgb": 100})
    assert calibrated.seconds("rgb", 3 * 100 * 5) == pytest.approx(1)


def test_the_list_shows_cells_and_data_sets_and_makes_nothing(images, tmp_path):
    said = show(request(images, tmp_path / "out"))
    for text in ("r32-q90-coarse/rgb/seed0", "r48-q90-coarse/fbs16/seed0", "8 cells", "0 done"):
        assert text in said
    assert "to be made" in said
    assert "?" in said
    assert "--calibrate" in said
    assert list(tmp_path.iterdir()) == []


def test_the_list_shows_the_bands_and_what_the_gate_costs(images, tmp_path):
    said = show(request(images, tmp_path / "out", (BANDS,)), calibrate=True)
    rows = {
        key: next(line for line in said.splitlines() if f"/{key}/" in line) for key in SELECTIONS
    }
    assert "fbs16/seed0" in said and "6 cells" in said and "?" not in said
    # Images, steps, 10¹².
    assert rows["energy16"].split()[1:3] == ["30", "14"]
    assert rows["learned16"].split()[1:3] == ["30", "28"]
    assert "Learning bands takes two trainings" in " ".join(said.split())
    assert "trainings" not in show(request(images, tmp_path / "out"))


def test_the_list_tells_the_time_from_cells_that_are_done(images, tmp_path, without_report):
    run(request(images, tmp_path / "out", (DIFFICULTY,)))
    said = show(request(images, tmp_path / "out"))
    # Those of the base have more variants to be evaluated on.
    assert "2 done" in said
    assert said.count("to evaluate") == 2
    # The stand-ins say that each cell took ten seconds.
    assert "0:00:10" in said
    assert "?" not in said
    assert "MB" in said and "made" in said


def test_a_calibration_tells_the_time(images, tmp_path):
    said = show(request(images, tmp_path / "out"), calibrate=True)
    assert "?" not in said
    assert "left" in said


def test_the_list_refuses_what_a_run_refuses(images, tmp_path, without_report):
    run(request(images, tmp_path / "out", (DIFFICULTY,), networks=("rgb",)))
    with pytest.raises(InputError, match="resolution was 32 and is now 48"):
        show(request(images, tmp_path / "out", resolution=48))


def test_built_in_pictures_are_counted_before_they_are_drawn(tmp_path):
    data = DataSets(Input(), PRESETS["smoke"], tmp_path / "records")
    content = data.content
    assert (content.classes, content.train_images, content.test_images) == (12, 720, 240)
    assert not (tmp_path / "records").exists()
    small = dataclasses.replace(PRESETS["smoke"], train_per_class=4, test_per_class=1)
    data = DataSets(Input(), small, tmp_path / "records")
    expected = data.content
    assert data.draw_pictures() == 12 * 5
    assert data.draw_pictures() == 0
    assert data.content.train_images == expected.train_images == 48
    assert data.content.test_images == expected.test_images == 12
    assert data.content.coarse_classes == expected.coarse_classes == 4
    assert data.describe()["note"].startswith("pictures that the project draws itself")


def test_studies_are_joined_by_what_was_added(tmp_path):
    before = Study((QUALITY,), dataclasses.replace(CONFIG, networks=("fbs16",)), "a", {"input": 1})
    now = Study(
        (RESOLUTION,),
        dataclasses.replace(CONFIG, networks=("rgb",), seeds=(3,), resolutions=(64, 16)),
        "b",
        {"input": 1},
    )
    joined = join(tmp_path, before, now)
    assert joined.tables == (QUALITY, RESOLUTION)
    assert joined.config.networks == ("rgb", "fbs16")
    assert joined.config.seeds == (0, 3)
    assert joined.config.resolutions == (16, 32, 48, 64)
    with pytest.raises(InputError, match="the images"):
        join(tmp_path, before, dataclasses.replace(now, images={"input": 2}))


def test_the_state_of_a_run_is_its_last_whole_row(tmp_path):
    assert read_state(tmp_path) == RunState()
    path = tmp_path / "steps.csv"
    header = "step,epoch,learning_rate,loss,top1,images_per_second,gradient_norm\n"
    path.write_text(header)
    assert read_state(tmp_path) == RunState()
    rows = "".join(f"{step},1,0.1,1.{step:04d},0.5,12.5,\n" for step in range(1, 500))
    path.write_text(f"{header}{rows}500,2,0.1,0.3")
    assert read_state(tmp_path) == RunState(499, 1, 1.0499, 12.5)


def test_progress_on_a_terminal_shows_cell_loss_and_what_is_left():
    out = io.StringIO()
    console = rich.console.Console(file=out, width=100, force_terminal=True)
    with StudyProgress(console, 1000, 200, seconds_per_cost=0.5) as progress:
        progress.show("2 of 5  a-cell", RunState(30, 2, 1.25, 88.0), 4, 60, 100)
        progress.say("a line")
        progress.finish(200)
    said = out.getvalue()
    for text in ("2 of 5  a-cell", "epoch 2/4", "step 30/60", "loss 1.250", "88 img/s"):
        assert text in said
    # 600 of 1000 are left, at half a second each.
    assert "0:05:00 left" in said
    assert "40 %" in said
