"""TAR: activations that jump from one time step to the next cost."""

import math
from typing import Any

import keras
from keras import ops

from awd_keras.checks import check_not_negative


@keras.saving.register_keras_serializable(package="awd_keras")
class TemporalActivationRegularizer(keras.regularizers.Regularizer):
    """Temporal activation regularization: `beta * mean((h[t+1] - h[t]) ** 2)`, for `activity_regularizer`.

    The mean is over all elements, in float32, and nothing for a single time step. As with `ActivationRegularizer`, the
    penalty in the loss is the one above whatever the batch size is.

    Source: section 4.6, "AR and TAR"; the paper sets it on the last layer's raw output.

    Args:
        beta: float, not negative.

    Call arguments:
        x: floats of shape (batch, time, features). A tensor without a time axis, such as the final states of
            `return_state=True`, costs nothing.

    Raises:
        ValueError: if `beta` is negative or not a number.

    Example:

    >>> import keras, numpy as np
    >>> from awd_keras.regularizers import TemporalActivationRegularizer
    >>> layer = keras.layers.Activation("linear", activity_regularizer=TemporalActivationRegularizer(1.0))
    >>> _ = layer(np.array([[[0.0], [1.0], [3.0]]], "float32"))
    >>> float(layer.losses[0])
    2.5
    """

    def __init__(self, beta: float = 1.0):
        check_not_negative("beta", beta)
        self.beta = beta

    def __call__(self, x: Any) -> Any:
        if len(x.shape) < 3:
            return ops.zeros((), dtype="float32")
        x = ops.cast(x, "float32")
        jumps = ops.square(x[:, 1:] - x[:, :-1])
        # The sum over the batch, because Keras divides by the batch size. A single time step has no jumps.
        jumps_per_sequence = ops.cast(math.prod(ops.shape(jumps)[1:]), "float32")
        return self.beta * ops.sum(jumps) / ops.maximum(jumps_per_sequence, 1.0)

    def get_config(self) -> dict:
        return {"beta": self.beta}
