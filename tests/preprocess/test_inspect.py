import dataclasses
import gzip
import io
import json
import math
import os
import pathlib
import shutil
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import tensorflow as tf
from absl import flags
from PIL import Image

from jpegkeras.dataset_info import ClassInfo, DatasetInfo, ShardInfo, SplitInfo
from jpegkeras.files import file_crc32c
from jpegkeras.record_format import serialize_record
from jpegkeras.records import parse_record
from jpegkeras.sampling import COMPONENTS
from jpegkeras.transcoding import Transcoding, transcode
from preprocess import inspect
from preprocess.inspection import samples, verification
from preprocess.inspection.contact_sheet import decode
from tests.preprocess.helpers import ROOT, run_main, write_classes, write_files

BANDS = 6
CLASSES = (ClassInfo("n1", "coast, shore", 1), ClassInfo("n2", "café [red]x[/red]", 0))
LABELS = {"train": [0, 1, 1, 0, 1, 1, 0, 1], "test": [0, 1, 0]}
SHARDS = {"train": 2, "test": 1}


def jpeg(seed):
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    out = io.BytesIO()
    picture = Image.fromarray(coarse).resize((40 + 8 * seed, 32), Image.Resampling.BICUBIC)
    picture.save(out, "JPEG", quality=80)
    return out.getvalue()


def write_dataset(directory, compression="gzip"):
    """Writes a data set of 8 train records in 2 shards and 3 test records in one."""
    directory.mkdir()
    settings = Transcoding(num_frequencies=BANDS)
    splits, seed, train = {}, 0, []
    for split, labels in LABELS.items():
        shards = []
        for number, mine in enumerate(np.array_split(labels, SHARDS[split])):
            suffix = "tfrecord.gz" if compression == "gzip" else "tfrecord"
            name = f"{split}-{number:05d}-of-{SHARDS[split]:05d}.{suffix}"
            records = []
            for label in map(int, mine):
                image = transcode(jpeg(seed), settings).image
                train += [image] if split == "train" else []
                coarse = CLASSES[label].coarse
                name_of_source = f"{seed}.jpg".encode()
                records.append(
                    serialize_record(image, label=label, coarse_label=coarse, name=name_of_source)
                )
                seed += 1
            write_shard(directory / name, records)
            shards.append(ShardInfo(name, len(records), digest(directory / name)))
        counts = tuple(labels.count(label) for label in range(len(CLASSES)))
        splits[split] = SplitInfo(len(labels), counts, tuple(shards))
    DatasetInfo(
        num_frequencies=BANDS,
        sampling="4:2:0",
        compression=compression,
        classes=CLASSES,
        coarse_classes=("things", "places"),
        splits=splits,
        smallest=(32, 40),
        largest=(32, 40 + 8 * 10),
        statistics={key: statistics_of(train, index) for index, key in enumerate(COMPONENTS)},
        transcoding=dataclasses.asdict(settings),
        settings={
            "seed": 0,
            "input": {"files": 12, "sha256": ""},
            "compression": compression,
            **dataclasses.asdict(settings),
        },
        counts={
            "converted": 3,
            "converted: 4:4:4 to 4:2:0": 2,
            "converted: downscale 2": 1,
            "untouched": 8,
            "rejected": 1,
            "ignored": 2,
        },
        jpegkeras_version="0.test",
    ).save(directory)
    return directory


def statistics_of(images, component):
    """Mean, deviation, zeros and energy of each band of the dequantised coefficients, exactly."""
    blocks = [
        part.coefficients.reshape(-1, BANDS) * part.quantization.astype(np.int64)
        for part in (image.components[component] for image in images)
    ]
    bands = [[Fraction(value) for value in column] for column in np.concatenate(blocks).T.tolist()]
    count = len(bands[0])
    means = [sum(band) / count for band in bands]
    energies = [sum(value * value for value in band) / count for band in bands]
    return {
        "mean": [float(mean) for mean in means],
        "std": [math.sqrt(energy - mean * mean) for mean, energy in zip(means, energies)],
        "zeros": [band.count(0) / count for band in bands],
        "energy": [float(energy) for energy in energies],
    }


@pytest.fixture(scope="module")
def _made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    return {kind: write_dataset(folder / kind, kind) for kind in ("gzip", "none")}


@pytest.fixture
def dataset(tmp_path, _made):
    """A data set compressed by gzip."""
    return pathlib.Path(shutil.copytree(_made["gzip"], tmp_path / "records"))


@pytest.fixture
def plain_dataset(tmp_path, _made):
    """The same, not compressed."""
    return pathlib.Path(shutil.copytree(_made["none"], tmp_path / "records"))


def write_shard(path, records):
    kind = "GZIP" if path.name.endswith(".gz") else ""
    with tf.io.TFRecordWriter(str(path), kind) as writer:
        for record in records:
            writer.write(record)


def read_shard(path):
    kind = "GZIP" if path.name.endswith(".gz") else ""
    return [record.numpy() for record in tf.data.TFRecordDataset(str(path), kind)]


def digest(path):
    return file_crc32c(path)


def shard(dataset, split="train", number=0):
    return sorted(dataset.glob(f"{split}-*"))[number]


def change_info(dataset, change):
    """Calls `change` with the content of dataset.json and writes it back."""
    path = dataset / "dataset.json"
    content = json.loads(path.read_text("utf-8"))
    change(content)
    path.write_text(json.dumps(content), "utf-8")


def give_statistics(dataset):
    """Gives every component statistics that are easily read, but are not those of the records."""

    def change(content):
        for known in content["statistics"].values():
            known["mean"], known["std"] = [0.5] * BANDS, [2.0] * BANDS
            known["zeros"] = [index / 10 for index in range(BANDS)]
            known["energy"] = [100.0, 50.0, 25.0, 13.0, 7.0, 5.0]

    change_info(dataset, change)


def rewrite(dataset, change, number=0):
    """Calls `change` with the records of a train shard; dataset.json gets the shard's CRC-32C."""
    path = shard(dataset, number=number)
    records = read_shard(path)
    change(records)
    write_shard(path, records)

    def update(content):
        content["splits"]["train"]["shards"][number]["crc32c"] = digest(path)

    change_info(dataset, update)
    return path


def change_feature(dataset, key, values, place=1):
    """Gives one record of the first train shard another value and mends the CRC-32C."""

    def change(records):
        example = tf.train.Example.FromString(records[place])
        feature = example.features.feature[key]
        if isinstance(values, bytes):
            feature.bytes_list.value[:] = [values]
        else:
            feature.int64_list.value[:] = values
        records[place] = example.SerializeToString()

    return rewrite(dataset, change)


@pytest.fixture
def command(capsys):
    """Runs the command line in this process: exit status, standard output, lines of errors."""

    def run(*arguments):
        values = flags.FlagValues()
        inspect.define_flags(values)
        status = inspect.run(values(["inspect", *map(str, arguments)]), values)
        out, err = capsys.readouterr()
        return status, out, err.splitlines()

    return run


def test_a_whole_data_set(command, dataset):
    status, out, err = command(dataset)
    assert (status, err) == (0, [])
    last = out.splitlines()[-1]
    assert last.startswith("verified: 3 shards, ")
    assert "11 records" in last
    assert f"{dataset}/inspection/bands.png" in out
    assert {path.name for path in (dataset / "inspection").iterdir()} == {
        "bands.png",
        "samples.png",
    }


def test_the_pictures_of_the_last_time_are_no_part_of_the_data(command, dataset):
    assert command(dataset)[0] == 0
    pictures = {path: path.read_bytes() for path in (dataset / "inspection").iterdir()}
    assert command(f"--data_dir={dataset}/")[0] == 0
    assert pictures == {path: path.read_bytes() for path in (dataset / "inspection").iterdir()}


def test_the_table(command, dataset):
    give_statistics(dataset)
    _, out, _ = command(dataset, "--quick", "--nopictures")
    cells = [[cell.strip() for cell in line.strip("│┃ ").split("│")] for line in out.splitlines()]
    size = sum(path.stat().st_size for path in dataset.glob("train-*"))
    for row in (
        ["records", "8", "3"],
        ["shards", "2", "1"],
        ["bytes a record", f"{size / 8:,.0f}", f"{shard(dataset, 'test').stat().st_size / 3:,.0f}"],
        ["fine classes", "2", "2"],
        ["smallest", "coast, shore: 3", "café [red]x[/red]: 1"],
        ["largest", "café [red]x[/red]: 5", "coast, shore: 2"],
        ["smallest", "places: 3", "things: 1"],
        ["heights × widths", "32×40 to 32×120 pixels"],
        ["chroma sampling", "4:2:0"],
        ["frequencies", "6 of 64"],
        ["compression", "gzip"],
        ["--quality", "–"],
        ["--downscale", "1"],
        ["schema version", "2"],
        ["made by jpegkeras", "0.test"],
        ["untouched", "8"],
        ["converted", "3"],
        ["4:4:4 to 4:2:0", "2"],
        ["re-encoded", "0"],
        ["rejected, in rejected.csv", "1"],
        ["ignored, no images", "2"],
        ["5", "0, 2", "0.50", "2.00", "50.0%", "2.500%"],
    ):
        assert row in cells, row
    assert max(map(len, out.splitlines()[:-1])) <= 80


def test_bands_beyond_the_sixteenth_are_summed_up(command, dataset):
    def widen(content):
        content["num_frequencies"] = 20
        content["transcoding"]["num_frequencies"] = content["settings"]["num_frequencies"] = 20
        for component in content["statistics"].values():
            component["mean"] = component["std"] = [1.0] * 20
            component["zeros"] = [0.5] * 16 + [0.6, 0.7, 0.8, 0.9]
            component["energy"] = [5.0] * 20

    change_info(dataset, widen)
    _, out, _ = command(dataset, "--quick", "--nopictures")
    rest = [line.replace(" ", "") for line in out.splitlines() if "16–19" in line]
    assert rest == ["│16–19││││75.0%│20.000%│"] * 3
    _, out, _ = command(dataset, "--quick", "--nopictures", "--all_bands")
    assert "16–19" not in out
    assert out.count("│   19 │") == 3


def test_everything_as_json(command, dataset, tmp_path):
    command(dataset, f"--json={tmp_path}/all.json")
    content = json.loads((tmp_path / "all.json").read_text("utf-8"))
    train = content["splits"]["train"]
    assert train["records"] == 8
    assert [entry["bytes"] for entry in train["shards"]] == [
        path.stat().st_size for path in sorted(dataset.glob("train-*"))
    ]
    assert train["fine"] == [
        {"class": "coast, shore", "records": 3},
        {"class": "café [red]x[/red]", "records": 5},
    ]
    assert train["coarse"] == [{"class": "things", "records": 5}, {"class": "places", "records": 3}]
    assert content["verified"] == {"quick": False, "records": 11, "problems": []}
    assert [(band["row"], band["column"]) for band in content["bands"]["cb"]] == [
        (0, 0),
        (0, 1),
        (1, 0),
        (2, 0),
        (1, 1),
        (0, 2),
    ]
    said = json.loads((dataset / "dataset.json").read_text("utf-8"))["statistics"]["y"]
    assert [band["energy"] for band in content["bands"]["y"]] == said["energy"]
    shares = [band["energy_share"] for band in content["bands"]["y"]]
    assert shares == [energy / sum(said["energy"]) for energy in said["energy"]]
    assert content["counts"]["untouched"] == 8
    assert [pathlib.Path(path).name for path in content["pictures"]] == ["bands.png", "samples.png"]


def test_the_samples_are_the_split_asked_for(command, dataset, tmp_path):
    command(dataset, "--split=test", "--samples=3", f"--output_dir={tmp_path}/pictures")
    assert not (dataset / "inspection").exists()
    sheet = np.asarray(Image.open(tmp_path / "pictures" / "samples.png"))
    # The first test image has the seed 8 and is 104 pixels wide, as it stands on the sheet.
    box = sheet[92 : 92 + 144, 28 : 28 + 144]
    image = transcode(jpeg(8), Transcoding(num_frequencies=BANDS)).image
    decoded = np.asarray(decode(image))
    assert (box[56:88, 20:124] == decoded).all()


def test_quick_reads_no_records(command, dataset):
    change_feature(dataset, "label/fine", [9])
    status, out, err = command(dataset, "--quick", "--nopictures")
    assert (status, err) == (0, [])
    assert "3 shards" in out.splitlines()[-1]
    assert "--quick" in out.splitlines()[-1]


@pytest.fixture
def check(command):
    """The same without pictures, which take most of the time."""
    return lambda *arguments: command("--nopictures", *arguments)


def check_one_problem(result, file, *words):
    status, out, err = result
    assert status == 1
    assert len(err) == 1, err
    assert err[0].startswith("error: ")
    assert f"/{file}: " in err[0]
    for word in words:
        assert word in err[0]
    assert "verified" not in out


@pytest.mark.parametrize("quick", ["--quick", "--noquick"])
def test_a_flipped_byte(check, plain_dataset, quick):
    path = shard(plain_dataset, number=1)
    first = len(read_shard(path)[0]) + 16
    data = bytearray(path.read_bytes())
    data[first + 400] ^= 1
    path.write_bytes(data)
    where = f"record 1, at byte {first}: the checksum of its data is wrong"
    check_one_problem(check(plain_dataset, quick), path.name, where, "--overwrite")


def test_a_flipped_length(check, plain_dataset):
    path = shard(plain_dataset)
    data = bytearray(path.read_bytes())
    data[3] ^= 64
    path.write_bytes(data)
    check_one_problem(check(plain_dataset), path.name, "record 0, at byte 0", "length")


def test_a_flipped_byte_of_gzip(check, dataset):
    path = shard(dataset)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    check_one_problem(check(dataset), path.name, "damaged")


def test_a_flip_that_changes_no_record(check, dataset):
    path = shard(dataset)
    data = bytearray(path.read_bytes())
    data[5] ^= 1  # the time in gzip's header
    path.write_bytes(data)
    check_one_problem(check(dataset), path.name, "CRC-32C is", "can be read")


@pytest.mark.parametrize("left", [0, 1, 15, 0.5, -1])
def test_a_truncated_gzip_shard(check, dataset, left):
    path = shard(dataset, "test")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * left) if isinstance(left, float) else left])
    check_one_problem(check(dataset), path.name, "Restore it")


def test_a_truncated_shard(check, plain_dataset):
    path = shard(plain_dataset)
    path.write_bytes(path.read_bytes()[:-20])
    check_one_problem(check(plain_dataset), path.name, "record 3", "cut off")


def test_a_shard_that_ends_between_records(check, plain_dataset):
    path = shard(plain_dataset)
    write_shard(path, read_shard(path)[:3])
    check_one_problem(check(plain_dataset), path.name, "3 records", "has 4")


def test_a_missing_shard(check, dataset):
    path = shard(dataset, number=1)
    path.unlink()
    check_one_problem(check(dataset), path.name, "missing", "Restore it")


def test_a_shard_that_cannot_be_read(check, dataset, monkeypatch):
    name, checksum_file = shard(dataset).name, verification.checksum_file

    def fail(path, report):
        if path.endswith(name):
            raise PermissionError(13, "Permission denied", path)
        return checksum_file(path, report)

    monkeypatch.setattr(verification, "checksum_file", fail)
    check_one_problem(check(dataset), name, "Permission denied", "permissions")


def test_an_extra_shard(check, dataset):
    path = dataset / "train-00002-of-00003.tfrecord.gz"
    shutil.copy(shard(dataset), path)
    check_one_problem(check(dataset), path.name, "does not name", "remove it")


def test_other_files_are_left_alone(check, dataset):
    (dataset / "notes.txt").write_text("mine")
    (dataset / "backup").mkdir()
    shutil.copy(shard(dataset), dataset / "backup")
    assert check(dataset)[0] == 0


def test_shards_that_were_swapped(check, dataset):
    one, two = shard(dataset), shard(dataset, number=1)
    data = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(data)
    status, _, err = check(dataset)
    assert status == 1
    assert len(err) == 2
    assert f"{one.name}: it holds what belongs into {two.name}. " in err[0]
    assert f"{two.name}: it holds what belongs into {one.name}. " in err[1]


def test_every_damaged_shard_has_its_line(check, dataset):
    shard(dataset).unlink()
    shard(dataset, "test").write_bytes(b"nothing")
    status, _, err = check(dataset)
    assert status == 1
    assert len(err) == 2


def test_of_damaged_shards_no_samples_are_shown(command, dataset, tmp_path):
    shard(dataset, "test").unlink()
    status, out, _ = command(dataset, "--split=test", f"--json={tmp_path}/all.json")
    assert status == 1
    assert not (dataset / "inspection" / "samples.png").exists()
    content = json.loads((tmp_path / "all.json").read_text("utf-8"))
    (problem,) = content["verified"]["problems"]
    assert problem["what"] == "missing"
    assert content["splits"]["test"]["shards"][0]["bytes"] is None


@pytest.mark.parametrize(
    ("key", "values", "words"),
    [
        ("schema", [1], ("schema version 1", "reads version 2")),
        ("schema", [], ("schema version none",)),
        ("label/fine", [2], ("label 2", "2 classes")),
        ("label/fine", [-1], ("label -1",)),
        ("label/coarse", [1], ("coarse label 1", "class 1 is 0")),
        ("image/height", [48], ("shape",)),
        ("image/width", [65536], ("width",)),
        ("image/sampling", b"4:4:4", ("shape",)),
        ("image/sampling", b"4:2:1", ("sampling",)),
        ("num_frequencies", [5], ()),
        ("y/shape", [4, 7], ("y",)),
        ("cb/dc", b"\0\0", ("DC",)),
        ("cr/ac", b"\0", ("AC",)),
        ("y/overflow/index", [7], ()),
        ("quantization", b"\1\0", ()),
    ],
)
def test_a_record_that_does_not_belong_here(check, dataset, key, values, words):
    path = change_feature(dataset, key, values)
    check_one_problem(check(dataset), path.name, "record 1: ", *words)


def test_a_record_of_other_frequencies(check, dataset):
    def change(records):
        image = transcode(jpeg(3), Transcoding(num_frequencies=BANDS + 1)).image
        records[3] = serialize_record(image, label=0, coarse_label=1, name=b"x")

    path = rewrite(dataset, change)
    check_one_problem(check(dataset), path.name, "record 3: 7 frequencies", "has 6")


def test_a_record_of_another_sampling(check, dataset):
    def change(records):
        settings = Transcoding(num_frequencies=BANDS, subsampling="4:4:4")
        records[3] = serialize_record(
            transcode(jpeg(3), settings).image, label=0, coarse_label=1, name=b"x"
        )

    path = rewrite(dataset, change)
    check_one_problem(check(dataset), path.name, "record 3: sampling 4:4:4", "has 4:2:0")


def test_a_record_that_is_none(check, dataset):
    def change(records):
        records[2] = b"nothing of ours"

    path = rewrite(dataset, change)
    check_one_problem(check(dataset), path.name, "record 2: ", "tf.train.Example")


@pytest.mark.parametrize("change", [list.pop, lambda records: records.append(records[0])])
def test_more_or_fewer_records_than_counted(check, dataset, change):
    path = rewrite(dataset, change)
    check_one_problem(check(dataset), path.name, "records, where dataset.json has 4")


def test_counts_of_classes_that_the_records_do_not_have(check, dataset):
    def change(content):
        content["splits"]["train"]["class_counts"] = [4, 4]

    change_info(dataset, change)
    check_one_problem(check(dataset), "dataset.json", "4 records of class 0, but its shards hold 3")


def test_counts_that_do_not_add_up(check, dataset):
    def change(content):
        content["splits"]["test"]["class_counts"] = [2, 2]

    change_info(dataset, change)
    check_one_problem(check(dataset, "--quick"), "dataset.json", "test has 3 records", "4 in its")


def test_sizes_that_the_records_do_not_have(check, dataset):
    def change(content):
        content["largest"] = [32, 136]

    change_info(dataset, change)
    check_one_problem(check(dataset), "dataset.json", "widths", "136", "120")


def leaves(value, path=()):
    """The path of every value in a JSON object that has no parts."""
    if isinstance(value, (dict, list)):
        entries = value.items() if isinstance(value, dict) else enumerate(value)
        for key, entry in entries:
            yield from leaves(entry, (*path, key))
    else:
        yield path


def leaf_at(content, path):
    for key in path[:-1]:
        content = content[key]
    return content, path[-1]


CHANGES = {
    "4:2:0": "4:4:4",
    "gzip": "none",
    "fast": "exact",
    None: 7,
    False: True,
}


def test_any_change_of_a_number_that_training_uses_is_found(check, dataset):
    original = (dataset / "dataset.json").read_bytes()
    content = json.loads(original)
    checked = ("statistics", "transcoding", "counts", "smallest", "largest", "splits")
    paths = [path for path in leaves(content) if path[0] in checked]
    paths += [("num_frequencies",), ("sampling",), ("compression",)]
    # What is ignored is counted nowhere else, and a file may have several reasons.
    paths = [path for path in paths if path[-1] != "ignored" and ": " not in str(path[-1])]
    paths = paths[::5] + [path for path in paths if path[0] in ("transcoding", "counts")]
    for path in paths:
        changed = json.loads(original)
        part, key = leaf_at(changed, path)
        value = part[key]
        if type(value) is float:
            part[key] = math.nextafter(value, math.inf) if value < 1 else value * (1 - 2**-53)
        elif type(value) is int:
            part[key] = value + 1
        else:
            part[key] = CHANGES.get(value, "train-00009-of-00010.tfrecord.gz")
        assert part[key] != value
        (dataset / "dataset.json").write_text(json.dumps(changed), "utf-8")
        status, out, err = check(dataset)
        assert (status, "verified" in out) == (1, False), path
        assert all(line.startswith("error: ") for line in err), path
        assert "dataset.json" in err[0] or "tfrecord" in err[0], path


def test_statistics_that_the_records_do_not_have(check, dataset):
    def change(content):
        content["statistics"]["cb"]["std"][2:4] = [3.0, 4.0]

    change_info(dataset, change)
    words = ("the std of band 2 of cb is 3.0, but that of the records ", "(2 bands differ)")
    check_one_problem(check(dataset), "dataset.json", *words, "--overwrite")
    # It takes the records to find that.
    assert check(dataset, "--quick")[0] == 0


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        (("counts", "untouched"), 9, ("11 records, but 12 files that became one",)),
        (("counts", "converted: downscale 2"), 4, ("3 files are converted", "[2, 4]")),
        (("counts", "rejected"), 0, ("12 files, but 11 records and 0 rejected files",)),
        (("transcoding", "num_frequencies"), 5, ("num_frequencies is 6, but 5 elsewhere",)),
        (("transcoding", "subsampling"), "4:4:4", ("sampling is 4:2:0, but 4:4:4 elsewhere",)),
        (("transcoding", "quality"), 90, ("transcoding/quality is 90, but None elsewhere",)),
        (("settings", "compression"), "none", ("compression is gzip, but none elsewhere",)),
    ],
)
def test_what_dataset_json_says_of_itself_and_cannot_be(check, dataset, key, value, words):
    def change(content):
        part, last = leaf_at(content, key)
        part[last] = value

    change_info(dataset, change)
    status, out, err = check(dataset, "--quick")
    assert (status, "verified" in out) == (1, False)
    assert all(word in "\n".join(err) for word in words), err


ODD = (None, True, -1, 1 << 70, 0.5, 1e300, "", "\ud800", "a/b", [], [[]], [1], {}, {"x": 1})


def test_any_value_of_a_wrong_kind_is_one_line(check, dataset):
    original = (dataset / "dataset.json").read_bytes()
    paths = list(leaves(json.loads(original)))
    random = np.random.default_rng(0)
    for path in [paths[index] for index in random.permutation(len(paths))[:60]]:
        for odd in (ODD[index] for index in random.permutation(len(ODD))[:3]):
            changed = json.loads(original)
            part, key = leaf_at(changed, path)
            part[key] = odd
            (dataset / "dataset.json").write_text(json.dumps(changed), "utf-8")
            status, _, err = check(dataset, "--quick")
            assert status == 0 or all(line.startswith("error: ") for line in err), (path, odd)
            assert "Traceback" not in "".join(err)


def test_a_label_without_a_class_among_the_samples(command, dataset):
    for place in range(4):
        change_feature(dataset, "label/fine", [9], place)
    status, _, err = command(dataset, "--quick")
    assert (status, len(err)) == (1, 1)
    assert "label 9, where the data set has 2 classes" in err[0]


def test_a_record_that_does_not_fit_into_the_memory(check, command, dataset, monkeypatch):
    def fail(serialized):
        raise MemoryError

    monkeypatch.setattr(verification, "read_record", fail)
    status, _, err = check(dataset)
    assert (status, len(err)) == (1, 3)
    assert f"{shard(dataset).name}: a record needs more memory than there is. Restore" in err[0]
    monkeypatch.setattr(samples, "read_record", fail)
    status, _, err = command(dataset, "--quick")
    assert (status, len(err)) == (1, 1)
    assert err[0].startswith("error: there is not enough memory")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[]", "schema version None"),
        (b'{"schema_version": 1}', "schema version 1"),
        (b'{"schema_version": 2}', "incomplete"),
    ],
)
def test_a_dataset_json_that_is_none(check, dataset, content, words):
    (dataset / "dataset.json").write_bytes(content)
    status, out, err = check(dataset)
    assert (status, out, len(err)) == (1, "", 1)
    assert words in err[0]
    assert "preprocessing again" in err[0]
    assert "--overwrite" in err[0]


def without_energy(content):
    del content["statistics"]["cb"]["energy"]


def short_zeros(content):
    content["statistics"]["y"]["zeros"].pop()


def no_number(content):
    content["statistics"]["y"]["mean"][2] = float("nan")


def far_coarse(content):
    content["classes"][1]["coarse"] = 2


def no_test(content):
    del content["splits"]["test"]


def more_counts(content):
    content["splits"]["test"]["class_counts"].append(0)


@pytest.mark.parametrize(
    "change", [without_energy, short_zeros, no_number, far_coarse, more_counts, no_test]
)
def test_a_dataset_json_that_does_not_hold_together(check, dataset, change):
    change_info(dataset, change)
    status, out, err = check(dataset)
    assert (status, out, len(err)) == (1, "", 1)
    assert "dataset.json" in err[0]
    assert "--overwrite" in err[0]


def test_no_data_set(check, tmp_path):
    status, _, err = check(tmp_path)
    assert (status, len(err)) == (1, 1)
    assert "preprocess.main" in err[0]


def test_a_data_set_that_is_not_finished(check, dataset):
    (dataset / "dataset.json").unlink()
    (dataset / ".plan").mkdir()
    (dataset / ".plan" / "plan.json").write_text("{}")
    status, _, err = check(dataset)
    assert (status, len(err)) == (1, 1)
    assert "not finished" in err[0]


def test_the_folder_is_given_once(check, dataset):
    assert "DIR" in check()[2][0]
    status, _, err = check(dataset, f"--data_dir={dataset}")
    assert (status, len(err)) == (1, 1)
    assert "one folder" in err[0]


def test_pictures_that_cannot_be_written(command, dataset):
    (dataset / "inspection").write_text("a file")
    status, _, err = command(dataset)
    assert (status, len(err)) == (1, 1)
    assert "inspection" in err[0]
    assert "--output_dir" in err[0]
    assert command(dataset, "--nopictures")[0] == 0


def test_an_interrupt(check, dataset, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(verification, "checksum_file", interrupt)
    status, _, err = check(dataset)
    assert (status, err) == (130, ["interrupted."])


def test_names_that_the_font_or_the_terminal_has_not(command, dataset):
    def change(content):
        content["classes"][0]["title"] = "狗 " + "w" * 300 + "\nline"
        content["classes"][1]["title"] = os.fsdecode(b"\xff\xfe")

    change_info(dataset, change)
    status, out, _ = command(dataset)
    assert status == 0
    assert "狗 www" in out
    assert "\\xff\\xfe: 5" in out


def test_a_thousand_classes(check, dataset):
    def change(content):
        content["classes"] += [{"name": f"n{i}", "title": f"c{i}", "coarse": 0} for i in range(998)]
        for split in content["splits"].values():
            split["class_counts"] += [0] * 998

    change_info(dataset, change)
    status, out, _ = check(dataset)
    assert status == 0
    assert "c0: 0" in out
    assert len(out.splitlines()) < 120


def test_a_data_set_on_another_file_system(command, dataset):
    remote = "ram://bucket/records"
    for path in dataset.iterdir():
        tf.io.gfile.copy(str(path), f"{remote}/{path.name}", overwrite=True)
    try:
        status, out, err = command(remote)
        assert (status, err) == (0, [])
        assert "11 records" in out.splitlines()[-1]
        with tf.io.gfile.GFile(f"{remote}/inspection/samples.png", "rb") as file:
            assert Image.open(io.BytesIO(file.read())).size[0] > 0
        tf.io.gfile.remove(f"{remote}/{shard(dataset).name}")
        check_one_problem(command(remote, "--nopictures"), shard(dataset).name, "missing")
    finally:
        tf.io.gfile.rmtree(remote)


def test_what_the_job_has_made(command, tmp_path):
    write_classes(tmp_path / "images", {"ant": 5, "bee": 5}, subsampling="4:4:4")
    write_files(tmp_path / "images", {"bee/broken.jpg": b"no picture"})
    options = ("--compression=none", "--num_frequencies=10", "--workers=1", "--max_rejected=0.5")
    made = tmp_path / "made"
    assert run_main(f"--input_dir={tmp_path}/images", f"--output_dir={made}", *options) == 0
    status, _, _ = command(made, f"--json={tmp_path}/all.json")
    assert status == 0
    content = json.loads((tmp_path / "all.json").read_text("utf-8"))
    assert content["counts"]["converted: 4:4:4 to 4:2:0"] == 10
    assert content["counts"]["rejected"] == 1
    records = [parse_record(record, 10) for record in read_shard(next(made.glob("train-*")))]
    for number, key in enumerate(COMPONENTS):
        dequantised = np.concatenate(
            [
                record[key].numpy().reshape(-1, 10) * record["quantization"][number].numpy()
                for record in records
            ]
        ).astype(np.float64)
        for name, expected in (
            ("mean", dequantised.mean(axis=0)),
            ("std", dequantised.std(axis=0)),
            ("zeros", (dequantised == 0).mean(axis=0)),
            ("energy", (dequantised**2).mean(axis=0)),
        ):
            shown = [band[name] for band in content["bands"][key]]
            np.testing.assert_allclose(shown, expected, rtol=1e-9, atol=1e-9)


def test_large_shards_are_read_in_pieces(check, plain_dataset):
    path = shard(plain_dataset)
    rewrite(plain_dataset, lambda records: records.extend(records * 900))
    assert path.stat().st_size > 2 << 20
    check_one_problem(check(plain_dataset), path.name, "3604 records")


def test_it_starts_without_tensorflow():
    code = "import sys, preprocess.inspect; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=120).returncode == 0


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_has_not_every_letter(dataset, encoding):
    done = subprocess.run(
        [sys.executable, "-m", "preprocess.inspect", str(dataset), "--nopictures"],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        encoding=encoding,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "verified" in done.stdout
    assert ("\\xd7" if encoding == "ascii" else "×") in done.stdout


def test_the_command_line(dataset):
    with gzip.open(shard(dataset)) as file:
        assert len(file.read(12)) == 12
    done = subprocess.run(
        [sys.executable, "-m", "preprocess.inspect", str(dataset), "--samples=2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "verified" in done.stdout
