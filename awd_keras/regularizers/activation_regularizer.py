"""AR: large activations cost."""

import keras
from keras import ops

from awd_keras.checks import check_not_negative


@keras.saving.register_keras_serializable(package="awd_keras")
class ActivationRegularizer(keras.regularizers.Regularizer):
    """Activation regularization: `alpha * mean(h ** 2)`, for a layer's `activity_regularizer`.

    The mean is over all elements, in float32. Keras divides what an activity regularizer gives by the batch size; this
    one multiplies by it first, so that the penalty in the loss is the one above whatever the batch size is. As Keras
    applies an activity regularizer to every output of a layer, the final states of `return_state=True` count too.

    Source: section 4.6, "AR and TAR"; the paper sets it on the last layer's dropped output.

    Args:
        alpha: float, not negative.

    Call arguments:
        x: floats of shape (batch, ...).

    Raises:
        ValueError: if `alpha` is negative or not a number.

    Example:

    >>> import keras, numpy as np
    >>> from awd_keras.regularizers import ActivationRegularizer
    >>> layer = keras.layers.Activation("linear", activity_regularizer=ActivationRegularizer(2.0))
    >>> _ = layer(3.0 * np.ones((4, 5, 6), "float32"))
    >>> float(layer.losses[0])
    18.0
    """

    def __init__(self, alpha=2.0):
        check_not_negative("alpha", alpha)
        self.alpha = alpha

    def __call__(self, x):
        batch_size = ops.cast(ops.shape(x)[0], "float32")
        return self.alpha * batch_size * ops.mean(ops.square(ops.cast(x, "float32")))

    def get_config(self):
        return {"alpha": self.alpha}
