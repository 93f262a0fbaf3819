"""The layers that can be taken apart."""

import keras

from awd_keras import backend
from awd_keras.checks import check_floats, check_shape


def columns_of(layer):
    """What an LSTM's kernel, recurrent kernel and bias have columns for, in their order: i, f, c (the content), o."""
    # An ablated layer's cell says what is left.
    return getattr(layer.cell, "columns", ("ifco",) * 3)


def check_lstm(layer, inputs, initial_state):
    """Raises ValueError unless the layer is an LSTM that can read these inputs from this state."""
    if not isinstance(layer, keras.layers.LSTM):
        raise ValueError(
            "Argument `layer` must be a keras.layers.LSTM, or an awd_keras.layers.WeightDropLSTM or AblatedLSTM. "
            f"Received: layer={layer!r}"
        )
    if "f" not in columns_of(layer)[0]:
        raise ValueError(f"Argument `layer` must have gates. Received: layer={layer!r}, variant={layer.variant!r}")
    if not layer.built:
        raise ValueError(f"Argument `layer` must be built: call it on data first. Received: layer={layer!r}")
    check_floats("inputs", inputs)
    check_shape("inputs", inputs, ("batch", "time", layer.cell.kernel.shape[0]))
    if inputs.shape[1] == 0:
        raise ValueError(f"Argument `inputs` must have at least one time step. Received: shape={tuple(inputs.shape)}")
    if backend.get_keras_mask(inputs) is not None:
        raise ValueError("Argument `inputs` must come without a mask: give texts of the same length, unpadded.")
    if initial_state is None:
        return
    if not isinstance(initial_state, (list, tuple)) or len(initial_state) != 2:
        raise ValueError(f"Argument `initial_state` must be a list [h, c]. Received: initial_state={initial_state}")
    for part in initial_state:
        check_shape("initial_state", part, (inputs.shape[0], layer.units))
