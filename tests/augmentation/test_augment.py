"""Policies: what is drawn becomes what is done, the same wherever and however it is computed."""

from __future__ import annotations

import ast
import dataclasses
import pathlib

import numpy as np
import pytest
import tensorflow as tf

import jpegkeras.augmentation
from jpegkeras import packed_batches
from jpegkeras.augmentation import NUM_DRAWS, POLICIES, Policy, augment_bands, slots
from jpegkeras.augmentation.draws import whole_number
from jpegkeras.config import AUGMENTATIONS
from tests.augmentation.pixels import FACTORS, random_bands, to_samples

STRONGEST = dataclasses.replace(
    POLICIES["strong"], zoom_out=0.25, orientations=("identity", "flip_vertical", "rotate_90")
)


def batch(count=8, n=16, mcus=(4, 4), factor=(2, 2), seed=1):
    rng = np.random.default_rng(seed)
    bands = random_bands(batch=count, mcus=mcus, factor=factor, n=n, seed=seed)
    targets = np.eye(5, dtype=np.float32)[rng.integers(5, size=count)]
    return bands, targets, rng.random((count, NUM_DRAWS), np.float32)


def draws_of(count=4, **values):
    """Draws of a half, and of a slot's values where they are given by name."""
    draws = np.full((count, NUM_DRAWS), 0.5, np.float32)
    for name, value in values.items():
        draws[:, getattr(slots, name)] = value
    return draws


def augment(bands, policy, **values):
    """The augmented bands, of targets that do not matter."""
    count = len(bands["y"])
    targets = np.zeros((count, 2), np.float32)
    augmented, _ = augment_bands(bands, targets, draws_of(count, **values), policy)
    return {key: np.asarray(value) for key, value in augmented.items()}


def check_equal(actual, expected):
    for key in expected[0]:
        np.testing.assert_array_equal(np.asarray(actual[0][key]), np.asarray(expected[0][key]))
    np.testing.assert_array_equal(np.asarray(actual[1]), np.asarray(expected[1]))


def test_the_policies_are_those_of_the_settings():
    assert sorted(POLICIES) == sorted(AUGMENTATIONS)
    assert not (POLICIES["none"].random_crop or POLICIES["none"].random_flip)
    assert POLICIES["paper"] == Policy(random_crop=True, random_flip=True)
    assert POLICIES["strong"].random_crop
    assert POLICIES["strong"].random_flip


@pytest.mark.parametrize("name", ["none", "paper"])
def test_what_the_unpacking_does_is_not_done_again(name):
    bands, targets, draws = batch()
    check_equal(augment_bands(bands, targets, draws, POLICIES[name]), (bands, targets))


@pytest.mark.parametrize("factor", FACTORS.values(), ids=FACTORS)
@pytest.mark.parametrize("n", [1, 16, 64])
def test_strong_changes_every_image_and_keeps_shapes(factor, n):
    bands, targets, draws = batch(n=n, factor=factor)
    augmented, mixed = augment_bands(bands, targets, draws, POLICIES["strong"])
    assert list(augmented) == list(bands)
    for key, values in bands.items():
        actual = np.asarray(augmented[key])
        assert (actual.shape, actual.dtype) == (values.shape, np.float32)
        assert np.isfinite(actual).all()
    assert (np.asarray(augmented["y"]) != bands["y"]).any(axis=(1, 2, 3)).all()
    np.testing.assert_allclose(np.sum(mixed, axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("policy", [POLICIES["strong"], STRONGEST], ids=["strong", "strongest"])
def test_the_batch_at_once_equals_its_halves(policy):
    bands, targets, draws = batch(n=10)
    whole = augment_bands(bands, targets, draws, policy)
    halves = [
        augment_bands({k: v[half] for k, v in bands.items()}, targets[half], draws[half], policy)
        for half in (slice(0, 2), slice(2, 8))
    ]
    joined = {key: np.concatenate([half[0][key] for half in halves]) for key in bands}
    check_equal((joined, np.concatenate([half[1] for half in halves])), whole)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("static", [False, True])
def test_the_same_in_a_graph(jit, static):
    bands, targets, draws = batch(n=10)
    expected = augment_bands(bands, targets, draws, STRONGEST)
    size = len(targets) if static else None
    signature = [
        {k: tf.TensorSpec([size, *v.shape[1:]], tf.float32) for k, v in bands.items()},
        *(tf.TensorSpec([size, v.shape[1]], tf.float32) for v in (targets, draws)),
    ]
    compiled = tf.function(
        lambda *batch: augment_bands(*batch, STRONGEST), input_signature=signature, jit_compile=jit
    )
    actual = compiled(bands, targets, draws)
    for key, values in expected[0].items():
        np.testing.assert_allclose(actual[0][key], values, rtol=0, atol=1e-3)
    np.testing.assert_allclose(actual[1], expected[1], atol=1e-6)


def test_the_same_inside_tf_data():
    bands, targets, draws = batch(n=10)
    expected = augment_bands(bands, targets, draws, STRONGEST)
    dataset = tf.data.Dataset.from_tensors((bands, targets, draws))
    (actual,) = dataset.map(lambda *b: augment_bands(*b, STRONGEST)).as_numpy_iterator()
    for key, values in expected[0].items():
        np.testing.assert_allclose(actual[0][key], values, rtol=0, atol=1e-3)


def test_the_order_of_the_components_does_not_matter():
    bands, targets, draws = batch(n=10)
    turned = {key: bands[key] for key in ("cr", "y", "cb")}  # some compilers sort a dict
    expected = augment_bands(bands, targets, draws, STRONGEST)
    check_equal(augment_bands(turned, targets, draws, STRONGEST), expected)


def test_brightness_reaches_its_limits():
    bands = random_bands()
    actual = augment(bands, Policy(brightness=20), BRIGHTNESS=[0, 0.5, 0.75, 1])
    shift = to_samples(actual["y"]) - to_samples(bands["y"])
    np.testing.assert_allclose(shift.mean(axis=(1, 2)), [-20, 0, 10, 20], atol=1e-3)
    assert shift.std(axis=(1, 2)).max() < 1e-3


def test_gains_reach_their_limits():
    bands = random_bands()
    draws = [0, 0.5, 0.75, 1]
    gains = np.array([0.6, 1, 1.2, 1.4])[:, None, None, None]
    actual = augment(bands, Policy(contrast=0.4), CONTRAST=draws)
    for key in bands:
        np.testing.assert_allclose(actual[key], gains * bands[key], rtol=1e-5)
    actual = augment(bands, Policy(saturation=0.4), SATURATION=draws)
    np.testing.assert_array_equal(actual["y"], bands["y"])
    np.testing.assert_allclose(actual["cr"], gains * bands["cr"], rtol=1e-5)


def test_contrast_comes_before_brightness():
    bands = random_bands(n=1)
    policy = Policy(contrast=0.5, brightness=10)
    actual = augment(bands, policy, CONTRAST=1, BRIGHTNESS=1)
    np.testing.assert_allclose(actual["y"], 1.5 * bands["y"] + 80, rtol=1e-5, atol=1e-3)


def test_hue_turns_by_the_angle():
    bands = random_bands()
    actual = augment(bands, Policy(hue=90), HUE=[1, 0.5, 0, 1])
    np.testing.assert_allclose(actual["cr"][0], bands["cb"][0], atol=1e-3)
    np.testing.assert_allclose(actual["cb"][1], bands["cb"][1], atol=1e-3)
    np.testing.assert_allclose(actual["cr"][2], -bands["cb"][2], atol=1e-3)


def test_chroma_is_dropped_below_the_probability():
    bands = random_bands()
    actual = augment(bands, Policy(chroma_drop=0.3), CHROMA_DROP=[0, 0.29, 0.31, 0.99])
    dropped = [not actual["cb"][i].any() and not actual["cr"][i].any() for i in range(4)]
    assert dropped == [True, True, False, False]
    np.testing.assert_array_equal(actual["y"], bands["y"])


def test_cutout_is_as_likely_everywhere():
    bands = {key: np.ones_like(value) for key, value in random_bands(600, (4, 5), n=1).items()}
    draws = (np.arange(600) + 0.5) / 600
    actual = augment(bands, Policy(cutout=0.5, cutout_size=0.5), CUTOUT=draws)
    hidden = actual["cb"][..., 0] == 0
    assert hidden.any(axis=(1, 2)).sum() == 300
    # 2 × 3 MCUs (2.5, halves go up) at 3 × 3 places, each equally often.
    assert set(hidden.sum(axis=(1, 2))) == {0, 6}
    patterns, counts = np.unique(hidden[:300].reshape(300, -1), axis=0, return_counts=True)
    assert len(patterns) == 9
    assert counts.min() >= 33
    np.testing.assert_array_equal(
        actual["y"][..., 0] == 0, hidden.repeat(2, axis=1).repeat(2, axis=2)
    )


def test_translations_are_equally_likely_up_to_the_limit():
    bands = random_bands(700, (8, 4), n=1)
    bands = {key: np.ones_like(value) for key, value in bands.items()}
    draws = (np.arange(700) + 0.5) / 700
    actual = augment(bands, Policy(translation=0.4), TRANSLATION_DOWN=draws)  # 3.2 of 8 MCUs
    rows = actual["cb"][:, :, 0, 0]
    shifts = np.where(rows[:, 0] == 0, 8 - rows.sum(axis=1), rows.sum(axis=1) - 8).astype(int)
    assert dict(zip(*np.unique(shifts, return_counts=True))) == dict.fromkeys(range(-3, 4), 100)


def test_zooms_share_one_draw():
    bands = random_bands(batch=4, n=4)
    policy = Policy(zoom_in=0.25, zoom_out=0.25)
    actual = augment(bands, policy, ZOOM=[0.24, 0.26, 0.74, 0.76], ZOOM_DOWN=0, ZOOM_ACROSS=0.99)
    np.testing.assert_array_equal(actual["y"][1:3], bands["y"][1:3])
    mean = actual["cb"][0, :2, :2, 0].mean()
    np.testing.assert_allclose(mean, bands["cb"][0, 0, 3, 0], rtol=1e-4)  # of 6 MCUs across, 3 … 5
    np.testing.assert_array_equal(actual["cb"][3, :, :3], 0)
    mean = bands["cb"][3, :2, :2, 0].mean()
    np.testing.assert_allclose(actual["cb"][3, 0, 3, 0], mean, rtol=1e-4)


def test_orientations_are_equally_likely():
    bands = random_bands(batch=4, mcus=(2, 2), n=3)
    policy = Policy(orientations=("identity", "rotate_180"))
    actual = augment(bands, policy, ORIENTATION=[0, 0.49, 0.5, 0.99])
    same = [np.array_equal(actual["y"][i], bands["y"][i]) for i in range(4)]
    assert same == [True, True, False, False]


def test_mixup_mixes_targets_alike():
    bands, targets, draws = batch()
    mixed, mixed_targets = augment_bands(bands, targets, draws, Policy(mixup=1.0))
    share = draws[::2, slots.MIXUP].astype(float)  # Beta(1, 1) is uniform
    expected = share[:, None] * targets[::2] + (1 - share)[:, None] * targets[1::2]
    np.testing.assert_allclose(np.asarray(mixed_targets)[::2], expected, atol=1e-5)
    share = share[:, None, None, None]
    expected = share * bands["y"][1::2] + (1 - share) * bands["y"][::2]
    np.testing.assert_allclose(np.asarray(mixed["y"])[1::2], expected, atol=2e-3)


def test_too_few_draws_are_refused():
    bands, targets, draws = batch()
    with pytest.raises(ValueError, match=r"draws must be \[batch, 16\]; got \(8, 3\)"):
        augment_bands(bands, targets, draws[:, :3], POLICIES["strong"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cutout": 1.5}, "cutout must be 0 … 1; got 1.5"),
        ({"brightness": -1}, "brightness must be 0 … 255"),
        ({"hue": float("nan")}, "hue must be 0 … 180"),
        ({"zoom_in": 0.6, "zoom_out": 0.6}, r"zoom_in \+ zoom_out must be at most 1; got 1.2"),
        ({"mixup": 0.001}, "mixup must be 0.05 … 1;"),
        ({"orientations": ("sideways",)}, "some of identity, .*; got"),
        ({"orientations": ()}, "some of identity"),
    ],
)
def test_policies_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Policy(**settings)


def test_every_slot_has_one_use():
    used = [value for name, value in vars(slots).items() if name.isupper() and "DRAWS" not in name]
    others = [packed_batches.CROP_DOWN, packed_batches.CROP_ACROSS, packed_batches.FLIP]
    assert sorted(used + others) == list(range(NUM_DRAWS))


def test_draws_next_to_one_stay_in_range():
    last = np.float32([0, 1 - 2**-24, 1])
    for count in (1, 3, 7, 1000):
        np.testing.assert_array_equal(whole_number(last, count), [0, count - 1, count - 1])


@pytest.mark.parametrize("name", ["augment", "blocks", "color", "draws", "geometry", "mixing"])
def test_no_tensorflow_is_imported(name):
    path = pathlib.Path(jpegkeras.augmentation.__file__).with_name(f"{name}.py")
    nodes = list(ast.walk(ast.parse(path.read_text())))
    modules = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    modules += [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    assert "keras" in modules
    assert not [module for module in modules if module.startswith("tensorflow")]
