"""The settings of the studies: presets, files, what is out of range."""

from __future__ import annotations

import json

import pytest

from jpegkeras.config import TrainConfig
from jpegkeras.errors import InputError
from jpegkeras.experiments.config import PRESETS, StudyConfig, crop_size, load_config


@pytest.mark.parametrize(
    ("resolution", "crop"), [(256, 224), (128, 112), (64, 64), (32, 32), (48, 48), (16, 16)]
)
def test_crops_are_seven_eighths_in_whole_mcus(resolution, crop):
    assert crop_size(resolution) == crop


def test_no_crop_is_larger_than_its_image():
    for resolution in range(16, 1025):
        crop = crop_size(resolution)
        assert crop % 16 == 0
        assert 16 <= crop <= resolution


def test_the_papers_preset_is_its_recipe():
    config = PRESETS["imagenet211"]
    assert config.training == TrainConfig()
    assert (config.resolution, config.quality, crop_size(config.resolution)) == (256, 100, 224)
    assert config.resolutions == (32, 64, 128, 256)
    assert config.qualities == (25, 50, 75, 100)
    training = config.training
    assert (training.batch_size, training.epochs, training.learning_rate) == (128, 120, 0.05)
    assert (training.schedule, training.decay_every_epochs, training.decay_factor) == (
        "steps",
        30,
        0.1,
    )


def test_a_file_starts_from_a_preset_and_flags_override_it(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(
        json.dumps({"preset": "smoke", "seeds": [0, 1], "training": {"epochs": 7, "jit": True}})
    )
    config = load_config(str(path), {"training": {"epochs": 9}, "networks": ["rgb"]})
    assert config.seeds == (0, 1)
    assert config.networks == ("rgb",)
    assert (config.training.epochs, config.training.jit) == (9, True)
    assert config.training.batch_size == PRESETS["smoke"].training.batch_size


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[]", "must hold a JSON object"),
        ('{"preset": "large"}', "preset must be one of"),
        ('{"resolution": 8}', "at least 16 pixels"),
        ('{"qualities": [0]}', "from 1 to 100"),
        ('{"networks": ["vgg"]}', "networks must be of rgb, dct64, fbs32, fbs16"),
        ('{"seeds": []}', "one or more different values"),
        ('{"resolutions": [32, 32]}', "one or more different values"),
        ('{"colour": 1}', "no such setting: colour"),
        ('{"training": {"depth": 1}}', "training: no such setting: depth"),
        ('{"training": {"epochs": 0}}', "epochs must be above 0"),
        ('{"test_per_class": -1}', "must not be negative"),
    ],
)
def test_a_bad_file_is_an_error_that_names_it(tmp_path, content, message):
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        load_config(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_an_error():
    with pytest.raises(InputError, match="neither a preset"):
        load_config("absent.json")


def test_every_preset_is_valid():
    for config in PRESETS.values():
        assert isinstance(config, StudyConfig)
        assert config.resolution in config.resolutions
        assert config.quality in config.qualities
