"""Runs with other optimizers: their rate by epoch, resuming to the last bit, and what they can't do."""

import re
import shutil

import keras
import numpy as np
import pytest

from awd_keras import runs
from awd_keras.models import PRESETS
from awd_keras.optimizers import NTASGD, L2WeightDecay, LayerwiseLearningRate
from awd_keras.runs.optimizer import choose_optimizer, optimizer_config, optimizer_from
from backends_tests.helpers import once, to_numpy
from backends_tests.runs.small_run import SETTINGS, contents, copies_after_each_epoch, differences, make_corpus

ADAM = {**SETTINGS, "optimizer": {"name": "adam", "learning_rate": 0.5}, "epochs": 4, "learning_rate_drops": [1, 3]}


def train(directory, **settings):
    runs.train(directory, make_corpus(), **{**ADAM, **settings})
    return runs.Run.open(directory)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A whole run, and copies of it after each epoch, as `kill -9` would have left it."""
    folder = tmp_path_factory.mktemp("runs")
    with copies_after_each_epoch(folder):
        train(folder / "whole")
    return folder


def test_the_rate_is_divided_after_these_epochs(folder):
    run = runs.Run.open(folder / "whole")
    lines = run.metrics()
    np.testing.assert_allclose([line["learning_rate"] for line in lines], [0.5, 0.05, 0.05, 0.005], rtol=1e-6)
    assert not any(line["averaging"] for line in lines)
    assert (run.result["optimizer"], run.result["triggered_epoch"], run.result["skipped_steps"]) == ("Adam", None, 0)
    assert run.setting("learning_rate_drops") == [1, 3]
    # The model has learnt.
    assert lines[-1]["train_perplexity"] < 0.9 * lines[0]["train_perplexity"]


# Interrupted before and after an epoch at whose end the rate is divided.
@pytest.mark.parametrize("epoch", [2, *once(1, 3)])
def test_goes_on_bit_for_bit(folder, tmp_path, epoch):
    directory = shutil.copytree(folder / f"after-{epoch}", tmp_path / "run")
    runs.resume(directory, make_corpus(), verbose=0)
    assert differences(contents(folder / "whole"), contents(directory)) == []


@pytest.mark.once
@pytest.mark.parametrize(
    "optimizer",
    [
        keras.optimizers.Lion(0.01),
        LayerwiseLearningRate(NTASGD(2.0, non_monotone_interval=1), {"lstm": 0.5}),
    ],
    ids=["Lion", "NTASGD by layers"],
)
def test_any_optimizer(optimizer, tmp_path):
    with copies_after_each_epoch(tmp_path):
        run = train(tmp_path / "whole", optimizer=optimizer, learning_rate_drops=None)
    directory = shutil.copytree(tmp_path / "after-2", tmp_path / "run")
    runs.resume(directory, make_corpus(), verbose=0)
    assert differences(contents(run.directory), contents(directory)) == []
    ntasgd = not isinstance(optimizer, keras.optimizers.Lion)
    assert run.result["optimizer"] == ("NTASGD" if ntasgd else "Lion")
    assert (run.result["triggered_epoch"] == 3) is ntasgd


@pytest.mark.once
def test_what_a_name_stands_for():
    ptb, tiny = PRESETS["ptb"].optimizer, PRESETS["tiny"].optimizer
    for preset, given, kind, rate in (
        (ptb, None, NTASGD, 30.0),
        (tiny, "sgd", keras.optimizers.SGD, 15.0),
        (tiny, "adam", keras.optimizers.Adam, 0.001),
        ({**tiny, "name": "adam", "learning_rate": 0.002}, {"weight_decay": 0.5}, keras.optimizers.Adam, 0.002),
        ({**tiny, "name": "adam", "learning_rate": 0.002}, "sgd", keras.optimizers.SGD, 30.0),
        (tiny, {"name": "adam", "learning_rate": 0.25, "beta_1": 0.5}, keras.optimizers.Adam, 0.25),
    ):
        optimizer = choose_optimizer(preset, given)
        again = optimizer_from(optimizer_config(optimizer))
        assert again.get_config() == optimizer.get_config()
        assert float(to_numpy(optimizer.learning_rate)) == pytest.approx(rate)
        assert optimizer.weight_decay == (0.5 if given == {"weight_decay": 0.5} else 1.2e-6)
        inner = optimizer if kind is NTASGD else optimizer.inner_optimizer
        assert isinstance(inner, kind)
        assert inner.global_clipnorm == 0.25
        if kind is not NTASGD:
            assert isinstance(optimizer, L2WeightDecay)
            assert inner.weight_decay is None


class Unregistered(keras.optimizers.SGD):
    """A class that Keras doesn't find by its name."""


SCHEDULE = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)


@pytest.mark.once
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "rmsprop"}, "`optimizer` must be one of 'ntasgd', 'sgd', 'adam'. Received: optimizer='rmsprop'"),
        ({"optimizer": {"name": "rmsprop"}}, "`optimizer` must be one of .* Received: optimizer='rmsprop'"),
        ({"optimizer": 3}, "`optimizer` must be one of .* or a Keras optimizer. Received: optimizer=3"),
        (
            {"optimizer": {"name": "sgd", "non_monotone_interval": 5}},
            "`non_monotone_interval` must be left out .*'sgd'.* Received: non_monotone_interval=5",
        ),
        ({"optimizer": {"name": "adam", "learning_rate": -1.0}}, "`learning_rate` must .* Received: .*-1.0"),
        ({"optimizer": {"name": "adam", "global_clipnorm": "big"}}, "`global_clipnorm` must .* Received: .*'big'"),
        ({"optimizer": {"name": "adam", "weight_decay": -1.0}}, "`weight_decay` must .* Received: .*-1.0"),
        ({"optimizer": {"name": "adam", "unheard_of": 1}}, "unheard_of"),
        ({"optimizer": Unregistered(0.1)}, "`optimizer` must be an optimizer that Keras can make again .*Unregistered"),
        ({"optimizer": keras.optimizers.SGD(SCHEDULE)}, "`optimizer` must have a learning rate that is a number"),
        ({"learning_rate_drops": [2, 2]}, r"`learning_rate_drops` must be a list of epochs.* Received: \[2, 2\]"),
        ({"learning_rate_drops": [3, 2]}, "ascending order"),
        ({"learning_rate_drops": [0]}, "`learning_rate_drops`"),
        ({"learning_rate_drops": [True]}, "`learning_rate_drops`"),
        ({"skip_nonfinite": True}, "`skip_nonfinite` needs the optimizer NTASGD: .* Received: .*True with Adam"),
    ],
    # Without objects' addresses, which names of tests must not have.
    ids=lambda value: re.sub(" at 0x[0-9a-f]+", "", str(value)),
)
def test_wrong_settings(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        train(tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


@pytest.mark.once
def test_numbers_of_numpy(tmp_path):
    run = train(tmp_path / "run", epochs=1, learning_rate_drops=list(np.array([1, 3])))
    assert run.setting("learning_rate_drops") == [1, 3]


@pytest.mark.once
def test_what_is_for_ntasgd_alone(folder, tmp_path):
    directory = shutil.copytree(folder / "after-2", tmp_path / "run")
    with pytest.raises(ValueError, match="`skip_nonfinite` needs the optimizer NTASGD"):
        runs.resume(directory, make_corpus(), skip_nonfinite=True)
    assert runs.Run.open(directory).setting("skip_nonfinite") is False
    with pytest.raises(
        ValueError, match="`run` must be a run of the optimizer NTASGD .* Received: .*whole, which was trained by Adam"
    ):
        runs.finetune(folder / "whole", tmp_path / "finer", corpus=make_corpus())


@pytest.mark.once
def test_a_diverging_run_is_not_told_to_skip(tmp_path):
    with pytest.raises(FloatingPointError, match=r"The last good checkpoint is .*checkpoint-0.keras\.$"):
        train(tmp_path / "run", optimizer={"name": "sgd", "learning_rate": 1e38, "global_clipnorm": None})


@pytest.mark.once
@pytest.mark.parametrize(
    ("optimizer", "named"),
    [
        ({"class_name": "Dense", "module": "keras.layers", "config": {"units": 3}}, "Dense: it must be an optimizer's"),
        ({"class_name": "Adam", "module": "keras.optimizers", "config": {"unheard_of": 1}}, "no config of Adam: "),
        ({"class_name": "function", "module": "builtins", "config": "eval", "registered_name": "eval"}, "no config of"),
        ({"class_name": 3}, "no config of 3"),
    ],
)
def test_a_config_that_is_wrong(folder, tmp_path, optimizer, named):
    run = runs.Run.open(shutil.copytree(folder / "after-2", tmp_path / "run"))
    run.write_config({**run.config, "optimizer": optimizer})
    with pytest.raises(ValueError, match=f"config.json: 'optimizer' is .*{named}"):
        runs.resume(run.directory, make_corpus(), verbose=0)
