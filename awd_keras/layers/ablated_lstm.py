"""The LSTM without one of its parts, and the equations that are left."""

from typing import Any

import keras
from keras import ops

from awd_keras import backend
from awd_keras.checks import check_choice
from awd_keras.layers.gated_sums import gated_sums, project, turned
from awd_keras.layers.recurrent import arguments_of
from awd_keras.layers.weight_drop_lstm import WeightDropLSTM


def simple_rnn(
    sequences,
    initial_state,
    kernel,
    recurrent_kernel,
    bias,
    *,
    activation,
    recurrent_activation,
    recurrent_mask=None,
    **loop,
):
    """No gates: h[t] = c[t] = activation(x[t] @ kernel + h[t - 1] @ recurrent_kernel + bias)."""
    projections = project(sequences, kernel)
    if bias is not None:
        projections = backend.add_bias(projections, bias)

    def step(projection, state):
        # Not `ops.add`, which on TensorFlow treats an empty batch as a bias.
        h = activation(projection + backend.masked(state[0], recurrent_mask) @ recurrent_kernel)
        return h, [h, h]

    return backend.step_by_step(step, projections, initial_state, **loop)


def gates_of_hidden(
    sequences,
    initial_state,
    kernel,
    recurrent_kernel,
    bias,
    *,
    activation,
    recurrent_activation,
    recurrent_mask=None,
    **loop,
):
    """The content depends on x only, the gates on x and h. Without columns for o, h is c."""
    units = initial_state[0].shape[-1]
    projections = _gates_then_content(sequences, kernel, bias, units)

    def step(projection, state):
        h, c = state
        gates, content = projection[:, :-units], projection[:, -units:]
        gates = recurrent_activation(gates + backend.masked(h, recurrent_mask) @ recurrent_kernel)
        i, f, *o = ops.split(gates, int(gates.shape[-1] // units), axis=-1)
        c = f * c + i * content
        h = ops.multiply(o[0], activation(c)) if o else c
        return h, [h, c]

    return backend.step_by_step(step, projections, initial_state, **loop)


def gates_of_inputs(
    sequences,
    initial_state,
    kernel,
    recurrent_kernel,
    bias,
    *,
    activation,
    recurrent_activation,
    mask=None,
    recurrent_mask=None,
    go_backwards=False,
    unroll=False,
    zero_output_for_mask=False,
):
    """Content and gates depend on x only: the cell is a sum over time, and no step waits for a matrix product."""
    sequences, mask = (turned(each, go_backwards) for each in (sequences, mask))
    units = initial_state[0].shape[-1]
    projections = _gates_then_content(sequences, kernel, bias, units)
    i, f, o = ops.split(recurrent_activation(projections[..., :-units]), 3, axis=-1)
    addends = ops.multiply(i, projections[..., -units:])
    outputs, h, c = gated_sums(
        f, addends, lambda c: ops.multiply(o, activation(c)), initial_state, mask, zero_output_for_mask
    )
    return outputs, [h, c], "associative_scan"


def _gates_then_content(sequences, kernel, bias, units):
    """The projections of i, f and (if there is one) o, with their bias; then those of the content, without a bias."""
    i, f, content, *o = ops.split(project(sequences, kernel), int(kernel.shape[-1] // units), axis=-1)
    projections = ops.concatenate([i, f, *o, content], axis=-1)
    return projections if bias is None else backend.add_bias(projections, ops.pad(bias, [[0, units]]))


# The columns that kernel, recurrent kernel and bias have in each variant: the gates i, f, o and the content c, in
# Keras's order.
_COLUMNS = {
    "lstm": ("ifco", "ifco", "ifco"),
    "-srnn": ("ifco", "ifo", "ifo"),
    "-srnn-out": ("ifc", "if", "if"),
    "-srnn-hidden": ("ifco", "", "ifo"),
    "-gates": ("c", "c", "c"),
}
_FUNCTIONS = {
    "-srnn": gates_of_hidden,
    "-srnn-out": gates_of_hidden,
    "-srnn-hidden": gates_of_inputs,
    "-gates": simple_rnn,
}


@keras.saving.register_keras_serializable(package="awd_keras")
class AblatedLSTM(WeightDropLSTM):
    """`WeightDropLSTM` without one of its parts, to measure what the part contributes.

    An LSTM is a simple RNN, the content, and gates that add its values up in a cell. With `x` the input and `h` the
    previous output,

        i, f, o = sigmoid(x @ W + h @ U + b), each with a W, U and b of its own
        content = tanh(x @ W + h @ U + b)
        c = f * c + i * content
        h = o * tanh(c)

    A variant replaces these equations, and keeps the others:

    | variant | what is removed | equations |
    | --- | --- | --- |
    | `"lstm"` | nothing: `WeightDropLSTM` | |
    | `"-srnn"` | the simple RNN | `content = x @ W` |
    | `"-srnn-out"` | the simple RNN and the output gate | `content = x @ W`, `h = c` |
    | `"-srnn-hidden"` | the simple RNN, the gates' view of `h` | `content = x @ W`, `i, f, o = sigmoid(x @ W + b)` |
    | `"-gates"` | the gates: the simple RNN is left | `h = c = tanh(x @ W + h @ U + b)` |

    A variant has only the weights that it uses: kernel, recurrent kernel and bias have columns for the parts that are
    left, in the order i, f, content, o. Weight drop acts on the recurrent weights that are left. All else, also the
    carried state, is as in `WeightDropLSTM`.

    Source: the variants of Levy, Lee, FitzGerald and Zettlemoyer (2018), "Long Short-Term Memory as a Dynamically
    Computed Element-wise Weighted Sum", arXiv 1805.03716, by their names there.

    Args:
        units: positive integer, the size of the state.
        variant: `"lstm"`, `"-srnn"`, `"-srnn-out"`, `"-srnn-hidden"` or `"-gates"`.
        weight_drop: float in [0, 1), the fraction of recurrent weights to drop; `"-srnn-hidden"` has none.
        kernel_weight_drop: float in [0, 1), the fraction of input weights to drop.
        **kwargs: all other arguments of `WeightDropLSTM`. `use_cudnn` has an effect only for `"lstm"`: each other
            variant has one implementation.

    Call arguments:
        sequences: floats of shape (batch, time, features).
        initial_state: [h, c], each of shape (batch, units), or None.
        mask: booleans of shape (batch, time), or None.
        training: boolean, whether to drop.

    Attributes:
        computed_by: the name of the implementation that the last call ran, or None before the first call. For `"lstm"`
            it is that of `WeightDropLSTM`; for `"-srnn-hidden"`, whose time steps don't wait for matrix products,
            `"associative_scan"`; for the others `"generic"`, Keras's loop.

    Raises:
        ValueError: if there is no such variant, and as `WeightDropLSTM` does.

    Example:

    >>> import numpy as np
    >>> from awd_keras.layers import AblatedLSTM
    >>> layer = AblatedLSTM(8, "-srnn-hidden", return_sequences=True)
    >>> tuple(layer(np.ones((2, 5, 3), "float32")).shape)
    (2, 5, 8)
    >>> [tuple(weight.shape) for weight in layer.weights], layer.computed_by
    ([(3, 32), (24,)], 'associative_scan')
    """

    VARIANTS = tuple(_COLUMNS)
    cell: Any  # Keras's

    def __init__(
        self,
        units: int,
        variant: str = "lstm",
        weight_drop: float = 0.5,
        kernel_weight_drop: float = 0.0,
        **kwargs: Any,
    ):
        check_choice("variant", variant, self.VARIANTS)
        super().__init__(units, weight_drop, kernel_weight_drop, **kwargs)
        self.variant = variant
        if variant != "lstm":
            self._replace_cell(_Cell(variant, **arguments_of(self.cell)))

    def _function(self):
        return super()._function() if self.variant == "lstm" else _FUNCTIONS[self.variant]

    def get_config(self) -> dict:
        return {**super().get_config(), "variant": self.variant}


class _Cell(keras.layers.LSTMCell):
    """The weights of a variant."""

    def __init__(self, variant, **kwargs):
        super().__init__(**kwargs)
        self.columns = _COLUMNS[variant]

    def build(self, input_shape):
        kernel, recurrent_kernel, bias = self.columns
        self.kernel = self.add_weight(
            name="kernel",
            shape=(input_shape[-1], len(kernel) * self.units),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.recurrent_kernel = None
        if recurrent_kernel:
            self.recurrent_kernel = self.add_weight(
                name="recurrent_kernel",
                shape=(self.units, len(recurrent_kernel) * self.units),
                initializer=self.recurrent_initializer,
                regularizer=self.recurrent_regularizer,
                constraint=self.recurrent_constraint,
            )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(len(bias) * self.units,),
                initializer=self._initial_bias if self.unit_forget_bias else self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def _initial_bias(self, _, **dtype):
        ones = keras.initializers.Ones()
        parts = [ones if part == "f" else self.bias_initializer for part in self.columns[-1]]
        return ops.concatenate([part((self.units,), **dtype) for part in parts])
