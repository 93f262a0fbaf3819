"""An LSTM whose input and previous output gate each other before each step."""

from typing import Any

import keras

from awd_keras import backend
from awd_keras.checks import check_not_negative_integer, check_positive_integer
from awd_keras.layers.initializers import reseeded
from awd_keras.layers.recurrent import arguments_of
from awd_keras.layers.weight_drop_lstm import WeightDropLSTM


@keras.saving.register_keras_serializable(package="awd_keras")
class MogrifierLSTM(WeightDropLSTM):
    """`WeightDropLSTM` whose input and previous output gate each other before each time step.

    With `x` the input and `h` the previous output, for `i` from 1 to `rounds`,

        x = 2 * sigmoid(h @ Q[i]) * x, where i is odd
        h = 2 * sigmoid(x @ R[i]) * h, where i is even

    and then comes the LSTM's step. With a `rank` k, each of these matrices is the product of two smaller ones, (.., k)
    and (k, ..), which have fewer weights. Weight drop, the carried state and all else are as in `WeightDropLSTM`. With
    `rounds=0`, both layers are the same.

    Source: Melis, Kočiský and Blunsom (2020), arXiv 1909.01792, section 2.

    Args:
        units: positive integer, the size of the state.
        rounds: integer of at least 0, the number of gatings before each step.
        rank: positive integer, the rank of the rounds' matrices, or None for full rank.
        weight_drop: float in [0, 1), the fraction of the LSTM's recurrent weights to drop, exact to 2**-17.
        kernel_weight_drop: float in [0, 1), the fraction of input weights to drop.
        mogrifier_initializer: initializer of the rounds' matrices; each matrix draws from its own seed.
        **kwargs: all other arguments of `WeightDropLSTM`. cuDNN has no implementation of this layer.

    Call arguments:
        sequences: floats of shape (batch, time, features).
        initial_state: [h, c], each of shape (batch, units), or None.
        mask: booleans of shape (batch, time), or None.
        training: boolean, whether to drop.

    Attributes:
        computed_by: the name of the implementation that the last call ran, or None before the first call: `"fused"`, a
            loop with a hand-written gradient, or `"generic"`, Keras's loop.

    Raises:
        ValueError: if `rounds` isn't an integer of at least 0, `rank` isn't a positive integer or None, and as
            `WeightDropLSTM` does.

    Example:

    >>> import numpy as np
    >>> from awd_keras.layers import MogrifierLSTM
    >>> layer = MogrifierLSTM(8, rounds=5, rank=2, return_sequences=True)
    >>> tuple(layer(np.ones((2, 5, 3), "float32")).shape)
    (2, 5, 8)
    """

    cell: Any  # Keras's

    def __init__(
        self,
        units: int,
        rounds: int = 5,
        rank: int | None = None,
        weight_drop: float = 0.5,
        kernel_weight_drop: float = 0.0,
        *,
        mogrifier_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ):
        check_not_negative_integer("rounds", rounds)
        if rank is not None:
            check_positive_integer("rank", rank)
        super().__init__(units, weight_drop, kernel_weight_drop, **kwargs)
        self.rounds = rounds
        self.rank = rank
        self.mogrifier_initializer = keras.initializers.get(mogrifier_initializer)
        self._replace_cell(_Cell(rounds, rank, self.mogrifier_initializer, **arguments_of(self.cell)))
        self.supports_jit = True

    def _function(self):
        run = backend.mogrifier if self.use_cudnn else backend.generic_mogrifier
        if self.rank is None:
            return run

        def of_products(sequences, state, kernel, recurrent_kernel, bias, *factors, **options):
            products = map(backend.product, factors[::2], factors[1::2])
            return run(sequences, state, kernel, recurrent_kernel, bias, *products, **options)

        return of_products

    def _weights_and_rates(self):
        return [*super()._weights_and_rates(), *((matrix, 0) for matrix in self.cell.mogrifiers)]

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "rounds": self.rounds,
            "rank": self.rank,
            "mogrifier_initializer": keras.initializers.serialize(self.mogrifier_initializer),
        }


class _Cell(keras.layers.LSTMCell):
    """The LSTM's weights, and for each round its matrix, or the two factors of that."""

    def __init__(self, rounds, rank, initializer, **kwargs):
        super().__init__(**kwargs)
        self.rounds = rounds
        self.rank = rank
        self.mogrifier_initializer = initializer

    def build(self, input_shape):
        super().build(input_shape)
        self.mogrifiers: list = []
        for number in range(1, self.rounds + 1):
            rows, columns = (self.units, input_shape[-1]) if number % 2 else (input_shape[-1], self.units)
            shapes = [(rows, columns)] if self.rank is None else [(rows, self.rank), (self.rank, columns)]
            for shape in shapes:
                matrix = self.add_weight(
                    name=f"mogrifier_{len(self.mogrifiers)}",
                    shape=shape,
                    initializer=reseeded(self.mogrifier_initializer, len(self.mogrifiers)),
                )
                self.mogrifiers.append(matrix)
