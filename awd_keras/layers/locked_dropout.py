"""Dropout whose mask doesn't change over time."""

from typing import Any

import keras

from awd_keras import backend
from awd_keras.backend import keras_private
from awd_keras.checks import check_floats, check_rate, check_seed
from awd_keras.layers.call_effects import Rematerialized, load_seed_state, next_seed


@keras.saving.register_keras_serializable(package="awd_keras")
class LockedDropout(Rematerialized, keras.layers.Dropout):
    """Dropout with one mask for each sequence: the same features are dropped in every time step.

    In training, `y[b, t, f] = x[b, t, f] * m[b, f] / (1 - rate)`. Each call draws `m[b, f]` for each sequence of the
    batch and each feature: it is 0 with probability `rate`, else 1. Nothing is dropped at inference.

    Source: section 4.2, "Variational dropout".

    Args:
        rate: float in [0, 1), the fraction of features to drop.
        seed: integer or None, the seed of the masks.
        **kwargs: `name`, `dtype`, `activity_regularizer` and the other arguments of every Keras layer.

    Call arguments:
        inputs: floats of shape (batch, time, features).
        training: boolean, whether to drop.

    Raises:
        ValueError: if `rate` isn't in [0, 1), or the inputs aren't floats or don't have three axes.

    Example:

    >>> import keras, numpy as np
    >>> from awd_keras.layers import LockedDropout
    >>> y = LockedDropout(0.5, seed=1)(np.ones((2, 7, 4), "float32"), training=True)
    >>> y = keras.ops.convert_to_numpy(y)
    >>> bool((y == y[:, :1]).all())
    True
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any):
        check_rate("rate", rate)
        if seed is not None:
            check_seed(seed)
        super().__init__(rate, noise_shape=(None, 1, None), seed=seed, **kwargs)
        if rate > 0:
            keras_private.SavedSeedGenerator.take_the_place_of(self.seed_generator)
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def call(self, inputs, training=False):
        check_floats("inputs", inputs)
        if not training or self.rate == 0:
            return inputs
        return backend.locked_dropout(inputs, self.rate, next_seed(self))

    def compute_output_spec(self, inputs, training=False):
        check_floats("inputs", inputs)
        return super().compute_output_spec(inputs, training=training)

    def load_own_variables(self, store):
        load_seed_state(self, store)

    def get_config(self) -> dict:
        config = super().get_config()
        del config["noise_shape"]
        return config
