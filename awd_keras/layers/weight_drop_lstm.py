"""The LSTM whose recurrent weights are dropped."""

from typing import Any

import keras
import numpy as np
from keras import ops

from awd_keras import backend
from awd_keras.backend import devices, keras_private
from awd_keras.checks import check_floats, check_positive_integer, check_rate, check_seed, check_shape
from awd_keras.layers.call_effects import CarriesState, Rematerialized, load_seed_state, next_seed


@keras.saving.register_keras_serializable(package="awd_keras")
class WeightDropLSTM(Rematerialized, CarriesState, keras.layers.LSTM):
    """LSTM with dropout on the recurrent kernel (DropConnect), and a carried state that trains.

    In training, one mask `M` is drawn over the recurrent kernel `U` (units, 4 * units) in each call, for every gate,
    and the LSTM runs with `U * M / (1 - weight_drop)` in every time step and in the backward pass. Stored weights never
    change, and nothing is dropped at inference. `kernel_weight_drop` does the same to the input kernel.

    With `stateful=True`, a call goes on from the state that the last call left, with no gradient from one call to the
    other. Training and inference have separate states; both may use any batch size up to the one that the layer was
    built for. Set `awd_keras.callbacks.ResetStates` to zero them at the edges of epochs and evaluations. The carried
    state belongs to a stream of data, not to the model: it isn't saved.

    Source: section 2, "Weight-dropped LSTM".

    Args:
        units: positive integer, the size of the state.
        weight_drop: float in [0, 1), the fraction of recurrent weights to drop, drawn to within 2**-17.
        kernel_weight_drop: float in [0, 1), the fraction of input weights to drop.
        use_cudnn: `"auto"` runs the fastest implementation that computes what was asked for; `False` runs Keras's
            generic loop; `True` raises where only the generic loop can compute it.
        seed: integer or None, the seed of all masks. A layer that goes backwards draws from a stream of its own, so
            that the two directions of `keras.layers.Bidirectional` drop different weights.
        **kwargs: all arguments of `keras.layers.LSTM`, with the same meaning; `recurrent_dropout` uses one mask for
            the four gates.

    Call arguments:
        sequences: floats of shape (batch, time, features).
        initial_state: [h, c], each of shape (batch, units), or None.
        mask: booleans of shape (batch, time), or None.
        training: boolean, whether to drop.

    Attributes:
        lstm_path: the name of the implementation that the last call ran, or None before the first:
            `"torch.lstm"`, `"fused"`, `"cudnn"`, `"generic"`.

    Raises:
        ValueError: if a rate isn't in [0, 1), `units` isn't a positive integer, a stateful layer is built without a
            known batch size, or called with a larger one; when called, if an argument isn't of the shape above, or the
            sequences aren't floats or have no time step.

    Example:

    >>> import numpy as np
    >>> from awd_keras.layers import WeightDropLSTM
    >>> layer = WeightDropLSTM(8, weight_drop=0.5, return_sequences=True)
    >>> tuple(layer(np.ones((2, 5, 3), "float32"), training=True).shape)
    (2, 5, 8)
    """

    def __init__(
        self,
        units: int,
        weight_drop: float = 0.5,
        kernel_weight_drop: float = 0.0,
        *,
        use_cudnn: bool | str = "auto",
        seed: int | None = None,
        **kwargs: Any,
    ):
        check_positive_integer("units", units)
        check_rate("weight_drop", weight_drop)
        check_rate("kernel_weight_drop", kernel_weight_drop)
        for name in ("dropout", "recurrent_dropout"):
            check_rate(name, kwargs.get(name, 0.0))
        if seed is not None:
            check_seed(seed)
        if use_cudnn not in ("auto", True, False):
            raise ValueError(f"Argument `use_cudnn` must be 'auto', True or False. Received: use_cudnn={use_cudnn!r}")
        super().__init__(units, use_cudnn=use_cudnn, seed=seed, **kwargs)
        keras_private.keep_from_fusing(self.cell)
        self.weight_drop = weight_drop
        self.kernel_weight_drop = kernel_weight_drop
        if seed is not None:
            entropy = np.random.SeedSequence([seed, int(self.go_backwards)])
            seed = int(entropy.generate_state(1)[0] >> 1)
        self.seed_generator = keras_private.SavedSeedGenerator(seed)
        self.training_state = None
        self.inference_state = None
        self.lstm_path = None
        self.supports_jit = backend.lstm_supports_jit()

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        batch_size, _, features = sequences_shape
        # PyTorch's LSTM reads other memory where there are fewer features than weights.
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={-1: features})
        if not self.cell.built:
            self.cell.build((batch_size, features))
            for kernel in (self.cell.kernel, self.cell.recurrent_kernel):
                if kernel is not None:
                    backend.keep_by_columns(kernel)
        if self.stateful:
            if batch_size is None:
                raise ValueError(
                    "A layer with `stateful=True` must be built for a known batch size: give "
                    "`keras.Input(batch_shape=(batch, time, features))`, or call the model on data first. "
                    f"Received: sequences_shape={tuple(sequences_shape)}"
                )
            self.add_states(batch_size, {"h": self.units, "c": self.units})

    def call(self, sequences, initial_state=None, mask=None, training=False):
        if self.unroll and sequences.shape[1] is None:
            raise ValueError(
                "A layer with `unroll=True` must know the number of time steps. "
                f"Received: sequences.shape={tuple(sequences.shape)}"
            )
        if isinstance(mask, (list, tuple)):
            mask = mask[0]
        self._check(sequences, initial_state, mask)
        carried = self.training_state if training else self.inference_state
        batch_size = ops.shape(sequences)[0]
        if initial_state is None and carried is not None:
            initial_state = self.read_state(carried, batch_size)
        elif initial_state is None:
            initial_state = [ops.zeros((batch_size, self.units), dtype=self.compute_dtype)] * 2
        initial_state = [ops.cast(part, self.compute_dtype) for part in initial_state]
        recurrent_mask = None
        if training and self.dropout > 0:
            sequences = backend.locked_dropout(sequences, self.dropout, next_seed(self))
        if training and self.recurrent_dropout > 0:
            recurrent_mask = self._drop(ops.ones_like(initial_state[0]), self.recurrent_dropout, next_seed(self))

        outputs, state, self.lstm_path = self._run(sequences, initial_state, mask, recurrent_mask, training)
        if self.stateful:
            self.write_state(carried, state, batch_size)
        output = outputs if self.return_sequences else outputs[:, -1]
        return (output, *state) if self.return_state else output

    def compute_output_spec(self, sequences, initial_state=None, mask=None, training=False):
        # Keras asks for shapes alone, and would refuse what is wrong when the model runs.
        self._check(sequences, initial_state, mask)
        return super().compute_output_spec(sequences, initial_state=initial_state, mask=mask, training=training)

    def _check(self, sequences, initial_state, mask):
        check_floats("sequences", sequences)
        if sequences.shape[1] == 0:
            raise ValueError(
                f"Argument `sequences` must have at least one time step. Received: shape={tuple(sequences.shape)}"
            )
        if mask is not None:
            check_shape("mask", mask[0] if isinstance(mask, (list, tuple)) else mask, tuple(sequences.shape[:2]))
        if initial_state is None:
            return
        if not isinstance(initial_state, (list, tuple)) or len(initial_state) != 2:
            raise ValueError(f"Argument `initial_state` must be a list [h, c]. Received: initial_state={initial_state}")
        for part in initial_state:
            check_shape("initial_state", part, (sequences.shape[0], self.units))

    def _run(self, sequences, initial_state, mask, recurrent_mask, training):
        rates = (self.kernel_weight_drop, self.weight_drop) if training else (0, 0)
        path = None

        def run(sequences, h, c, mask, recurrent_mask, *weights_and_seeds):
            nonlocal path
            kernel, recurrent_kernel, bias, *seeds = weights_and_seeds
            kernel, recurrent_kernel = map(self._drop, (kernel, recurrent_kernel), rates, seeds)
            outputs, state, path = self._function()(
                sequences,
                [h, c],
                kernel,
                recurrent_kernel,
                bias,
                activation=self.activation,
                recurrent_activation=self.recurrent_activation,
                mask=mask,
                recurrent_mask=recurrent_mask,
                go_backwards=self.go_backwards,
                unroll=self.unroll,
                zero_output_for_mask=self.zero_output_for_mask,
            )
            return outputs, *state

        # Where each device draws a mask of the weights, it is drawn in there.
        outputs, *state = devices.own_rows(
            run,
            [sequences, *initial_state, mask, recurrent_mask],
            [self._weight(variable) for variable in (self.cell.kernel, self.cell.recurrent_kernel, self.cell.bias)],
            [next_seed(self) if rate else None for rate in rates],
        )
        if self.use_cudnn is True and path == "generic":
            raise ValueError(
                "Argument `use_cudnn=True` asks for a fast implementation, and only Keras's generic loop can compute "
                "this layer here (a mask, other activations, recurrent dropout, unroll, or no GPU)."
            )
        return outputs, state, path

    def _function(self):
        """What computes the layer, of `backend.lstm`'s signature."""
        return backend.lstm if self.use_cudnn else backend.generic_lstm

    def _weight(self, variable):
        return None if variable is None else ops.convert_to_tensor(variable, dtype=self.compute_dtype)

    def _drop(self, tensor, rate, seed):
        if tensor is None or rate == 0:
            return tensor
        return backend.drop(tensor, backend.keep_mask(ops.shape(tensor), rate, seed), rate)

    def save_own_variables(self, store):
        """Saves nothing: the weights are the cell's, and a carried state isn't part of a model."""

    def load_own_variables(self, store):
        """Loads the masks' seed that files of before have."""
        load_seed_state(self, store)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "weight_drop": self.weight_drop,
            "kernel_weight_drop": self.kernel_weight_drop,
            "use_cudnn": self.use_cudnn,
        }
