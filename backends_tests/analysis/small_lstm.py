"""Small LSTMs, and their equations in NumPy and float64, step by step."""

import keras
import numpy as np
from keras import ops

from awd_keras import layers
from backends_tests.helpers import draw_weights
from backends_tests.oracle import sigmoid

BATCH, TIME, FEATURES, UNITS = 2, 5, 3, 4
# `built` sets the weights: JAX takes seconds to draw orthogonal ones.
WHOLE = {
    "return_sequences": True,
    "return_state": True,
    "kernel_initializer": "zeros",
    "recurrent_initializer": "zeros",
}
KINDS = {
    "keras": lambda: keras.layers.LSTM(UNITS, **WHOLE),
    "keras, no bias": lambda: keras.layers.LSTM(UNITS, use_bias=False, **WHOLE),
    "weight drop": lambda: layers.WeightDropLSTM(UNITS, 0.5, 0.5, dropout=0.5, recurrent_dropout=0.5, **WHOLE),
    "backwards": lambda: layers.WeightDropLSTM(UNITS, go_backwards=True, **WHOLE),
    "-srnn": lambda: layers.AblatedLSTM(UNITS, "-srnn", **WHOLE),
    "-srnn-out": lambda: layers.AblatedLSTM(UNITS, "-srnn-out", **WHOLE),
    "-srnn-hidden": lambda: layers.AblatedLSTM(UNITS, "-srnn-hidden", **WHOLE),
}


def arrays():
    """Inputs, and an initial state."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(BATCH, TIME, FEATURES)).astype("float32")
    return x, [rng.normal(size=(BATCH, UNITS)).astype("float32") for _ in "hc"]


def built(layer):
    """The layer, with weights so large that its gates take all values between 0 and 1."""
    layer.build((BATCH, TIME, FEATURES))
    rng = np.random.default_rng(1)
    draw_weights(layer, rng)
    return layer


def by_hand(layer, x, state, activation=np.tanh, recurrent_activation=sigmoid):
    """The six arrays in the order of `Gates`; the columns of weights are in the order i, f, content, o."""
    kernel, *others = (ops.convert_to_numpy(each).astype("float64") for each in layer.trainable_variables)
    recurrent_kernel = others.pop(0) if others and others[0].ndim == 2 else np.zeros((UNITS, 3 * UNITS))
    bias = others.pop() if others else np.zeros(recurrent_kernel.shape[1])
    is_lstm = recurrent_kernel.shape == (UNITS, 4 * UNITS)
    h, c = state
    steps = []
    for t in range(TIME):
        of_x, of_h = x[:, t] @ kernel, h @ recurrent_kernel + bias
        if is_lstm:
            i, f, content, o = np.split(of_x + of_h, 4, axis=-1)
            i, f, o, content = *map(recurrent_activation, (i, f, o)), activation(content)
        else:
            i, f, content, *o = np.split(of_x, kernel.shape[1] // UNITS, axis=-1)
            gates = recurrent_activation(np.concatenate([i, f, *o], axis=-1) + of_h)
            i, f, *o = np.split(gates, 2 + len(o), axis=-1)
            o = o[0] if o else None
        c = f * c + i * content
        h = c if o is None else o * activation(c)
        steps.append((i, f, np.ones_like(c) if o is None else o, content, c, h))
    return [np.stack(parts, axis=1) for parts in zip(*steps, strict=True)]
