"""The gates of an LSTM."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from awd_keras import backend
from awd_keras.checks import check_floats, check_shape


class Gates(NamedTuple):
    """All that an LSTM computes in each time step; arrays of shape (batch, time, units).

    Attributes:
        i: the input gate, how much of the content is written.
        f: the forget gate, how much of the last memory cell is kept.
        o: the output gate, how much of the memory cell is shown.
        content: what would be written, Keras's candidate and the paper's content layer.
        c: the memory cell after the step.
        h: the output of the step.
    """

    i: np.ndarray
    f: np.ndarray
    o: np.ndarray
    content: np.ndarray
    c: np.ndarray
    h: np.ndarray


def columns_of(layer):
    """The columns of an LSTM's kernel, recurrent kernel and bias, in their order: i, f, c (the content), o."""
    # An ablated layer's cell lists the columns that are left.
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
    if getattr(layer, "rounds", 0):
        raise ValueError(
            "Argument `layer` must be an LSTM that reads its inputs unchanged, without a MogrifierLSTM's rounds. "
            f"Received: layer={layer!r}, rounds={layer.rounds}"
        )
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


def gate_activations(layer: keras.layers.LSTM, inputs: Any, initial_state: Sequence[Any] | None = None) -> Gates:
    """Computes the gates, contents and states of an LSTM in each time step of a sequence, with nothing dropped.

    ```
    i_t = sigmoid(x_t W_i + h_{t-1} U_i + b_i)        how much is written
    f_t = sigmoid(x_t W_f + h_{t-1} U_f + b_f)        how much is kept
    o_t = sigmoid(x_t W_o + h_{t-1} U_o + b_o)        how much is shown
    content_t = tanh(x_t W_c + h_{t-1} U_c + b_c)     what is written
    c_t = f_t * c_{t-1} + i_t * content_t
    h_t = o_t * tanh(c_t)
    ```

    sigmoid and tanh are the layer's own `recurrent_activation` and `activation`; an `AblatedLSTM` has the equations of
    its variant, and an output gate of 1 where it has none. A state that the layer carries is neither read nor written.
    A layer with `go_backwards` gives its steps in the order in which it makes them: the first is that of the last word.

    Source: the LSTM as Levy et al. write it, 2018, arXiv 1805.03716.

    Args:
        layer: a built `keras.layers.LSTM`, `awd_keras.layers.WeightDropLSTM`, or `AblatedLSTM` that has gates.
        inputs: floats of shape (batch, time, features), without padding: there is no mask.
        initial_state: [h, c], each of shape (batch, units), or None for zeros.

    Returns:
        `Gates`, NumPy arrays of shape (batch, time, units).

    Raises:
        ValueError: if the layer is no LSTM, has no gates or isn't built, the inputs or the state aren't of the shape
            above, there is no time step, or the inputs come with a mask.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from awd_keras.analysis import gate_activations
    >>> layer = keras.layers.LSTM(4)
    >>> outputs = layer(np.ones((2, 5, 3), "float32"))
    >>> gates = gate_activations(layer, np.ones((2, 5, 3), "float32"))
    >>> gates.f.shape
    (2, 5, 4)
    >>> bool(np.allclose(gates.h[:, -1], keras.ops.convert_to_numpy(outputs), atol=1e-5))
    True
    """
    check_lstm(layer, inputs, initial_state)
    dtype = layer.compute_dtype
    kernel, recurrent_kernel, bias = _weights(layer)
    projections = ops.cast(inputs, dtype) @ kernel + bias
    if layer.go_backwards:
        projections = ops.flip(projections, axis=1)
    if initial_state is None:
        initial_state = [ops.zeros((inputs.shape[0], layer.units), dtype=dtype)] * 2
    h, c = (ops.cast(part, dtype) for part in initial_state)
    of_inputs, of_hidden, _ = columns_of(layer)
    has_rnn, has_output_gate = "c" in of_hidden, "o" in of_inputs
    steps = []
    for t in range(inputs.shape[1]):
        # Not `projections[:, t]`, for which JAX would compile a program for each t.
        z = ops.take(projections, t, axis=1) + h @ recurrent_kernel
        i, f, content, o = ops.split(z, 4, axis=-1)
        i, f, o = map(layer.recurrent_activation, (i, f, o))
        if has_rnn:
            content = layer.activation(content)
        c = ops.add(ops.multiply(f, c), ops.multiply(i, content))
        if has_output_gate:
            h = ops.multiply(o, layer.activation(c))
        else:
            o, h = ops.ones_like(o), c
        steps.append((i, f, o, content, c, h))
    return Gates(*(_stacked(parts) for parts in zip(*steps, strict=True)))


def _weights(layer):
    """Kernel, recurrent kernel and bias, with zeros for what an ablated layer lacks."""
    weights = (layer.cell.kernel, layer.cell.recurrent_kernel, layer.cell.bias)
    rows = ((layer.cell.kernel.shape[0],), (layer.units,), ())
    whole = []
    for weight, columns, shape in zip(weights, columns_of(layer), rows, strict=True):
        parts = np.zeros((*shape, 4, layer.units))
        if weight is not None:
            given = ops.convert_to_numpy(weight).reshape((*shape, len(columns), layer.units))
            parts[..., ["ifco".index(column) for column in columns], :] = given
        whole.append(ops.convert_to_tensor(parts.reshape((*shape, -1)), dtype=layer.compute_dtype))
    return whole


def _stacked(parts):
    whole = ops.stack(parts, axis=1)
    # Products of many gates need more than half precision, and so does NumPy.
    return ops.convert_to_numpy(ops.cast(whole, backend.sum_dtype(whole.dtype)))
