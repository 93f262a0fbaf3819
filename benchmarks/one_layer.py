"""A single recurrent layer, on random and normalized inputs."""

import keras
import numpy as np

from awd_keras import layers


def forward(shape, cell, steps=1):
    """The outputs of a window, at inference.

    Args:
        shape: a `Shape`, of which the hidden units (also the inputs' features), the batch and the window are used.
        cell: a variant of `awd_keras.layers.AblatedLSTM`, `"gru"`, `"qrnn"`, `"mogrifier"` or `"keras gru"`.
        steps: the windows that a sample computes.

    Returns:
        A function that computes them.
    """
    model, inputs = _model_and_inputs(shape, cell)

    def run():
        for _ in range(steps):
            model.predict_on_batch(inputs)

    return run


def training(shape, cell, steps=1):
    """Like `forward`, with the gradients of weights and inputs and a step of SGD."""
    model, inputs = _model_and_inputs(shape, cell)
    targets = np.zeros_like(inputs)

    def run():
        for _ in range(steps):
            loss = model.train_on_batch(inputs, targets)
        float(loss)

    return run


def _model_and_inputs(shape, cell):
    size = (shape.batch_size, shape.bptt, shape.hidden_units)
    # The normalization has weights, so that the gradients of the layer's inputs are needed, as inside a model.
    normalization = keras.layers.LayerNormalization()
    model = keras.Sequential([keras.Input(batch_shape=size), normalization, _layer(shape, cell)])
    # Compiled for `predict` too: otherwise JAX would not compile it.
    model.compile(keras.optimizers.SGD(0.001), loss="mse")
    return model, np.random.default_rng(0).normal(size=size).astype("float32")


def _layer(shape, cell):
    units, drop = shape.hidden_units, {"weight_drop": shape.weight_drop}
    always = {"return_sequences": True, "seed": 0}
    match cell:
        case "keras gru":
            return keras.layers.GRU(units, **always)
        case "gru":
            return layers.WeightDropGRU(units, **drop, **always)
        case "qrnn":
            return layers.QRNN(units, kernel_weight_drop=shape.weight_drop, **always)
        case "mogrifier":
            return layers.MogrifierLSTM(units, **drop, **always)
        case variant:
            return layers.AblatedLSTM(units, variant, **drop, **always)
