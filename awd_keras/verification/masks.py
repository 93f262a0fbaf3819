"""Checks of weight drop, locked dropout and embedding dropout."""

import itertools

import keras
import numpy as np
from keras import ops

from awd_keras.callbacks import ResetStates
from awd_keras.layers import EmbeddingDropout, LockedDropout, WeightDropLSTM
from awd_keras.verification.check import Check, difference, small_model, windows

_WEIGHT_DROP = 0.5


def weight_drop_checks() -> list[Check]:
    """Checks of weight drop: in the output, in the gradient, off and on, and which LSTM ran."""
    return [
        _changes_output(),
        _off_at_inference(),
        _gradient_matches(),
        *_after_evaluation(),
    ]


def _changes_output():
    layer = WeightDropLSTM(32, weight_drop=_WEIGHT_DROP, return_sequences=True, seed=1)
    x = np.random.default_rng(0).normal(size=(4, 12, 8)).astype("float32")
    first, second, inference = (ops.convert_to_numpy(layer(x, training=training)) for training in (True, True, False))
    change = min(difference([first], [inference]), difference([first], [second]))
    return Check(
        "weight drop changes the training output",
        change > 1e-3,
        f"{change:.3f}",
        "largest change between two training calls and inference; must not be 0",
    )


def _off_at_inference():
    dropping = WeightDropLSTM(32, weight_drop=_WEIGHT_DROP, return_sequences=True, seed=1)
    plain = keras.layers.LSTM(32, return_sequences=True)
    x = np.random.default_rng(0).normal(size=(4, 12, 8)).astype("float32")
    dropping.build(x.shape)
    plain.build(x.shape)
    plain.set_weights(dropping.get_weights())
    outputs = [ops.convert_to_numpy(layer(x, training=False)) for layer in (dropping, plain)]
    change = difference(outputs[:1], outputs[1:])
    return Check(
        "weight drop is off at inference",
        change < 1e-5,
        f"{change:.1e}",
        "largest difference from keras.layers.LSTM with the same weights; must be below 1e-5",
    )


class _Probe(keras.layers.Layer):
    """Stores its inputs in a variable, as a compiled training step has no other way to return them."""

    def build(self, input_shape):
        self.seen = self.add_weight(shape=input_shape, initializer="zeros", trainable=False)

    def call(self, inputs):
        self.seen.assign(ops.stop_gradient(inputs))
        return inputs


def _gradient_matches():
    # One step from h = row i of the identity matrix, so its pre-activations are the bias plus row i of the masked
    # kernel. As all weights are equal, a gate has two possible values, dropped and kept. So a unit's output has 16,
    # each of which belongs to one combination of the four gates' masks.
    units, weight, bias, cell = 32, 0.5, 0.3, 0.5
    layer = WeightDropLSTM(units, weight_drop=_WEIGHT_DROP, seed=1)
    probe = _Probe()
    inputs = [keras.Input(batch_shape=(units, *shape)) for shape in ((1, 1), (units,), (units,))]
    model = keras.Model(inputs, probe(layer(inputs[0], initial_state=inputs[1:])))
    kernel = np.full((units, 4 * units), weight, "float32")
    layer.set_weights([np.zeros((1, 4 * units), "float32"), kernel, np.full(4 * units, bias, "float32")])
    model.compile(optimizer=keras.optimizers.SGD(1.0), loss=_sum_of_outputs)
    data = [
        np.zeros((units, 1, 1), "float32"),
        np.eye(units, dtype="float32"),
        np.full((units, units), cell, "float32"),
    ]
    model.train_on_batch(data, np.zeros((units, units), "float32"))

    kept = np.array(list(itertools.product((False, True), repeat=4)))
    i, f, c, o = (bias + kept * weight / (1 - _WEIGHT_DROP)).T
    new_cell = _sigmoid(f) * cell + _sigmoid(i) * np.tanh(c)
    values = _sigmoid(o) * np.tanh(new_cell)
    seen = ops.convert_to_numpy(probe.seen)
    nearest = np.argmin(np.abs(seen[..., None] - values), axis=-1)
    # From (previous unit, unit, gate) to Keras's order of the kernel's columns: gate, then unit.
    dropped = ~kept[nearest].transpose(0, 2, 1).reshape(units, 4 * units)
    no_gradient = layer.get_weights()[1] == kernel
    mismatches = int(np.sum(dropped != no_gradient))
    share = float(np.mean(no_gradient))
    return Check(
        "the gradient has the mask of the forward pass",
        mismatches == 0 and abs(share - _WEIGHT_DROP) < 0.05,
        f"{mismatches} of {kernel.size} differ, {share:.3f} dropped",
        f"entries of the kernel that only one of them drops; must be 0, at a rate of {_WEIGHT_DROP}",
    )


def _sum_of_outputs(y_true, y_pred):
    return ops.sum(y_pred, axis=-1)


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _evaluate(model):
    return model.evaluate(windows(), callbacks=[ResetStates()], return_dict=True, verbose=0)["loss"]


def _after_evaluation():
    model = small_model(weight_drop=_WEIGHT_DROP, alpha=0.0, beta=0.0)
    # A learning rate so large that only a gradient of 0 leaves a weight unchanged.
    model.compile(optimizer=keras.optimizers.SGD(1e4))
    stored = model.get_weights()
    x, y = windows()[0]
    model(x, training=True)
    _evaluate(model)
    trainable = [ops.convert_to_numpy(variable) for variable in model.trainable_variables]
    twin = small_model(alpha=0.0, beta=0.0)
    twin.set_weights(stored)
    twin.compile()
    kernels = [lstm.cell.recurrent_kernel for lstm in model.lstms]

    def dropped():
        before = [ops.convert_to_numpy(kernel) for kernel in kernels]
        model.train_on_batch(x, y)
        after = [ops.convert_to_numpy(kernel) for kernel in kernels]
        model.set_weights(stored)
        return [float(np.mean(a == b)) for a, b in zip(before, after, strict=True)]

    first = dropped()
    gap = abs(_evaluate(model) - _evaluate(twin))
    second = dropped()
    stored_trainable = [ops.convert_to_numpy(v) for v in twin.trainable_variables]
    unchanged = difference(trainable, stored_trainable)
    shares = " ".join(f"{share:.3f}" for share in (*first, *second))
    paths = [str(lstm.computed_by) for lstm in model.lstms]
    return [
        Check(
            "weight drop is on, off, and on again: train, evaluate, train",
            all(abs(share - _WEIGHT_DROP) < 0.1 for share in (*first, *second)) and gap < 1e-5,
            f"{shares}, {gap:.1e}",
            f"share of weights without gradient, by layer, before and after; must be near {_WEIGHT_DROP}; "
            "then the evaluated loss's difference from a model without dropout; must be below 1e-5",
        ),
        Check(
            "the stored weights never change in a forward pass",
            unchanged == 0,
            f"{unchanged:.1e}",
            "largest change by a training call and an evaluation; must be 0",
        ),
        Check(
            "the LSTM implementation that ran",
            "None" not in paths,
            ", ".join(sorted(set(paths))),
            "layer.computed_by; 'generic' is Keras's loop, the slowest",
        ),
    ]


_RATE = 0.4


def dropout_checks() -> list[Check]:
    """Checks of the masks: constant over time, and of whole words."""
    return [_constant_over_time(), _whole_words()]


def _constant_over_time():
    x = np.ones((8, 12, 256), "float32")
    y = ops.convert_to_numpy(LockedDropout(_RATE, seed=1)(x, training=True))
    spread = float(np.max(np.abs(y - y[:, :1])))
    share = float(np.mean(y == 0))
    return Check(
        "locked dropout keeps its mask over time",
        spread == 0 and abs(share - _RATE) < 0.06,
        f"{spread:.1e}, {share:.3f} dropped",
        f"largest change from time step to time step; must be 0, at a rate of {_RATE}",
    )


def _whole_words():
    words = 1000
    layer = EmbeddingDropout(words, 4, rate=_RATE, embeddings_initializer="ones", seed=1)
    ids = np.tile(np.arange(words), 3).reshape(3, words)
    y = ops.convert_to_numpy(layer(ids, training=True))
    # A word occurs three times in the batch, with four features each: all of them are dropped or kept together.
    values = y.transpose(1, 0, 2).reshape(words, -1)
    torn = int(np.sum(np.any(values != values[:, :1], axis=1)))
    share = float(np.mean(values[:, 0] == 0))
    return Check(
        "embedding dropout drops whole words",
        torn == 0 and abs(share - _RATE) < 0.08,
        f"{torn} of {words} torn, {share:.3f} dropped",
        f"words that are dropped in some places only; must be 0, at a rate of {_RATE}",
    )
