"""A GRU with dropout on its recurrent weights."""

from typing import Any

import keras

from awd_keras import backend
from awd_keras.checks import check_boolean, check_positive_integer
from awd_keras.layers.recurrent import Recurrent


@keras.saving.register_keras_serializable(package="awd_keras")
class WeightDropGRU(Recurrent, keras.layers.GRU):
    """GRU with dropout on the recurrent kernel (DropConnect), and a carried state that trains.

    A time step, from the input `x` and the previous output `h`:

        z, r = sigmoid(x @ W + b + h @ U + b'), each with its own columns
        n = tanh(x @ Wn + bn + r * (h @ Un + b'n))
        h = z * h + (1 - z) * n

    In training, each call draws one mask `M` over the recurrent kernel `U` (units, 3 * units). Every time step and the
    backward pass use `U * M / (1 - weight_drop)`. The carried state and all else are as in `WeightDropLSTM`. The
    weights are those of `keras.layers.GRU`, and can be copied in both directions.

    Source: Cho et al. (2014), arXiv 1406.1078, section 2.3, with the reset gate after the product, as in cuDNN. Weight
    drop: Merity, Keskar, Socher (2017), section 2, whose program has a GRU too.

    Args:
        units: positive integer, the size of the state.
        weight_drop: float in [0, 1), the fraction of recurrent weights to drop, exact to 2**-17.
        kernel_weight_drop: float in [0, 1), the fraction of input weights to drop.
        reset_after: boolean, whether the reset gate is applied after the product, as above, or before it:
            `n = tanh(x @ Wn + bn + (r * h) @ Un)`, with one bias. Only the former has fast implementations.
        use_cudnn: `"auto"` runs the fastest implementation that supports the arguments; `False` runs Keras's generic
            loop; `True` raises if only the generic loop supports them.
        seed: integer or None, the seed of all masks, as in `WeightDropLSTM`.
        **kwargs: all other arguments of `keras.layers.GRU`, with the same meaning; `recurrent_dropout` uses one mask
            for the three gates.

    Call arguments:
        sequences: floats of shape (batch, time, features).
        initial_state: [h], of shape (batch, units), or None.
        mask: booleans of shape (batch, time), or None.
        training: boolean, whether to drop.

    Attributes:
        computed_by: the name of the implementation that the last call ran, or None before the first: `"torch.gru"`,
            `"fused"`, a loop with a hand-written gradient, or `"generic"`, Keras's loop.

    Raises:
        ValueError: as `WeightDropLSTM` does, or if `reset_after` isn't a boolean.

    Example:

    >>> import numpy as np
    >>> from awd_keras.layers import WeightDropGRU
    >>> layer = WeightDropGRU(8, weight_drop=0.5, return_sequences=True)
    >>> tuple(layer(np.ones((2, 5, 3), "float32"), training=True).shape)
    (2, 5, 8)
    """

    def __init__(
        self,
        units: int,
        weight_drop: float = 0.5,
        kernel_weight_drop: float = 0.0,
        *,
        reset_after: bool = True,
        use_cudnn: bool | str = "auto",
        seed: int | None = None,
        **kwargs: Any,
    ):
        check_positive_integer("units", units)
        check_boolean("reset_after", reset_after)
        super().__init__(
            units,
            rates={"weight_drop": weight_drop, "kernel_weight_drop": kernel_weight_drop},
            masks_seed=seed,
            reset_after=reset_after,
            use_cudnn=use_cudnn,
            seed=seed,
            **kwargs,
        )
        # Keras's GRU sets this to False where it would run cuDNN.
        self.supports_jit = True

    def _function(self):
        return backend.gru if self.use_cudnn else backend.generic_gru

    def _options(self):
        return {**super()._options(), "reset_after": self.reset_after}
