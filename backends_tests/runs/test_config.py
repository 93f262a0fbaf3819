"""A run's settings, which are all checked when it is opened."""

import dataclasses

import pytest

from awd_keras import runs
from awd_keras.data import Vocabulary
from awd_keras.models import AWDLSTM
from awd_keras.optimizers import NTASGD
from awd_keras.runs.config import RunConfig

pytestmark = pytest.mark.once

SETTINGS = {
    "preset": "tiny",
    "model": AWDLSTM(4, name="awd_lstm").get_config(),
    "optimizer": NTASGD(name="ntasgd").get_config(),
    "learning_rate_drops": [2, 4],
    "epochs": 3,
    "batch_size": 2,
    "bptt": 10,
    "variable": False,
    "backwards": True,
    "length_multiple": 1,
    "seed": 0,
    "skip_nonfinite": False,
    "devices": 2,
    "text": {"directory": None, "min_count": 3},
    "started_from": {"run": "a", "model_digest": "0", "known_words": 3},
    "finetuned_from": {"run": "a", "model_digest": "0", "valid_perplexity": None},
}
# The values of settings that an earlier version didn't have.
DEFAULTS = {
    "learning_rate_drops": (),
    "variable": True,
    "backwards": False,
    "devices": 1,
    "started_from": None,
    "finetuned_from": None,
}


def opened(directory, settings):
    runs.Run.create(directory, {**settings, "backend": "torch"}, Vocabulary(["<eos>"]), overwrite=True)
    return runs.Run.open(directory)


def test_all_settings(tmp_path):
    settings = opened(tmp_path, SETTINGS).settings
    assert settings == RunConfig(**SETTINGS)
    assert dataclasses.asdict(settings) == SETTINGS
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.epochs = 4


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_that_is_missing(tmp_path, name):
    run = opened(tmp_path, {key: value for key, value in SETTINGS.items() if key != name})
    if name in DEFAULTS:
        assert dataclasses.asdict(run.settings) == {**SETTINGS, name: DEFAULTS[name]}
        assert run.setting(name) == DEFAULTS[name]
        return
    for read in (lambda: run.settings, lambda: run.setting(name)):
        with pytest.raises(ValueError, match=rf"{run.path('config.json')} has no '{name}'\."):
            read()


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_that_is_wrong(tmp_path, name):
    run = opened(tmp_path, {**SETTINGS, name: -1.5})
    for read in (lambda: run.settings, lambda: run.setting(name)):
        with pytest.raises(
            ValueError, match=rf"{run.path('config.json')}: Argument `{name}` must .* Received: .*-1\.5"
        ):
            read()
    with pytest.raises(ValueError, match=f"`{name}` must"):
        RunConfig(**{**SETTINGS, name: -1.5})


def test_wrong_settings_are_told_before_anything_is_done(tmp_path):
    run = opened(tmp_path, {**SETTINGS, "skip_nonfinite": "no"})
    before = run.config
    with pytest.raises(ValueError, match="`skip_nonfinite` must be a boolean"):
        runs.resume(tmp_path, epochs=5)
    assert run.config == before
