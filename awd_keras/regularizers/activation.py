"""AR and TAR: penalties on activations that are large, or that change from one time step to the next."""

import math
from typing import Any

import keras
from keras import ops

from awd_keras.checks import check_not_negative


@keras.saving.register_keras_serializable(package="awd_keras")
class ActivationRegularizer(keras.regularizers.Regularizer):
    """Activation regularization: `alpha * mean(h ** 2)`, for a layer's `activity_regularizer`.

    The mean is over all elements, in float32. Keras divides the result of an activity regularizer by the batch size. So
    this one returns the sum over the batch, and the penalty in the loss is the one above for any batch size. Keras
    applies an activity regularizer to every output of a layer, also to the final states of `return_state=True`.

    Source: section 4.6, "AR and TAR"; the paper sets it on the last layer's dropped output.

    Args:
        alpha: float, not negative.

    Call arguments:
        x: floats of shape (batch, ...).

    Raises:
        ValueError: if `alpha` is negative or not a number; when called, if `x` has no batch axis.

    Example:

    >>> import keras, numpy as np
    >>> from awd_keras.regularizers import ActivationRegularizer
    >>> layer = keras.layers.Activation(
    ...     "linear", activity_regularizer=ActivationRegularizer(2.0)
    ... )
    >>> _ = layer(3.0 * np.ones((4, 5, 6), "float32"))
    >>> float(layer.losses[0])
    18.0
    """

    def __init__(self, alpha: float = 2.0):
        check_not_negative("alpha", alpha)
        self.alpha = alpha

    def __call__(self, x: Any) -> Any:
        if len(x.shape) == 0:
            raise ValueError("Argument `x` must have the shape (batch, ...). Received: shape=()")
        x = ops.cast(x, "float32")
        # The sum over the batch, because Keras divides by the batch size. An empty batch costs nothing.
        elements_per_sequence = ops.cast(math.prod(ops.shape(x)[1:]), "float32")
        return self.alpha * ops.sum(ops.square(x)) / ops.maximum(elements_per_sequence, 1.0)

    def get_config(self) -> dict:
        return {"alpha": self.alpha}


@keras.saving.register_keras_serializable(package="awd_keras")
class TemporalActivationRegularizer(keras.regularizers.Regularizer):
    """Temporal activation regularization: `beta * mean((h[t+1] - h[t]) ** 2)`, for `activity_regularizer`.

    The mean is over all elements, in float32, and 0 for a single time step. As with `ActivationRegularizer`, the
    penalty in the loss is the one above for any batch size.

    Source: section 4.6, "AR and TAR"; the paper sets it on the last layer's raw output.

    Args:
        beta: float, not negative.

    Call arguments:
        x: floats of shape (batch, time, features). The penalty of a tensor without a time axis, such as the final
            states of `return_state=True`, is 0.

    Raises:
        ValueError: if `beta` is negative or not a number.

    Example:

    >>> import keras, numpy as np
    >>> from awd_keras.regularizers import TemporalActivationRegularizer
    >>> layer = keras.layers.Activation(
    ...     "linear", activity_regularizer=TemporalActivationRegularizer(1.0)
    ... )
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
        # The sum over the batch, because Keras divides by the batch size. A single time step has no differences.
        jumps_per_sequence = ops.cast(math.prod(ops.shape(jumps)[1:]), "float32")
        return self.beta * ops.sum(jumps) / ops.maximum(jumps_per_sequence, 1.0)

    def get_config(self) -> dict:
        return {"beta": self.beta}
