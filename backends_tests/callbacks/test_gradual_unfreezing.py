"""`GradualUnfreezing`: layers are trained one after the other."""

import keras
import numpy as np
import pytest

from awd_keras.callbacks import GradualUnfreezing
from awd_keras.optimizers import LayerwiseLearningRate
from backends_tests.helpers import to_numpy

X, Y = np.ones((4, 2), "float32"), np.ones((4, 1), "float32")


def new_model(optimizer):
    names = ["embedding", "lstm_0", "lstm_1", "head"]
    model = keras.Sequential([keras.Input((2,)), *(keras.layers.Dense(1, name=name) for name in names)])
    model.compile(optimizer, loss="mse")
    return model


def fitted(callback, optimizer, **arguments):
    """The multipliers at each epoch's end."""
    model = new_model(optimizer)
    found = []
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    layerwise = optimizer if isinstance(optimizer, LayerwiseLearningRate) else inner

    def note(epoch, logs):
        found.append([round(float(to_numpy(m)), 6) for m in layerwise.multipliers.values()])

    look = keras.callbacks.LambdaCallback(on_epoch_end=note)
    model.fit(X, Y, callbacks=[callback, look], verbose=0, **arguments)
    return found


def test_groups_begin_one_after_the_other():
    multipliers = {"embedding": 0.125, "lstm_[01]": 0.25, "head": 0.5}
    optimizer = LayerwiseLearningRate(keras.optimizers.SGD(0.1), multipliers)
    found = fitted(GradualUnfreezing(["head", "lstm_[01]"], epochs_each=2), optimizer, epochs=3)
    # The embedding, whose multiplier is the first, is in no group.
    assert found == [[0.125, 0, 0.5], [0.125, 0, 0.5], [0.125, 0.25, 0.5]]


def test_groups_of_several_and_a_training_that_is_resumed():
    optimizer = keras.optimizers.LossScaleOptimizer(LayerwiseLearningRate(keras.optimizers.SGD(0.1), "ulmfit"))
    callback = GradualUnfreezing([["head$", "lstm_1"], "lstm_0|embedding"])
    values = [round(2.6**-power, 6) for power in (3, 2, 1)]
    frozen, free = [0, 0, values[2], 1], [*values, 1]
    assert fitted(callback, optimizer, epochs=2) == [frozen, free]
    other = LayerwiseLearningRate(keras.optimizers.SGD(0.1), "ulmfit")
    assert fitted(callback, other, epochs=2, initial_epoch=1) == [free]


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), r"`groups` must be a sequence of groups .* Received: groups=\[\]"),
        (("head",), "`groups` must be a sequence .* Received: groups='head'"),
        ((["head"], 0), "`epochs_each` must be a positive integer. Received: epochs_each=0"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        GradualUnfreezing(*arguments)


@pytest.mark.once
def test_a_group_that_is_not_there():
    optimizer = LayerwiseLearningRate(keras.optimizers.SGD(0.1), {"head": 0.5})
    with pytest.raises(ValueError, match="`groups` must have keys of .* head, or .* Received: 'lstm_9'"):
        fitted(GradualUnfreezing(["lstm_9"]), optimizer)


@pytest.mark.once
def test_another_optimizer():
    with pytest.raises(ValueError, match="`GradualUnfreezing` needs a model compiled with .* Received: optimizer="):
        new_model("sgd").fit(X, Y, callbacks=[GradualUnfreezing(["head"])], verbose=0)
