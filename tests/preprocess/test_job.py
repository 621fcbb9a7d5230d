"""The whole job in this process, on a folder with a file of every kind."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import zipfile

import google_crc32c
import numpy as np
import pytest
from PIL import Image

import jpegkeras
from jpegkeras import batch_transcoding
from jpegkeras.dataset_info import ClassInfo, load_dataset_info
from jpegkeras.errors import InputError
from jpegkeras.files import locked
from jpegkeras.jpeg import read_coefficients
from jpegkeras.sampling import COMPONENTS
from jpegkeras.transcoding import Transcoding
from preprocess import job, output
from preprocess.config import PreprocessConfig
from preprocess.engines import local
from tests.preprocess.helpers import (
    contents,
    draw,
    encode,
    plan_of,
    read_shard,
    read_split,
    reverse_listings,
    run_main,
    write_classes,
    write_files,
)

NOT_UTF8 = os.fsdecode(b"a/caf\xe9.jpg")
BASELINE = encode(draw(1, 45, 77))
UNTOUCHED = {
    "a/plain.jpg": BASELINE,
    "a/space in name.JPG": encode(draw(2, 33, 50), quality=100),
    NOT_UTF8: encode(draw(3, 64, 64), quality=30),
    "b/optimized.jpeg": encode(draw(4, 70, 41), optimize=True),
    "b/restarts.jpg": encode(draw(5, 90, 60), restart_marker_rows=1),
    "b/progressive.jpg": encode(draw(9, 40, 43), progressive=True),
    **{f"b/{i}.jpg": encode(draw(10 + i)) for i in range(8)},
}
CONVERTED = {
    "a/444.jpg": encode(draw(6, 37, 61), subsampling="4:4:4"),
    "a/422.jpg": encode(draw(7, 61, 37), subsampling="4:2:2"),
    "b/gray.jpg": encode(draw(8, 48, 52, "L")),
}
REENCODED = {
    "a/rgb.jpg": encode(draw(9, 40, 43), subsampling="4:4:4", keep_rgb=True),
    "b/cmyk.jpg": encode(draw(9, 41, 43, "CMYK")),
    "b/png.JPEG": encode(draw(9, 42, 43), "PNG"),
    "b/palette.png": encode(draw(9, 43, 43).convert("P"), "PNG"),
}
REJECTED = {
    "a/text.jpg": b"This is no image.",
    "b/truncated.jpg": BASELINE[: len(BASELINE) // 2],
    "b/empty.jpg": b"",
}
FILES = {**UNTOUCHED, **CONVERTED, **REENCODED, **REJECTED, "notes.txt": b"", "b/notes.md": b""}


def settings_of(**settings):
    """Settings of a job in this process: starting workers takes seconds."""
    return PreprocessConfig(**{"workers": 1, **settings})


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("source"), FILES)


@pytest.fixture(scope="module")
def config(source, tmp_path_factory):
    return settings_of(
        input_dir=str(source),
        output_dir=str(tmp_path_factory.mktemp("data")),
        compression="none",
        train_shards=3,
        max_rejected=0.2,
    )


@pytest.fixture(scope="module")
def info(config):
    return job.run(config).info


@pytest.fixture(scope="module")
def records(config, info):
    everything = [r for split in info.splits for r in read_split(config.output_dir, info, split)]
    return {os.fsdecode(record["name"]): record for record in everything}


def rejected_rows(directory):
    path = pathlib.Path(directory, "rejected.csv")
    with path.open(newline="", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def test_shards_and_records_are_those_of_the_plan(config, info):
    plan = plan_of(config)
    assert sorted(contents(config.output_dir)) == [
        "dataset.json",
        "rejected.csv",
        "test-00000-of-00001.tfrecord",
        "train-00000-of-00003.tfrecord",
        "train-00001-of-00003.tfrecord",
        "train-00002-of-00003.tfrecord",
    ]
    for shard in plan.shards:
        expected = [(os.fsencode(i.path), i.label) for i in shard.images if i.path not in REJECTED]
        found = read_shard(config.output_dir, shard.file)
        assert [(r["name"], r["label"]) for r in found] == expected


def test_dataset_json_tells_the_truth(config, info, records):
    assert load_dataset_info(config.output_dir) == info
    assert (info.num_frequencies, info.sampling, info.compression) == (64, "4:2:0", "none")
    assert info.classes == (ClassInfo("a", "a", 0), ClassInfo("b", "b", 1))
    assert info.transcoding == dataclasses.asdict(Transcoding())
    assert info.jpegkeras_version == jpegkeras.__version__
    assert info.settings["seed"] == 0 and info.settings["source"] == {"input_dir": config.input_dir}
    for name, split in info.splits.items():
        labels = [record["label"] for record in read_split(config.output_dir, info, name)]
        assert split.records == len(labels) == sum(shard.records for shard in split.shards)
        assert split.class_counts == (labels.count(0), labels.count(1))
        for shard in split.shards:
            data = pathlib.Path(config.output_dir, shard.file).read_bytes()
            assert shard.crc32c == f"{google_crc32c.value(data):08x}"
            assert shard.records == len(read_shard(config.output_dir, shard.file))
    sizes = np.array([(record["height"], record["width"]) for record in records.values()])
    assert info.smallest == tuple(sizes.min(axis=0)) == (33, 37)
    assert info.largest == tuple(sizes.max(axis=0)) == (90, 77)


def test_untouched_files_keep_every_coefficient(records):
    for name, data in UNTOUCHED.items():
        image, record = read_coefficients(data), records[name]
        assert (record["height"], record["width"]) == (image.height, image.width)
        for index, (key, component) in enumerate(zip(COMPONENTS, image.components)):
            np.testing.assert_array_equal(record[key], component.coefficients)
            np.testing.assert_array_equal(record["quantization"][index], component.quantization)


def test_converted_files_keep_the_luma(records):
    for name, data in CONVERTED.items():
        luma = read_coefficients(data).components[0]
        np.testing.assert_array_equal(records[name]["y"], luma.coefficients)
        np.testing.assert_array_equal(records[name]["quantization"][0], luma.quantization)
    assert not records["b/gray.jpg"]["cb"].any() and not records["b/gray.jpg"]["cr"].any()
    assert records["a/444.jpg"]["cb"].any()


def test_every_record_has_the_one_sampling(records):
    assert len(records) == len(UNTOUCHED) + len(CONVERTED) + len(REENCODED)
    for record in records.values():
        height, width = int(record["height"]), int(record["width"])
        chroma = (-(-height // 16), -(-width // 16), 64)
        assert record["y"].shape == (-(-height // 8), -(-width // 8), 64)
        assert record["cb"].shape == record["cr"].shape == chroma


def test_counts_by_route_and_reason(info):
    assert info.counts == {
        "untouched": len(UNTOUCHED),
        "converted": 3,
        "converted: 4:2:2 to 4:2:0": 1,
        "converted: 4:4:4 to 4:2:0": 1,
        "converted: gray to 4:2:0": 1,
        "re-encoded": 4,
        "re-encoded: CMYK (4 components)": 1,
        "re-encoded: RGB colour": 1,
        "re-encoded: not a JPEG": 2,
        "rejected": 3,
        "ignored": 2,
    }


def test_rejected_files_are_listed_with_their_reasons(config, info):
    splits = {i.path: s.split for s in plan_of(config).shards for i in s.images}
    rows = {row["path"]: row for row in rejected_rows(config.output_dir)}
    assert set(rows) == set(REJECTED)
    for path, row in rows.items():
        assert (row["split"], row["label"]) == (splits[path], path[0])
    assert "no image" in rows["a/text.jpg"]["reason"]
    assert "no image" in rows["b/empty.jpg"]["reason"]
    assert "truncated" in rows["b/truncated.jpg"]["reason"]


def test_statistics_are_those_of_the_train_records(config, info):
    train = read_split(config.output_dir, info, "train")
    for index, key in enumerate(COMPONENTS):
        values = np.concatenate(
            [(r[key].astype(float) * r["quantization"][index]).reshape(-1, 64) for r in train]
        )
        statistics = info.statistics[key]
        np.testing.assert_allclose(statistics["mean"], values.mean(axis=0), atol=1e-9)
        np.testing.assert_allclose(statistics["std"], values.std(axis=0), atol=1e-6)
        np.testing.assert_allclose(statistics["zeros"], (values == 0).mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(statistics["energy"], (values**2).mean(axis=0), rtol=1e-12)


def test_arithmetic_coding_is_reencoded(tmp_path):
    jpegtran = shutil.which("jpegtran")
    if not jpegtran:
        pytest.skip("needs jpegtran to make a file with arithmetic coding")
    command = [jpegtran, "-arithmetic"]
    done = subprocess.run(command, input=BASELINE, capture_output=True)
    if done.returncode:
        pytest.skip(f"this jpegtran cannot write arithmetic coding: {done.stderr.decode()}")
    write_files(tmp_path / "in", {"train/a/1.jpg": done.stdout, "test/a/1.jpg": BASELINE})
    result = job.run(settings_of(input_dir=str(tmp_path / "in"), output_dir=str(tmp_path / "o")))
    assert result.info.counts["re-encoded: arithmetic coding"] == 1
    # Both are decoded from the same coefficients, and encoded with the same tables.
    (train,) = read_split(tmp_path / "o", result.info, "train")
    (test,) = read_split(tmp_path / "o", result.info, "test")
    np.testing.assert_array_equal(train["quantization"], test["quantization"])
    assert np.abs(train["y"].astype(int) - test["y"]).max() <= 1


def test_settings_reach_the_records(tmp_path, source):
    folder = write_classes(tmp_path / "in", {"a": 5, "b": 5}, quality=40, subsampling="4:4:4")
    settings = Transcoding(smallest_side=24, quality=70, subsampling="4:2:2", num_frequencies=9)
    config = settings_of(
        input_dir=str(folder), output_dir=str(tmp_path / "out"), transcoding=settings
    )
    info = job.run(config).info
    assert [shard.file for shard in info.splits["train"].shards] == [
        "train-00000-of-00001.tfrecord.gz"
    ]
    assert (info.smallest, info.largest) == ((24, 34), (24, 34))
    assert info.transcoding == dataclasses.asdict(settings)
    expected = read_coefficients(encode(quality=70)).components[0].quantization[:9]
    for record in read_split(tmp_path / "out", info, "train", 9):
        assert (record["y"].shape, record["cb"].shape) == ((3, 5, 9), (3, 3, 9))
        np.testing.assert_array_equal(record["quantization"][0], expected)
    assert len(info.statistics["y"]["std"]) == 9


def test_turned_and_downscaled(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    files = {f"a/{i}.jpg": encode(draw(i, 32, 64), exif=exif) for i in range(5)}
    files["a/upright.jpg"] = encode(draw(5, 64, 32))
    files["a/444.jpg"] = encode(draw(6, 32, 64), exif=exif, subsampling="4:4:4")
    files["a/turned.png"] = encode(draw(7, 32, 64), "PNG", exif=exif)
    write_files(tmp_path / "in", files)
    settings = Transcoding(respect_orientation=True, downscale=2)
    config = settings_of(
        input_dir=f"{tmp_path}/in", output_dir=f"{tmp_path}/out", transcoding=settings
    )
    info = job.run(config).info
    assert info.counts == {
        "converted": 7,
        "converted: 4:4:4 to 4:2:0": 1,
        "converted: downscale 2": 7,
        "converted: orientation 6": 6,
        "re-encoded": 1,
        "re-encoded: not a JPEG": 1,
        "re-encoded: orientation 6": 1,
        "rejected": 0,
        "ignored": 0,
    }
    assert info.transcoding == dataclasses.asdict(settings)
    assert info.settings["respect_orientation"] is True and info.settings["downscale"] == 2
    assert (info.smallest, info.largest) == ((32, 16), (32, 16))
    with pytest.raises(InputError, match="downscale was 2 and is now 1"):
        job.run(dataclasses.replace(config, transcoding=Transcoding(respect_orientation=True)))


def test_a_data_set_from_before_a_setting_existed(tmp_path):
    folder = write_classes(tmp_path / "in", {"a": 6})
    config = settings_of(
        input_dir=str(folder), output_dir=f"{tmp_path}/out", transcoding=Transcoding(resize="exact")
    )
    job.run(config)
    path = tmp_path / "out/dataset.json"
    content = json.loads(path.read_text())
    for key in ("respect_orientation", "downscale", "resize"):
        del content["settings"][key], content["transcoding"][key]
    path.write_text(json.dumps(content))
    recorded = Transcoding.recorded(load_dataset_info(tmp_path / "out").transcoding)
    assert recorded == Transcoding(resize="exact")
    assert job.run(config).finished_before
    turned = Transcoding(resize="exact", respect_orientation=True)
    with pytest.raises(InputError, match="respect_orientation was False and is now True"):
        job.run(dataclasses.replace(config, transcoding=turned))
    with pytest.raises(InputError, match="resize was exact and is now fast"):
        job.run(dataclasses.replace(config, transcoding=Transcoding()))


def test_same_bytes_whatever_the_listing_order(config, info, tmp_path, monkeypatch):
    reverse_listings(monkeypatch)
    again = dataclasses.replace(config, output_dir=str(tmp_path))
    job.run(again)
    assert contents(tmp_path) == contents(config.output_dir)


def test_labels_csv(tmp_path):
    folder = write_classes(tmp_path / "in", {"n1": 3, "n2": 3, "n3": 3})
    (tmp_path / "labels.csv").write_text(
        "class,name,coarse\nn1,dog,pet\nn2,car,machine\nn3,cat,pet\nn4,bus,machine\n"
    )
    config = settings_of(
        input_dir=str(folder), output_dir=str(tmp_path / "out"), labels=f"{tmp_path}/labels.csv"
    )
    info = job.run(config).info
    assert info.class_names("fine") == ["dog", "car", "cat"]
    assert info.class_names("coarse") == ["machine", "pet"]
    for record in read_split(tmp_path / "out", info, "train"):
        assert record["coarse_label"] == [1, 0, 1][record["label"]]


def test_csv_with_a_missing_file(tmp_path):
    write_files(tmp_path, {f"{i}.jpg": encode(draw(i)) for i in range(4)})
    rows = ["0.jpg,a,train", "1.jpg,b,train", "2.jpg,a,test", "3.jpg,b,val", "none.jpg,b,test"]
    (tmp_path / "list.csv").write_text("\n".join(["path,label,split", *rows]))
    config = settings_of(
        input_csv=f"{tmp_path}/list.csv", output_dir=f"{tmp_path}/out", max_rejected=0.5
    )
    info = job.run(config).info
    assert [info.splits[name].class_counts for name in ("train", "test")] == [(1, 1), (1, 1)]
    assert rejected_rows(tmp_path / "out") == [
        {
            "path": "none.jpg",
            "split": "test",
            "label": "b",
            "reason": "No such file or directory",
        }
    ]


def test_pipes_and_folders_are_rejected_rather_than_waited_for(tmp_path):
    folder = write_classes(tmp_path / "in", {"a": 8})
    os.mkfifo(folder / "a/pipe.jpg")
    (folder / "a/folder.jpg").mkdir()
    names = [*(f"a_{i}" for i in range(8)), "pipe", "folder"]
    rows = [f"a/{name}.jpg,a" for name in names]
    (folder / "list.csv").write_text("\n".join(["path,label", *rows]))
    out = tmp_path / "out"
    config = settings_of(input_csv=f"{folder}/list.csv", output_dir=f"{out}", max_rejected=0.5)
    assert job.run(config).info.counts["rejected"] == 2
    assert {row["path"]: row["reason"] for row in rejected_rows(out)} == {
        "a/pipe.jpg": "not a regular file",
        "a/folder.jpg": "not a regular file",
    }


def test_an_unexpected_error_rejects_one_file(tmp_path, monkeypatch):
    folder = write_classes(tmp_path / "in", {"a": 8})
    bad = encode(draw(3, 50, 50), subsampling="4:4:4")  # one that is not taken as it is
    (folder / "a/a_3.jpg").write_bytes(bad)
    transcode = batch_transcoding.transcode
    monkeypatch.setattr(
        batch_transcoding, "transcode", lambda data, s: transcode(data, s) if data != bad else 1 / 0
    )
    config = settings_of(input_dir=str(folder), output_dir=f"{tmp_path}/out", max_rejected=0.5)
    assert job.run(config).info.counts["rejected"] == 1
    (row,) = rejected_rows(tmp_path / "out")
    assert row["path"] == "a/a_3.jpg" and "ZeroDivisionError" in row["reason"]


def test_too_many_rejected_stops_and_more_allowed_continues(config, tmp_path):
    strict = dataclasses.replace(config, output_dir=str(tmp_path), max_rejected=0.01)
    with pytest.raises(
        InputError, match="more than --max_rejected=0.01 of all \\d+; see .*rejected.csv"
    ):
        job.run(strict)
    assert rejected_rows(tmp_path)
    assert not (tmp_path / "dataset.json").exists()
    job.run(dataclasses.replace(strict, max_rejected=0.2))
    assert json.loads((tmp_path / "dataset.json").read_text())["counts"]["rejected"] == 3


def test_every_file_rejected(tmp_path):
    write_files(tmp_path / "in", {f"a/{i}.jpg": b"no" for i in range(5)})
    config = settings_of(input_dir=f"{tmp_path}/in", output_dir=f"{tmp_path}/out", max_rejected=1.0)
    with pytest.raises(InputError, match="all 5 files were rejected; see .*rejected.csv"):
        job.run(config)
    assert len(rejected_rows(tmp_path / "out")) == 5


def test_a_split_of_which_every_file_is_rejected(tmp_path):
    write_files(tmp_path / "in", {"train/a/1.jpg": encode(), "test/a/2.jpg": b"no"})
    config = settings_of(input_dir=f"{tmp_path}/in", output_dir=f"{tmp_path}/out", max_rejected=0.9)
    with pytest.raises(InputError, match="the test split is empty, since all"):
        job.run(config)


def test_finished_changed_and_overwritten(tmp_path):
    folder = write_classes(tmp_path / "in", {"a": 6, "b": 6})
    config = settings_of(input_dir=str(folder), output_dir=f"{tmp_path}/out", train_shards=4)
    job.run(config)
    write_files(tmp_path / "out", {"mine.txt": b"keep", "train-00000-of-00001.bak": b"keep"})
    before = contents(tmp_path / "out")
    assert job.run(config).finished_before
    assert contents(tmp_path / "out") == before

    changed = dataclasses.replace(config, train_shards=2, transcoding=Transcoding(quality=50))
    with pytest.raises(InputError, match="quality was None and is now 50; train_shards was 4 and"):
        job.run(changed)
    (folder / "a/new.jpg").write_bytes(encode(draw(99)))
    with pytest.raises(
        InputError, match=r"the input files or their split changed \(12 files then, 13 now\)"
    ):
        job.run(config)
    assert contents(tmp_path / "out") == before

    job.run(dataclasses.replace(changed, overwrite=True))
    after = contents(tmp_path / "out")
    assert sorted(after) == [
        "dataset.json",
        "mine.txt",
        "rejected.csv",
        "test-00000-of-00001.tfrecord.gz",
        "train-00000-of-00001.bak",
        "train-00000-of-00002.tfrecord.gz",
        "train-00001-of-00002.tfrecord.gz",
    ]
    assert (after["mine.txt"], after["train-00000-of-00001.bak"]) == (b"keep", b"keep")


def test_a_half_made_data_set_of_other_settings(tmp_path, monkeypatch):
    folder = write_classes(tmp_path / "in", {"a": 6})
    config = settings_of(input_dir=str(folder), output_dir=f"{tmp_path}/out")
    plan = plan_of(config)
    (tmp_path / "out").mkdir()
    assert output.prepare(f"{tmp_path}/out", plan, overwrite=False)[0] is output.State.NEW
    with pytest.raises(InputError, match="seed was 0 and is now 1"):
        job.run(dataclasses.replace(config, seed=1))
    monkeypatch.setattr(jpegkeras, "__version__", "99")
    with pytest.raises(InputError, match="jpegkeras_version was .* and is now 99"):
        job.run(config)


def test_shards_that_nobody_accounts_for(tmp_path):
    folder = write_classes(tmp_path / "in", {"a": 6})
    write_files(tmp_path / "out", {"train-00003-of-00007.tfrecord": b""})
    config = settings_of(input_dir=str(folder), output_dir=f"{tmp_path}/out")
    with pytest.raises(InputError, match="it holds train-00003-of-00007.tfrecord, but neither"):
        job.run(config)
    assert sorted(contents(tmp_path / "out")) == ["train-00003-of-00007.tfrecord"]


def test_two_jobs_in_one_folder(tmp_path):
    folder = write_classes(tmp_path / "in", {"a": 6})
    config = settings_of(input_dir=str(folder), output_dir=f"{tmp_path}/out")
    with (
        locked(tmp_path / "out", "--output_dir"),
        pytest.raises(InputError, match="another job is"),
    ):
        job.run(config)
    job.run(config)


def test_what_killed_workers_leave_is_removed(tmp_path, monkeypatch):
    folder = write_classes(tmp_path / "in", {"a": 6})
    left = ["train-00000-of-00001.tfrecord.gz.123.tmp", ".parts/x.123.tmp", "notes.123.tmp"]

    def die(*_):
        write_files(tmp_path / "out", dict.fromkeys(left, b""))
        raise local.WorkerDiedError("killed")
        yield

    monkeypatch.setattr(local, "run", die)
    with pytest.raises(local.WorkerDiedError):
        job.run(settings_of(input_dir=str(folder), output_dir=f"{tmp_path}/out"))
    # Names that are not ours stay.
    assert sorted(contents(tmp_path / "out")) == sorted(
        [*left[1:], ".plan/images.jsonl", ".plan/plan.json", "rejected.csv"]
    )


def test_killed_before_dataset_json(config, info, tmp_path, monkeypatch):
    again = dataclasses.replace(config, output_dir=str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(type(info), "to_json", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            job.run(again)
    made = {path: path.stat().st_ino for path in tmp_path.glob("*.tfrecord")}
    assert len(made) == 4
    assert job.run(again).images == 0
    assert {path: path.stat().st_ino for path in tmp_path.glob("*.tfrecord")} == made
    assert contents(tmp_path) == contents(config.output_dir)


def test_killed_before_the_working_files_are_removed(config, info, tmp_path, monkeypatch):
    again = dataclasses.replace(config, output_dir=str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(output, "remove_working_files", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            job.run(again)
    assert (tmp_path / ".plan").exists() and (tmp_path / ".parts").exists()
    assert job.run(again).finished_before
    assert contents(tmp_path) == contents(config.output_dir)
    assert not (tmp_path / ".parts").exists() and not (tmp_path / ".plan").exists()


def test_a_class_without_train_images_is_told(tmp_path, capsys):
    write_files(tmp_path / "in", {"train/a/1.jpg": encode(), "val/b/2.jpg": encode(draw(2))})
    job.run(settings_of(input_dir=f"{tmp_path}/in", output_dir=f"{tmp_path}/out"))
    assert "warning: 1 of 2 classes have test images" in capsys.readouterr().err


def test_summary_and_next_command(tmp_path, capsys):
    folder = write_classes(tmp_path / "in", {"a": 5})
    assert run_main(f"--input_dir={folder}", f"--output_dir={tmp_path}/an out", "--workers=1") == 0
    out = capsys.readouterr().out
    assert "train records" in out and "untouched" in out and "images/s" in out
    assert f"--data_dir='{tmp_path}/an out'" in out.replace("\n", " ")
    assert run_main(f"--input_dir={folder}", f"--output_dir={tmp_path}/an out", "--workers=1") == 0
    assert "finished already" in capsys.readouterr().err


def pack_tar(folder, path, mode):
    with tarfile.open(path, mode) as tar:
        for file in sorted(folder.rglob("*.jpg"), reverse=True):
            tar.add(file, file.relative_to(folder))


def pack_zip(folder, path, compression):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for file in folder.rglob("*.jpg"):
            archive.write(file, file.relative_to(folder))


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("name", "pack", "how"),
    [
        ("a.tar", pack_tar, "w"),
        ("a.tar.xz", pack_tar, "w:xz"),
        ("a.zip", pack_zip, zipfile.ZIP_DEFLATED),
    ],
)
def test_an_archive_gives_the_shards_of_its_folder(tmp_path, name, pack, how, workers):
    folder = write_classes(tmp_path / "in", {"a": 20, "b c": 20})
    plain = settings_of(input_dir=str(folder), output_dir=f"{tmp_path}/plain", train_shards=3)
    job.run(plain)
    pack(folder, tmp_path / name, how)
    packed = PreprocessConfig(
        input_tar=f"{tmp_path}/{name}",
        output_dir=f"{tmp_path}/packed",
        train_shards=3,
        workers=workers,
    )
    job.run(packed)
    one, other = contents(plain.output_dir), contents(packed.output_dir)
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name]] == ["dataset.json"]


def test_an_unchanged_archive_is_not_even_listed(tmp_path, monkeypatch):
    folder = write_classes(tmp_path / "in", {"a": 8})
    pack_tar(folder, tmp_path / "a.tar", "w")
    (tmp_path / "labels.csv").write_text("class,name,coarse\na,dog,pet\n")
    config = settings_of(
        input_tar=f"{tmp_path}/a.tar", output_dir=f"{tmp_path}/out", labels=f"{tmp_path}/labels.csv"
    )
    job.run(config)
    with monkeypatch.context() as patch:
        patch.setattr(job, "list_source", lambda *_: 1 / 0)
        assert job.run(config).finished_before
        with pytest.raises(ZeroDivisionError):
            job.run(dataclasses.replace(config, seed=1))
    # The same content at another time is listed, and found to be the same.
    os.utime(tmp_path / "a.tar")
    assert job.run(config).finished_before
    (tmp_path / "labels.csv").write_text("class,name,coarse\na,cat,pet\n")
    with pytest.raises(InputError, match=r"their titles and coarse classes \(--labels\), changed"):
        job.run(config)
    (folder / "a/new.jpg").write_bytes(encode(draw(99)))
    pack_tar(folder, tmp_path / "a.tar", "w")
    with pytest.raises(InputError, match=r"\(8 files then, 9 now\)"):
        job.run(config)


def test_imagenets_archives(tmp_path):
    train, files = tmp_path / "train.tar", {}
    with tarfile.open(train, "w") as outer:
        for wnid in ("n01440764", "n01443537"):
            folder = write_files(
                tmp_path / wnid, {f"{wnid}_{i}.JPEG": encode(draw(i)) for i in range(6)}
            )
            inner = tmp_path / f"{wnid}.tar"
            with tarfile.open(inner, "w") as tar:
                for file in sorted(folder.iterdir()):
                    tar.add(file, file.name)
            outer.add(inner, inner.name)
    for index in range(4):
        files[f"ILSVRC2012_val_{index:08d}.JPEG"] = encode(draw(100 + index))
    folder = write_files(tmp_path / "val", files)
    with tarfile.open(tmp_path / "val.tar", "w") as tar:
        for file in folder.iterdir():
            tar.add(file, file.name)
    truth = ["n01443537", "n01440764", "n01440764", "n01443537"]
    (tmp_path / "val.txt").write_text("\n".join(truth) + "\n")
    config = settings_of(
        input_tar=str(train),
        test_tar=f"{tmp_path}/val.tar",
        test_labels=f"{tmp_path}/val.txt",
        output_dir=f"{tmp_path}/out",
    )
    info = job.run(config).info
    assert [entry.name for entry in info.classes] == ["n01440764", "n01443537"]
    assert [info.splits[split].class_counts for split in ("train", "test")] == [(6, 6), (2, 2)]
    for record in read_split(config.output_dir, info, "test"):
        name = record["name"].decode().rsplit("/")[-1]
        assert info.classes[record["label"]].name == truth[int(name[-8:-5])]
        expected = read_coefficients(files[name]).components[0].coefficients
        np.testing.assert_array_equal(record["y"], expected)


def test_tfrecords_of_jpegs(tmp_path):
    import tensorflow as tf

    images = {}
    for split, count in (("train", 7), ("validation", 3)):
        with tf.io.TFRecordWriter(f"{tmp_path}/{split}-00000-of-00001") as writer:
            for index in range(count):
                jpeg = encode(draw(len(images), 40 + index, 56))
                images[f"{split}-00000-of-00001#{index:06d}"] = jpeg, index % 3
                example = tf.train.Example()
                feature = example.features.feature
                feature["image/encoded"].bytes_list.value.append(jpeg)
                feature["image/class/label"].int64_list.value.append(index % 3 + 9)
                writer.write(example.SerializeToString())
    config = settings_of(input_tfrecords=f"{tmp_path}/*-of-00001", output_dir=f"{tmp_path}/out")
    info = job.run(config).info
    assert [entry.name for entry in info.classes] == ["9", "10", "11"]
    assert {name: split.records for name, split in info.splits.items()} == {"train": 7, "test": 3}
    for split in info.splits:
        for record in read_split(config.output_dir, info, split):
            jpeg, label = images[record["name"].decode().rsplit("/")[-1]]
            assert record["label"] == label
            expected = read_coefficients(jpeg).components[0].coefficients
            np.testing.assert_array_equal(record["y"], expected)


def half_made(config, monkeypatch, shards=2):
    """Begins a job, and stops it after so many shards."""
    run = local.run

    def some(tasks, *arguments):
        yield from run(tasks[:shards], *arguments)
        raise local.WorkerDiedError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(local, "run", some)
        with pytest.raises(local.WorkerDiedError):
            job.run(config)


@pytest.fixture
def archive_config(tmp_path):
    folder = write_classes(tmp_path / "in", {"a": 12, "b": 12})
    pack_tar(folder, tmp_path / "a.tar", "w")
    return settings_of(input_tar=f"{tmp_path}/a.tar", output_dir=f"{tmp_path}/out", train_shards=5)


def test_another_archive_of_the_same_sizes_is_not_continued_with(
    archive_config, tmp_path, monkeypatch
):
    half_made(archive_config, monkeypatch)
    data = bytearray((tmp_path / "a.tar").read_bytes())
    data[data.rindex(b"\xff\xd9") - 20] ^= 1
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(InputError, match="changed since the job began: .*a.tar was modified"):
        job.run(archive_config)
    job.run(dataclasses.replace(archive_config, overwrite=True))


@pytest.mark.parametrize("damage", [b"", b"[1", None, "lines"])
def test_the_plans_list_is_mended(archive_config, tmp_path, monkeypatch, damage):
    whole = dataclasses.replace(archive_config, output_dir=f"{tmp_path}/whole")
    job.run(whole)
    half_made(archive_config, monkeypatch)
    images = tmp_path / "out/.plan/images.jsonl"
    text = images.read_bytes()
    images.unlink()
    if damage is not None:
        images.write_bytes(text[: len(text) // 2] if damage == "lines" else damage)
    assert job.run(archive_config).images < 24
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.parametrize("plan", ['{"settings": []}', "[]", "{", '{"settings": {}}'])
def test_a_plan_that_is_none(archive_config, tmp_path, monkeypatch, plan):
    half_made(archive_config, monkeypatch)
    (tmp_path / "out/.plan/plan.json").write_text(plan)
    with pytest.raises(InputError, match="--overwrite to make the data set anew"):
        job.run(archive_config)
    job.run(dataclasses.replace(archive_config, overwrite=True))


def test_input_and_output_are_kept_apart(tmp_path):
    folder = write_classes(tmp_path / "in", {"a": 8})
    for name in ("in", "in/records", "in/a/../b"):
        with pytest.raises(InputError, match="it is in --input_dir=.* Give a folder outside"):
            job.run(settings_of(input_dir=str(folder), output_dir=f"{tmp_path}/{name}"))
    pack_tar(folder, tmp_path / "train-00000-of-00002.tfrecord", "w")
    before = contents(tmp_path)
    for overwrite in (False, True):
        with pytest.raises(InputError, match="it is in --output_dir, whose files the job replaces"):
            job.run(
                settings_of(
                    input_tar=f"{tmp_path}/train-00000-of-00002.tfrecord",
                    output_dir=str(tmp_path),
                    overwrite=overwrite,
                )
            )
    assert contents(tmp_path) == before
    with pytest.raises(InputError, match="--overwrite would remove it"):
        job.run(settings_of(input_dir=str(folder), output_dir=str(tmp_path / "in/..")))


def test_train_and_test_archives_are_not_two_train_archives(tmp_path):
    for name, count in (("train", 9), ("test", 3)):
        folder = write_classes(tmp_path / name, {"a": count, name[1:3]: count})
        pack_tar(folder, tmp_path / f"{name}.tar", "w")
    archives = [f"{tmp_path}/{name}.tar" for name in ("train", "test")]
    two = settings_of(input_tar=archives[0], test_tar=archives[1], output_dir=f"{tmp_path}/out")
    job.run(two)
    assert job.run(two).finished_before
    with pytest.raises(InputError):
        job.run(settings_of(input_tar=",".join(archives), output_dir=f"{tmp_path}/out"))
