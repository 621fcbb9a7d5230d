"""Records → batches: which records, in which order, cropped where, flipped when."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from jpegkeras.dataset_info import load_dataset_info
from jpegkeras.errors import InputError
from jpegkeras.input_pipeline import Source, evaluation_batches, training_batches
from jpegkeras.sampling import COMPONENTS
from tests.datasets import numbered_image, write_dataset

TRAIN, TEST = 20, 7


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """Images that say which they are, and each of their blocks where it stood."""
    directory = tmp_path_factory.mktemp("numbered")
    sizes = [(64, 80), (70, 64), (95, 127)]
    images = {
        split: [
            (numbered_image(i, height=sizes[i % 3][0], width=sizes[i % 3][1]), i % 3)
            for i in range(count)
        ]
        for split, count in (("train", TRAIN), ("test", TEST))
    }
    write_dataset(directory, images, num_frequencies=3, compression="gzip")
    return directory


def source_of(directory, **changes):
    options = {"num_frequencies": 3, "image_size": 32, "task": "fine", **changes}
    return Source(directory, load_dataset_info(directory), **options)


def train_batches(directory, *, epoch=0, seed=0, augment=True, batch_size=4, **changes):
    return list(
        training_batches(
            source_of(directory, **changes),
            batch_size=batch_size,
            epoch=epoch,
            seed=seed,
            augment=augment,
            shuffle_buffer=100,
        ).as_numpy_iterator()
    )


def numbers(batches):
    return np.concatenate([features["y"][:, 0, 0, 0] for features, *_ in batches])


def test_an_epoch_takes_every_record_once_and_leaves_the_short_batch_out(numbered):
    assert sorted(numbers(train_batches(numbered))) == list(range(TRAIN))
    seen = numbers(train_batches(numbered, batch_size=8))
    assert len(seen) == len(set(seen)) == 16


def test_order_and_augmentation_follow_seed_and_epoch(numbered):
    first = train_batches(numbered, epoch=1, seed=3)
    again = train_batches(numbered, epoch=1, seed=3)
    tf.nest.map_structure(np.testing.assert_array_equal, first, again)
    for other in (train_batches(numbered, epoch=2, seed=3), train_batches(numbered, epoch=1)):
        assert list(numbers(other)) != list(numbers(first))


def test_labels_stay_with_their_records(numbered):
    for task, expected in (("fine", [0, 1, 2]), ("coarse", [0, 0, 1])):
        for features, labels in train_batches(numbered, task=task):
            wanted = [expected[number % 3] for number in features["y"][:, 0, 0, 0]]
            assert list(labels) == wanted


def test_random_crops_are_whole_mcus_everywhere_and_flips_are_even(numbered):
    corners, flips = set(), []
    for epoch in range(30):
        for features, _ in train_batches(numbered, epoch=epoch):
            for i in range(4):
                number, row, col, flipped = _corner(features, i)
                flips.append(flipped)
                if number % 3 == 2:  # 95 × 127 px: 5 × 7 whole MCUs, 4 × 6 places for 2 × 2
                    corners.add((row, col))
    assert corners == {(row, col) for row in range(0, 8, 2) for col in range(0, 12, 2)}
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


def test_without_augmentation_the_crop_is_central(numbered):
    for features, _ in train_batches(numbered, augment=False):
        for i in range(4):
            number, row, col, flipped = _corner(features, i)
            assert (row, col, flipped) == ([(2, 2), (2, 2), (2, 4)][number % 3] + (False,))


def test_evaluation_takes_every_record_in_order_and_fills_the_last_batch(numbered):
    batches = list(
        evaluation_batches(source_of(numbered), split="test", batch_size=4).as_numpy_iterator()
    )
    assert [len(labels) for _, labels, _ in batches] == [4, 4]
    weights = np.concatenate([weights for *_, weights in batches])
    assert list(weights) == [1.0] * TEST + [0.0]
    assert list(numbers(batches)[:TEST]) == list(range(TEST))
    assert {key: value.shape for key, value in batches[1][0].items()} == {
        "y": (4, 4, 4, 3),
        "cb": (4, 2, 2, 3),
        "cr": (4, 2, 2, 3),
        "quantization": (4, 3, 3),
    }


def test_features_have_the_networks_dtypes_and_fewer_bands_on_request(numbered):
    features, _ = train_batches(numbered, num_frequencies=2)[0]
    assert {key: value.dtype for key, value in features.items()} == {
        **dict.fromkeys(COMPONENTS, np.dtype(np.int16)),
        "quantization": np.dtype(np.uint16),
    }
    assert features["y"].shape == (4, 4, 4, 2)
    assert features["quantization"].shape == (4, 3, 2)


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
