"""The quasi-recurrent layer (QRNN), whose gates depend only on the inputs."""

from typing import Any

import keras
from keras import ops

from awd_keras import backend
from awd_keras.checks import check_boolean, check_positive_integer
from awd_keras.layers.call_effects import next_seed
from awd_keras.layers.gated_sums import gated_sums, held, project, turned
from awd_keras.layers.recurrent import Recurrent


def qrnn(
    sequences,
    initial_state,
    kernel,
    bias,
    *,
    activation,
    recurrent_activation,
    mask=None,
    moves=None,
    go_backwards=False,
    zero_output_for_mask=False,
):
    """Runs a QRNN over whole sequences, by an associative scan.

    Args:
        sequences: (batch, time, features).
        initial_state: [h, c], each (batch, units), and for a window of 2 the previous input, (batch, features).
        kernel: (window * features, columns), the rows of the previous input first; columns for z, f and, with an output
            gate, o.
        bias: (columns,) or None.
        activation: function of z.
        recurrent_activation: function of the gates.
        mask: boolean (batch, time) or None; where it is False, the step leaves the state as it is.
        moves: boolean (batch, time, units) or None; where it is False, c keeps its value.
        go_backwards: whether time runs from the last step to the first (outputs in that order).
        zero_output_for_mask: whether a masked step returns zeros instead of the previous output.

    Returns:
        Outputs (batch, time, units), the final state, and the name of the implementation.
    """
    sequences, mask, moves = (turned(each, go_backwards) for each in (sequences, mask, moves))
    *state, before = initial_state if len(initial_state) == 3 else (*initial_state, None)
    if before is not None:
        inputs = held(sequences, before, mask)
        earlier = ops.concatenate([ops.expand_dims(before, 1), inputs[:, :-1]], axis=1)
        sequences, before = ops.concatenate([earlier, sequences], axis=-1), inputs[:, -1]
    projections = project(sequences, kernel)
    if bias is not None:
        projections = backend.add_bias(projections, bias)
    units = state[1].shape[-1]
    z, gates = activation(projections[..., :units]), recurrent_activation(projections[..., units:])
    # `int`, as PyTorch traces sizes as tensors when it exports to ONNX.
    f, *o = ops.split(gates, int(gates.shape[-1] // units), axis=-1)
    if moves is not None:
        f = ops.where(moves, f, ops.ones_like(f))

    def output(c):
        return ops.multiply(o[0], c) if o else c

    outputs, *state = gated_sums(f, ops.multiply(1 - f, z), output, state, mask, zero_output_for_mask)
    return outputs, state if before is None else [*state, before], "associative_scan"


@keras.saving.register_keras_serializable(package="awd_keras")
class QRNN(Recurrent, keras.layers.RNN):
    """Quasi-recurrent layer (QRNN): its gates depend only on the inputs, so all time steps are computed at once.

    A time step, from the input `x[t]`, or with a window of 2 from `x[t - 1]` and `x[t]` concatenated:

        z = tanh(x[t] @ Wz + bz)
        f, o = sigmoid(x[t] @ W + b), each with its own columns
        c = f * c + (1 - f) * z
        h = o * c, or c without an output gate

    No matrix product waits for the previous step: an associative scan computes c of all steps together. With
    `stateful=True`, h and c, and with a window of 2 also the last input, are carried from call to call.

    In training, zoneout draws for each unit, row and step whether c keeps its value (`f` is 1 there). Other values
    aren't rescaled, and there is no zoneout at inference. `kernel_weight_drop` drops weights of the whole kernel, as in
    `WeightDropLSTM`.

    Source: Bradbury, Merity, Xiong, Socher (2016), arXiv 1611.01576, section 2, fo-pooling. AWD-QRNN has a window of 2
    in the first layer, and of 1 above.

    Args:
        units: positive integer, the size of the state.
        window: 1 or 2, the number of inputs that a step reads.
        zoneout: float in [0, 1), the fraction of c that keeps its value, exact to 2**-17.
        output_gate: boolean, whether there is an output gate.
        kernel_weight_drop: float in [0, 1), the fraction of weights to drop.
        activation: function of z.
        recurrent_activation: function of the gates.
        use_bias: boolean, whether there is a bias.
        kernel_initializer: initializer of the kernel (window * features, 3 * units); 2 * units without an output gate.
        bias_initializer: initializer of the bias.
        kernel_regularizer: regularizer of the kernel, or None.
        bias_regularizer: regularizer of the bias, or None.
        kernel_constraint: constraint of the kernel, or None.
        bias_constraint: constraint of the bias, or None.
        seed: integer or None, the seed of all masks, as in `WeightDropLSTM`.
        **kwargs: `return_sequences`, `return_state`, `go_backwards`, `stateful`, `zero_output_for_mask` and all other
            arguments of `keras.layers.RNN`.

    Call arguments:
        sequences: floats of shape (batch, time, features).
        initial_state: [h, c], each of shape (batch, units), with a window of 2 [h, c, x], whose x has the shape (batch,
            features); or None.
        mask: booleans of shape (batch, time), or None.
        training: boolean, whether to drop.

    Attributes:
        computed_by: `"associative_scan"`, or None before the first call.

    Raises:
        ValueError: if `window` isn't 1 or 2, a rate isn't in [0, 1), `units` isn't a positive integer, and as
            `WeightDropLSTM` does.

    Example:

    >>> import numpy as np
    >>> from awd_keras.layers import QRNN
    >>> layer = QRNN(8, window=2, zoneout=0.1, return_sequences=True)
    >>> tuple(layer(np.ones((2, 5, 3), "float32"), training=True).shape)
    (2, 5, 8)
    """

    DROPOUTS = ()

    def __init__(
        self,
        units: int,
        window: int = 1,
        zoneout: float = 0.0,
        output_gate: bool = True,
        kernel_weight_drop: float = 0.0,
        *,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        check_positive_integer("units", units)
        if isinstance(window, bool) or window not in (1, 2):
            raise ValueError(f"Argument `window` must be 1 or 2. Received: window={window!r}")
        check_boolean("output_gate", output_gate)
        rates = {"zoneout": zoneout, "kernel_weight_drop": kernel_weight_drop}
        cell = _Cell(units, (3 if output_gate else 2) * units, window, dtype=kwargs.get("dtype"), name="qrnn_cell")
        super().__init__(cell, rates=rates, masks_seed=seed, **kwargs)
        self.PARTS = ("h", "c") if window == 1 else ("h", "c", "x")
        self.units = units
        self.window = window
        self.output_gate = output_gate
        self.activation = keras.activations.get(activation)
        self.recurrent_activation = keras.activations.get(recurrent_activation)
        self.use_bias = use_bias
        self.seed = seed
        cell.kernel_arguments = {
            "initializer": keras.initializers.get(kernel_initializer),
            "regularizer": keras.regularizers.get(kernel_regularizer),
            "constraint": keras.constraints.get(kernel_constraint),
        }
        cell.bias_arguments = {
            "initializer": keras.initializers.get(bias_initializer),
            "regularizer": keras.regularizers.get(bias_regularizer),
            "constraint": keras.constraints.get(bias_constraint),
        }
        cell.use_bias = use_bias

    def _function(self):
        return qrnn

    def _weights_and_rates(self):
        return [(self.cell.kernel, self.kernel_weight_drop), (self.cell.bias, 0)]

    def _options(self):
        options = super()._options()
        del options["unroll"]  # There is no loop over time steps.
        return options

    def _masks(self, sequences, initial_state):
        if self.zoneout == 0:
            return {}
        shape = (*ops.shape(sequences)[:2], self.units)
        return {"moves": backend.keep_mask(shape, self.zoneout, next_seed(self))}

    def _state_size(self, features):
        return [self.units, self.units, features][: len(self.PARTS)]

    def get_config(self) -> dict:
        config = super().get_config()
        del config["cell"]
        config |= {
            "units": self.units,
            "window": self.window,
            "output_gate": self.output_gate,
            "activation": keras.activations.serialize(self.activation),
            "recurrent_activation": keras.activations.serialize(self.recurrent_activation),
            "use_bias": self.use_bias,
            "activity_regularizer": keras.regularizers.serialize(self.activity_regularizer),
            "seed": self.seed,
        }
        for weight in ("kernel", "bias"):
            for name, value in getattr(self.cell, f"{weight}_arguments").items():
                config[f"{weight}_{name}"] = keras.saving.serialize_keras_object(value)
        return config

    @classmethod
    def from_config(cls, config):
        return cls(**config)


class _Cell(keras.layers.Layer):
    """The weights of a `QRNN`."""

    def __init__(self, units, columns, window, **kwargs):
        super().__init__(**kwargs)
        self.columns = columns
        self.window = window
        self.state_size = [units, units]
        self.output_size = units

    def get_config(self):
        return {"name": self.name, "units": self.output_size, "columns": self.columns, "window": self.window}

    def build(self, input_shape):
        shape = (self.window * input_shape[-1], self.columns)
        self.kernel = self.add_weight(name="kernel", shape=shape, **self.kernel_arguments)
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.columns,), **self.bias_arguments)
