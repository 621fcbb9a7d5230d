"""Records → batches: which records, in which order, cropped where, flipped when."""

from __future__ import annotations

import dataclasses
import functools
import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from jpegkeras import transforms
from jpegkeras.dataset_info import ShardInfo, find_damage, load_dataset_info
from jpegkeras.draws import draw
from jpegkeras.errors import InputError
from jpegkeras.files import file_crc32c
from jpegkeras.input_pipeline import (
    Source,
    evaluation_batches,
    layout_of,
    steps_per_epoch,
    training_batches,
)
from jpegkeras.packed_batches import DRAWS
from jpegkeras.record_format import read_record
from jpegkeras.sampling import COMPONENTS
from jpegkeras.tfrecord_files import RecordFileWriter, read_tfrecords
from jpegkeras.transcoding import Transcoding, transcode
from jpegkeras.unpacking import central_places, random_places, unpack
from tests.datasets import draw_jpeg, numbered_image, write_dataset

TRAIN, TEST = 24, 7


def write_numbered(directory, sizes, **options):
    """Images that say which they are, and each of their blocks where it stood."""
    images = {
        split: [
            (numbered_image(i, height=sizes[i % 3][0], width=sizes[i % 3][1]), i % 3)
            for i in range(count)
        ]
        for split, count in (("train", TRAIN), ("test", TEST))
    }
    write_dataset(directory, images, num_frequencies=3, **options)
    return directory


def write_shards(directory, counts):
    """Writes the train split anew, with so many records in each shard."""
    info = load_dataset_info(directory)
    (whole,) = info.splits["train"].shards
    records = list(read_tfrecords(directory / whole.file, info.compression))
    assert len(records) == sum(counts)
    shards = []
    for number, count in enumerate(counts):
        name = f"train-{number:05d}-of-{len(counts):05d}.{whole.file.split('.', 1)[1]}"
        with RecordFileWriter(directory / name, info.compression) as writer:
            for record in records[:count]:
                writer.write(record)
        records = records[count:]
        shards.append(ShardInfo(name, count, file_crc32c(directory / name)))
    split = dataclasses.replace(info.splits["train"], shards=tuple(shards))
    dataclasses.replace(info, splits={**info.splits, "train": split}).save(directory)


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """Of three sizes, which the host crops."""
    directory = tmp_path_factory.mktemp("numbered")
    sizes = [(64, 80), (70, 64), (79, 111)]
    write_numbered(directory, sizes, compression="gzip")
    write_shards(directory, [5, 4, 5, 5, 5])
    return directory


@pytest.fixture(scope="module")
def even(tmp_path_factory):
    """Of one size, 3 × 2 whole MCUs and some columns more, which the device crops."""
    directory = write_numbered(tmp_path_factory.mktemp("even"), [(48, 39)] * 3)
    write_shards(directory, [5, 4, 5, 5, 5])
    return directory


@pytest.fixture(scope="module", params=["even", "numbered"])
def either(request):
    return request.getfixturevalue(request.param)


def source_of(directory, **changes):
    options = {"num_frequencies": 3, "image_size": 32, "task": "fine", **changes}
    return Source(directory, load_dataset_info(directory), **options)


def packed_batches(directory, *, source=None, **changes):
    options = {"replica_batch_size": 4, "epoch": 0, "seed": 0, "shuffle_buffer": 100, **changes}
    return training_batches(source or source_of(directory), **options)


def train_batches(directory, *, crop="random", num_frequencies=3, task="fine", **changes):
    """Unpacked batches of training."""
    source = source_of(directory, num_frequencies=num_frequencies, task=task)
    layout = layout_of(source)
    batches = packed_batches(directory, source=source, crop=crop, **changes)
    return [
        (_unpack(packed, layout, crop), labels) for packed, labels in batches.as_numpy_iterator()
    ]


def _unpack(packed, layout, crop="random"):
    """In NumPy and out; traced once for each layout and shapes."""
    return {key: value.numpy() for key, value in _traced(layout, crop)(packed).items()}


@functools.lru_cache
def _traced(layout, crop):
    @tf.function(autograph=False)
    def function(packed):
        draws = packed["draws"]
        random = random_places(draws, layout)
        places = random if crop == "random" else central_places(tf.shape(draws)[0], layout)
        return unpack(packed, layout, *places)

    return function


def numbers(batches):
    return np.concatenate([features["y"][:, 0, 0, 0] for features, *_ in batches])


def packed_numbers(batches):
    return np.concatenate([features["y/dc"][:, 0] for features, *_ in batches])


def test_an_epoch_takes_every_record_once_and_leaves_the_short_batch_out(either):
    assert sorted(numbers(train_batches(either))) == list(range(TRAIN))
    seen = numbers(train_batches(either, replica_batch_size=7))
    assert len(seen) == len(set(seen)) == 21


def test_order_and_draws_follow_seed_and_epoch(either):
    first = train_batches(either, epoch=1, seed=3)
    again = train_batches(either, epoch=1, seed=3)
    tf.nest.map_structure(np.testing.assert_array_equal, first, again)
    for other in (train_batches(either, epoch=2, seed=3), train_batches(either, epoch=1)):
        assert list(numbers(other)) != list(numbers(first))
        assert np.any(other[0][0]["y"][..., 1] != first[0][0]["y"][..., 1])


def test_a_data_set_gives_the_same_batches_each_time(either):
    batches = packed_batches(either)
    first, again = (list(batches.as_numpy_iterator()) for _ in range(2))
    tf.nest.map_structure(np.testing.assert_array_equal, first, again)


def test_labels_stay_with_their_records(either):
    for task, expected in (("fine", [0, 1, 2]), ("coarse", [0, 0, 1])):
        for features, labels in train_batches(either, task=task):
            wanted = [expected[number % 3] for number in features["y"][:, 0, 0, 0]]
            assert list(labels) == wanted


def test_random_crops_are_whole_mcus_everywhere_and_flips_are_even(either):
    corners, flips = set(), []
    for epoch in range(12):
        for features, _ in train_batches(either, epoch=epoch):
            for i in range(4):
                number, row, col, flipped = _corner(features, i)
                flips.append(flipped)
                if number % 3 == 2:
                    corners.add((row, col))
    # Even images have 3 × 2 whole MCUs, the largest of the others 4 × 6; crops have 2 × 2.
    down, across = (2, 1) if either.name.startswith("even") else (3, 5)
    assert corners == {
        (row, col) for row in range(0, 2 * down, 2) for col in range(0, 2 * across, 2)
    }
    assert 0.4 < np.mean(flips) < 0.6


def _corner(features, i):
    """Checks that item `i` is one crop, perhaps flipped; returns (number, row, col, flipped)."""
    y = features["y"][i].astype(int)
    assert y.shape == (4, 4, 3)
    # Band 1 is the first horizontal frequency: a flip changes its sign. Band 2 is vertical.
    flipped = bool((y[..., 1] < 0).any() or y[0, 0, 2] > y[0, -1, 2])
    if flipped:
        y = y[:, ::-1] * [1, -1, 1]
    row, col = y[0, 0, 1], y[0, 0, 2]
    rows, cols = np.mgrid[:4, :4]
    np.testing.assert_array_equal(y[..., 1], row + rows)
    np.testing.assert_array_equal(y[..., 2], col + cols)
    assert row % 2 == col % 2 == 0
    for key in ("cb", "cr"):
        chroma = features[key][i].astype(int)
        chroma = chroma[:, ::-1] * [1, -1, 1] if flipped else chroma
        rows, cols = np.mgrid[:2, :2]
        np.testing.assert_array_equal(chroma[..., 1], row // 2 + rows)
        np.testing.assert_array_equal(chroma[..., 2], col // 2 + cols)
    return y[0, 0, 0], row, col, flipped


def test_without_augmentation_the_crop_is_central(numbered, even):
    for directory, corners in ((numbered, [(2, 2), (2, 2), (2, 4)]), (even, [(0, 0)] * 3)):
        for features, _ in train_batches(directory, crop="central"):
            for i in range(4):
                number, row, col, flipped = _corner(features, i)
                assert (row, col, flipped) == (*corners[number % 3], False)


def write_drawn(directory, sizes, *, sampling, quality, compression="none"):
    """Data sets of drawn JPEGs; also of a grayscale one."""
    settings = Transcoding(num_frequencies=20, subsampling=sampling)
    images = []
    for number in range(8):
        height, width = sizes[number % len(sizes)]
        jpeg = draw_jpeg(
            number % 3, number, height=height, width=width, quality=quality, subsampling=sampling
        )
        if number == 3:
            jpeg = _draw_gray(height, width)
        images.append((transcode(jpeg, settings).image, number % 3))
    write_dataset(
        directory,
        {"train": images, "test": images[:3]},
        num_frequencies=20,
        sampling=sampling,
        compression=compression,
    )
    return directory


def _draw_gray(height, width):
    pixels = np.random.default_rng(0).choice([0, 255], (height, width)).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=100)
    return out.getvalue()


ONE_SIZE, SIZES = [(50, 70)], [(50, 70), (83, 64), (49, 200)]


@pytest.mark.parametrize(
    ("sampling", "quality", "sizes", "count"),
    [
        ("4:2:0", 100, ONE_SIZE, 20),
        ("4:2:0", 75, ONE_SIZE, 20),
        ("4:2:0", 100, ONE_SIZE, 7),
        ("4:2:0", 100, ONE_SIZE, 1),
        ("4:2:2", 100, ONE_SIZE, 20),
        ("4:4:4", 100, ONE_SIZE, 20),
        ("4:2:0", 100, SIZES, 20),
        ("4:2:0", 75, SIZES, 20),
        ("4:2:0", 100, SIZES, 7),
        ("4:2:0", 100, SIZES, 1),
        ("4:2:2", 100, SIZES, 20),
        ("4:4:4", 100, SIZES, 20),
    ],
)
def test_batches_are_crops_and_flips_of_what_the_records_hold(
    tmp_path, sampling, quality, sizes, count
):
    write_drawn(tmp_path, sizes, sampling=sampling, quality=quality)
    source = Source(tmp_path, load_dataset_info(tmp_path), count, 48, "fine")
    layout = layout_of(source)
    assert layout.is_cropped == (len(sizes) > 1)
    truth = _read_images(source)
    large = 0
    for packed, labels in packed_batches(tmp_path, source=source, replica_batch_size=4):
        inputs = _unpack(packed, layout)
        large += sum(np.sum(packed[f"{key}/overflow/index"] >= 0) for key in COMPONENTS)
        for i, label in enumerate(labels.numpy()):
            draws = packed["draws"][i].numpy()
            matching = [record for record in truth if _is_crop_of(inputs, i, record, draws, source)]
            (record,) = matching
            assert record["label"] == label
            truth = [other for other in truth if other is not record]
    assert not truth
    if quality == 100 and count > 1:
        assert large > 0


def _read_images(source, split="train"):
    (shard,) = source.info.splits[split].shards
    images = []
    for serialized in read_tfrecords(source.directory / shard.file, source.info.compression):
        record = read_record(serialized)
        image = {
            key: component.coefficients[..., : source.num_frequencies]
            for key, component in zip(COMPONENTS, record.image.components)
        }
        tables = [c.quantization[: source.num_frequencies] for c in record.image.components]
        size = record.image.height, record.image.width
        images.append({**image, "tables": tables, "size": size, "label": record.label})
    return images


def _is_crop_of(inputs, i, record, draws, source):
    sampling = source.info.sampling
    counts = transforms.mcu_counts(*record["size"], sampling)
    mcu = {"4:2:0": (16, 16), "4:2:2": (8, 16), "4:4:4": (8, 8)}[sampling]
    corner = [
        int(np.floor(draw * np.float32(count - source.image_size // side + 1)))
        for draw, count, side in zip(draws, counts, mcu)
    ]
    crop = transforms.crop(record, *corner, source.image_size, sampling)
    if draws[2] < 0.5:
        crop = {key: transforms.flip_horizontal(value) for key, value in crop.items()}
    return all(np.array_equal(inputs[key][i], crop[key]) for key in COMPONENTS) and np.array_equal(
        inputs["quantization"][i], record["tables"]
    )


def test_images_much_larger_than_their_crop_are_cropped_by_the_host(even):
    """So that no more than twice the crop is sent to the device."""
    source = source_of(even)
    assert layout_of(source).frame == (3, 2)
    for size, frame in (((64, 32), (4, 2)), ((96, 32), (2, 2))):
        info = dataclasses.replace(source.info, smallest=size, largest=size)
        assert layout_of(dataclasses.replace(source, info=info)).frame == frame


def test_room_for_overflows_is_a_power_of_two(tmp_path):
    write_drawn(tmp_path, [(56, 72)], sampling="4:2:0", quality=100)
    source = Source(tmp_path, load_dataset_info(tmp_path), 20, 48, "fine")
    rooms = {
        packed[f"{key}/overflow/{part}"].shape[1]
        for packed, _ in packed_batches(tmp_path, source=source, replica_batch_size=2)
        for key in COMPONENTS
        for part in ("index", "value")
    }
    assert len(rooms) > 1 and min(rooms) == 8
    assert all(room & (room - 1) == 0 for room in rooms)


def test_shapes_are_known_before_the_first_batch(either):
    features, labels = packed_batches(either).element_spec
    assert labels.shape == (4,) and labels.dtype == tf.int64
    assert features["draws"] == tf.TensorSpec([4, DRAWS], tf.float32)
    assert features["quantization"] == tf.TensorSpec([4, 3, 3], tf.uint16)
    for packed, label in packed_batches(either):
        for key, spec in features.items():
            assert spec.is_compatible_with(packed[key])
            unknown = [size for size in spec.shape if size is None]
            assert len(unknown) == (1 if "overflow" in key else 0)
        assert label.shape == (4,)


# One order and one set of draws, however they are shared out.


@pytest.mark.parametrize(("replicas", "hosts"), [(2, 1), (1, 2), (2, 2), (1, 3)])
def test_global_batches_do_not_depend_on_devices_and_hosts(either, replicas, hosts):
    single = list(packed_batches(either, replica_batch_size=12).as_numpy_iterator())
    size = 12 // replicas // hosts
    shared = [
        list(
            packed_batches(
                either,
                replica_batch_size=size,
                num_replicas=replicas,
                num_hosts=hosts,
                host=host,
            ).as_numpy_iterator()
        )
        for host in range(hosts)
    ]
    assert {len(batches) for batches in shared} == {2 * replicas}
    for step, (features, labels) in enumerate(single):
        parts = [
            shared[host][step * replicas + replica]
            for host in range(hosts)
            for replica in range(replicas)
        ]
        for key in ("y/dc", "y/ac", "cr/dc", "draws", "quantization"):
            joined = np.concatenate([part[key] for part, _ in parts])
            np.testing.assert_array_equal(joined, features[key])
        np.testing.assert_array_equal(np.concatenate([part for _, part in parts]), labels)


def test_draws_belong_to_the_place_in_the_order_not_to_the_batch(either):
    draws = [
        np.concatenate([f["draws"] for f, _ in packed_batches(either, replica_batch_size=size)])
        for size in (1, 7, 24)
    ]
    assert draws[0].shape == (TRAIN, DRAWS)
    for other in draws[1:]:
        np.testing.assert_array_equal(other, draws[0][: len(other)])
    assert draws[0].min() >= 0 and draws[0].max() < 1
    assert len(np.unique(draws[0])) == draws[0].size


@pytest.mark.parametrize("replicas", [1, 2])
def test_what_continues_in_the_middle_sees_what_is_left(either, replicas):
    options = {"replica_batch_size": 2, "num_replicas": replicas, "num_hosts": 2, "epoch": 3}
    for host in range(2):
        whole = list(packed_batches(either, host=host, **options).as_numpy_iterator())
        for first in (1, len(whole) // replicas):
            rest = packed_batches(either, host=host, first_step=first, **options)
            rest = list(rest.as_numpy_iterator())
            assert len(rest) == len(whole) - first * replicas
            tf.nest.map_structure(np.testing.assert_array_equal, rest, whole[first * replicas :])


def test_draws_are_addressed_by_number():
    """Philox's counter, which is given, is so many for each image: no number comes twice."""
    whole = draw(5, 0, 3000).numpy()
    assert whole.shape == (3000, DRAWS) and whole.dtype == np.float32
    assert whole.min() >= 0 and whole.max() < 1
    np.testing.assert_allclose(whole.mean(axis=0), 0.5, atol=0.03)
    np.testing.assert_allclose(np.corrcoef(whole.T), np.eye(DRAWS), atol=0.08)
    assert np.abs(np.corrcoef(whole[1:, 0], whole[:-1, 0])[0, 1]) < 0.08
    for first, count in ((1, 50), (77, 1), (1023, 128), (2999, 1)):
        drawn = draw(5, tf.constant(first, tf.int64), count)
        np.testing.assert_array_equal(drawn, whole[first : first + count])
    assert np.mean(draw(6, 0, 3000) == whole) < 1e-4


def test_shards_are_read_in_the_same_order_on_one_core_and_on_several(either, monkeypatch):
    several = packed_numbers(list(packed_batches(either, shuffle_buffer=1)))
    cores = []
    monkeypatch.setattr("os.sched_getaffinity", lambda _: cores.append(0) or {0})
    assert list(packed_numbers(list(packed_batches(either, shuffle_buffer=1)))) == list(several)
    assert cores


def test_so_many_steps_and_no_more(either):
    whole = list(packed_batches(either, replica_batch_size=3).as_numpy_iterator())
    few = list(packed_batches(either, replica_batch_size=3, steps=5).as_numpy_iterator())
    assert (len(whole), len(few)) == (8, 5)
    tf.nest.map_structure(np.testing.assert_array_equal, few, whole[:5])
    with pytest.raises(ValueError, match="an epoch has 8 steps; got 9"):
        packed_batches(either, replica_batch_size=3, steps=9)
    assert not list(packed_batches(either, steps=2, first_step=3))


def test_sharding_by_files_shares_the_shards_out(either):
    options = {"replica_batch_size": 2, "num_hosts": 2, "sharding": "files"}
    assert steps_per_epoch(source_of(either), 4, 2, "files") == 4  # 4 + 5 of 24 records, by 2
    shares = []
    for epoch in range(3):
        seen, draws = [], []
        for host in range(2):
            batches = list(packed_batches(either, host=host, epoch=epoch, **options))
            assert len(batches) == 4
            seen.append(set(packed_numbers(batches)))
            assert len(seen[host]) == 8
            draws.append(batches[0][0]["draws"])
        assert not seen[0] & seen[1]
        assert not np.any(draws[0] == draws[1])
        shares.append(frozenset(seen[0]))
    assert len(set(shares)) == 3
    one_host = list(packed_batches(either, sharding="files").as_numpy_iterator())
    exact = list(packed_batches(either).as_numpy_iterator())
    tf.nest.map_structure(np.testing.assert_array_equal, one_host, exact)


def test_steps_of_an_epoch(even):
    source = source_of(even)
    assert steps_per_epoch(source, 24) == 1
    assert steps_per_epoch(source, 5, 5, "exact") == 4
    assert steps_per_epoch(source, 5, 5, "files") == 4
    with pytest.raises(InputError, match="5 training shards cannot be shared out to 6 hosts"):
        steps_per_epoch(source, 6, 6, "files")
    with pytest.raises(InputError, match="24 training records .* do not fill one batch of 25"):
        steps_per_epoch(source, 25)
    with pytest.raises(InputError, match=r"9 training records \(the share of a host\)"):
        steps_per_epoch(source, 20, 2, "files")
    with pytest.raises(ValueError, match="sharding must be one of exact, files; got 'none'"):
        steps_per_epoch(source, 2, 2, "none")


def test_wrong_arguments_are_errors(even):
    with pytest.raises(ValueError, match="crop must be 'random' or 'central'; got 'top'"):
        packed_batches(even, crop="top")
    with pytest.raises(ValueError, match="host must be from 0 to 1; got 2"):
        packed_batches(even, num_hosts=2, host=2)


# Evaluation.


def evaluate(directory, *, batch_size=4, **options):
    batches = evaluation_batches(
        source_of(directory), split="test", batch_size=batch_size, **options
    )
    return list(batches.as_numpy_iterator())


def test_evaluation_takes_every_record_in_order_and_fills_the_last_batch(either):
    batches = evaluate(either)
    assert [len(labels) for _, labels, _ in batches] == [4, 4]
    weights = np.concatenate([weights for *_, weights in batches])
    assert list(weights) == [1.0] * TEST + [0.0]
    assert list(numbers(batches)[:TEST]) == list(range(TEST))
    assert list(np.concatenate([labels for _, labels, _ in batches])[:TEST]) == [0, 1, 2] * 2 + [0]
    assert {key: value.shape for key, value in batches[1][0].items()} == {
        "y": (4, 4, 4, 3),
        "cb": (4, 2, 2, 3),
        "cr": (4, 2, 2, 3),
        "quantization": (4, 3, 3),
    }


def test_evaluation_crops_in_the_centre(numbered, even):
    for directory, corners in ((numbered, [(2, 2), (2, 2), (2, 4)]), (even, [(0, 0)] * 3)):
        for features, _, weights in evaluate(directory):
            for i in np.flatnonzero(weights):
                number, row, col, flipped = _corner(features, i)
                assert (row, col, flipped) == (*corners[number % 3], False)


@pytest.mark.parametrize(("batch_size", "hosts"), [(4, 2), (3, 2), (2, 3), (8, 2)])
def test_hosts_evaluate_everything_once_in_equally_many_batches(either, batch_size, hosts):
    shares = [
        evaluate(either, batch_size=batch_size, num_hosts=hosts, host=host) for host in range(hosts)
    ]
    assert len({len(share) for share in shares}) == 1
    seen = []
    for share in shares:
        for features, labels, weights in share:
            assert len(labels) == batch_size
            seen += list(features["y"][weights > 0, 0, 0, 0])
    assert sorted(seen) == list(range(TEST))


@pytest.mark.parametrize("sizes", [[(50, 70)], [(50, 70), (83, 64)]])
def test_evaluation_sees_what_the_records_hold(tmp_path, sizes):
    write_drawn(tmp_path, sizes, sampling="4:2:0", quality=100, compression="gzip")
    source = Source(tmp_path, load_dataset_info(tmp_path), 9, 48, "fine")
    batches = evaluation_batches(source, split="test", batch_size=3)
    ((features, labels, _),) = batches.as_numpy_iterator()
    for i, record in enumerate(_read_images(source, "test")):
        corner = transforms.center_offsets(*record["size"], 48, "4:2:0")
        crop = transforms.crop(record, *corner, 48, "4:2:0")
        for key in COMPONENTS:
            np.testing.assert_array_equal(features[key][i], crop[key])
        assert labels[i] == record["label"]


# What is wrong with the data.


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image_size": 80}, "largest crop that fits all is 64"),
        ({"image_size": 40}, "multiple of 16"),
        ({"num_frequencies": 4}, "hold 3 frequencies, the network takes 4"),
    ],
)
def test_what_the_records_cannot_give_is_an_error(numbered, changes, words):
    with pytest.raises(InputError, match=words):
        source_of(numbered, **changes)


def test_an_unknown_split_is_an_error_that_lists_the_splits(numbered):
    with pytest.raises(InputError, match="no split 'valid'; it has train, test"):
        source_of(numbered).records("valid")


def test_no_crop_fits_an_image_smaller_than_one_mcu(numbered):
    info = dataclasses.replace(load_dataset_info(numbered), smallest=(9, 64))
    with pytest.raises(InputError, match="fits all is 0"):
        Source(numbered, info, 3, 16, "fine")


def change_record(directory, change, number=13):
    """Rewrites the data set's only training shard with one record changed."""
    info = load_dataset_info(directory)
    (shard,) = info.splits["train"].shards
    records = list(read_tfrecords(directory / shard.file, info.compression))
    example = tf.train.Example.FromString(records[number])
    change(example.features.feature)
    records[number] = example.SerializeToString(deterministic=True)
    with RecordFileWriter(directory / shard.file, info.compression) as writer:
        for record in records:
            writer.write(record)


@pytest.mark.parametrize("sizes", [[(48, 39)] * 3, [(64, 80), (70, 64), (79, 111)]])
@pytest.mark.parametrize(
    "change",
    [
        lambda feature: feature.pop("schema"),
        lambda feature: feature["schema"].int64_list.value.__setitem__(0, 3),
        lambda feature: feature["num_frequencies"].int64_list.value.__setitem__(0, 2),
        lambda feature: feature["image/sampling"].bytes_list.value.__setitem__(0, b"4:4:4"),
        lambda feature: feature["y/shape"].int64_list.value.__setitem__(1, 7),
        lambda feature: feature["cb/ac"].bytes_list.value.__setitem__(0, b"short"),
        lambda feature: feature["cr/dc"].bytes_list.value.__setitem__(0, b""),
    ],
)
def test_a_record_that_is_not_what_the_data_set_says_is_named(tmp_path, sizes, change):
    write_numbered(tmp_path, sizes)
    change_record(tmp_path, change)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"a record is not what dataset.json says.*train/13"
    ):
        list(packed_batches(tmp_path))


def test_an_image_of_another_size_is_named(tmp_path):
    write_numbered(tmp_path, [(48, 39)] * 3)
    info = load_dataset_info(tmp_path)
    other = dataclasses.replace(info, smallest=(40, 39), largest=(40, 39))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"train/\d.* 6 5 3 3 .* 5 5 3 3 "):
        list(packed_batches(tmp_path, source=Source(tmp_path, other, 3, 32, "fine")))
    other = dataclasses.replace(info, smallest=(64, 64), largest=(64, 80))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"a record is not.*train/\d"):
        list(packed_batches(tmp_path, source=Source(tmp_path, other, 3, 64, "fine")))


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_damage_is_found_with_file_and_record(tmp_path, compression):
    write_numbered(tmp_path, [(48, 39)] * 3, compression=compression)
    write_shards(tmp_path, [8, 9, 7])
    info = load_dataset_info(tmp_path)
    assert find_damage(tmp_path, info) == []
    shard = info.splits["train"].shards[1]
    path = tmp_path / shard.file
    content = path.read_bytes()
    half = len(content) // 2

    path.write_bytes(content[:half])
    with pytest.raises((tf.errors.DataLossError, tf.errors.FailedPreconditionError)):
        list(packed_batches(tmp_path))
    (line,) = find_damage(tmp_path, info)
    assert line.startswith(f"{shard.file}: record ") and "at byte" in line

    path.write_bytes(content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :])
    with pytest.raises((tf.errors.DataLossError, tf.errors.FailedPreconditionError)):
        list(packed_batches(tmp_path))
    (line,) = find_damage(tmp_path, info)
    assert line.startswith(f"{shard.file}: record ")

    path.unlink()
    assert find_damage(tmp_path, info) == [f"{shard.file}: it is missing"]


def test_the_damaged_record_is_the_one_that_is_named(tmp_path):
    write_numbered(tmp_path, [(48, 39)] * 3)
    info = load_dataset_info(tmp_path)
    (shard,) = info.splits["train"].shards
    content = bytearray((tmp_path / shard.file).read_bytes())
    records = list(read_tfrecords(tmp_path / shard.file, "none"))
    position = sum(len(record) + 16 for record in records[:11])
    content[position + 12 + 40] ^= 1
    (tmp_path / shard.file).write_bytes(content)
    (line,) = find_damage(tmp_path, info)
    assert line.startswith(f"{shard.file}: record 11, at byte {position}: the checksum of its data")


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_shard_with_fewer_records_is_an_error(tmp_path, compression):
    """Nothing in the file itself tells that it should be longer."""
    write_numbered(tmp_path, [(48, 39)] * 3, compression=compression)
    write_shards(tmp_path, [12, 12])
    info = load_dataset_info(tmp_path)
    shard = info.splits["train"].shards[0]
    records = list(read_tfrecords(tmp_path / shard.file, compression))
    with RecordFileWriter(tmp_path / shard.file, compression) as writer:
        for record in records[:10]:
            writer.write(record)
    with pytest.raises(tf.errors.FailedPreconditionError, match="12 elements"):
        list(packed_batches(tmp_path, steps=3))
    assert find_damage(tmp_path, info) == [f"{shard.file}: it ends after 10 of 12 records"]


def test_a_shard_of_another_data_set_is_told(tmp_path):
    write_numbered(tmp_path, [(48, 39)] * 3)
    info = load_dataset_info(tmp_path)
    change_record(tmp_path, lambda feature: feature["label/fine"].int64_list.value.append(1))
    (line,) = find_damage(tmp_path, info)
    assert "its records can be read, but they are not those that were written" in line
