"""A recurrent layer alone, on inputs that are drawn at random."""

import keras
import numpy as np

from awd_keras import layers


def forward(shape, cell, steps=1):
    """The outputs of a window, at inference.

    Args:
        shape: a `Shape`: its hidden units, which are the inputs' features too, its batch and its window.
        cell: a variant of `awd_keras.layers.AblatedLSTM`.
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
    """As `forward`, and the gradients of the weights, and a step of SGD."""
    model, inputs = _model_and_inputs(shape, cell)
    targets = np.zeros_like(inputs)

    def run():
        for _ in range(steps):
            loss = model.train_on_batch(inputs, targets)
        float(loss)

    return run


def _model_and_inputs(shape, cell):
    size = (shape.batch_size, shape.bptt, shape.hidden_units)
    layer = layers.AblatedLSTM(shape.hidden_units, cell, shape.weight_drop, return_sequences=True, seed=0)
    model = keras.Sequential([keras.Input(batch_shape=size), layer])
    # For `predict` too, which JAX wouldn't compile.
    model.compile(keras.optimizers.SGD(0.001), loss="mse")
    return model, np.random.default_rng(0).normal(size=size).astype("float32")
