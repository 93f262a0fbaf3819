"""An LSTM with dropout on its recurrent weights."""

from typing import Any

import keras

from awd_keras import backend
from awd_keras.checks import check_positive_integer
from awd_keras.layers.recurrent import Recurrent


@keras.saving.register_keras_serializable(package="awd_keras")
class WeightDropLSTM(Recurrent, keras.layers.LSTM):
    """LSTM with dropout on the recurrent kernel (DropConnect), and a carried state that trains.

    In training, each call draws one mask `M` over the recurrent kernel `U` (units, 4 * units) of all gates. Every time
    step and the backward pass use `U * M / (1 - weight_drop)`. The stored weights never change, and nothing is dropped
    at inference. `kernel_weight_drop` does the same to the input kernel.

    With `stateful=True`, a call begins with the final state of the previous call. No gradient goes from one call to the
    other. Training and inference have separate states. Both may use any batch size up to the one that the layer was
    built for. `awd_keras.callbacks.ResetStates` zeroes them when an epoch or an evaluation begins. The carried state
    belongs to a stream of data, not to the model: it isn't saved.

    Source: section 2, "Weight-dropped LSTM".

    Args:
        units: positive integer, the size of the state.
        weight_drop: float in [0, 1), the fraction of recurrent weights to drop, exact to 2**-17.
        kernel_weight_drop: float in [0, 1), the fraction of input weights to drop.
        use_cudnn: `"auto"` runs the fastest implementation that supports the arguments; `False` runs Keras's generic
            loop; `True` raises if only the generic loop supports them.
        seed: integer or None, the seed of all masks. A layer with `go_backwards` draws other masks from the same seed,
            so that the two directions of `keras.layers.Bidirectional` drop different weights.
        **kwargs: all arguments of `keras.layers.LSTM`, with the same meaning; `recurrent_dropout` uses one mask for
            the four gates.

    Call arguments:
        sequences: floats of shape (batch, time, features).
        initial_state: [h, c], each of shape (batch, units), or None.
        mask: booleans of shape (batch, time), or None.
        training: boolean, whether to drop.

    Attributes:
        computed_by: the name of the implementation that the last call ran, or None before the first:
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

    PARTS = ("h", "c")

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
        rates = {"weight_drop": weight_drop, "kernel_weight_drop": kernel_weight_drop}
        super().__init__(units, rates=rates, masks_seed=seed, use_cudnn=use_cudnn, seed=seed, **kwargs)
        self.supports_jit = backend.lstm_supports_jit()

    def _function(self):
        return backend.lstm if self.use_cudnn else backend.generic_lstm
