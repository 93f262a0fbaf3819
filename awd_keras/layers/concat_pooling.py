"""Pools a sequence to one vector, for a classifier."""

from typing import Any

import keras
from keras import ops

from awd_keras.checks import check_floats, check_shape


@keras.saving.register_keras_serializable(package="awd_keras")
class ConcatPooling(keras.layers.Layer):
    """Pools a sequence to one vector: its last, its maximum and its mean over time, concatenated.

    Only time steps whose mask is True count; without a mask, all do. A sequence in which no time step counts gives
    zeros. The output has the shape (batch, 3 * features).

    A sequence that is too long for memory can be read in parts. `summarize` returns the maximum and the sum so far, and
    the call on the last part takes them as `earlier`. The last vector comes from the last part, in which at least one
    time step must count.

    Source: Howard and Ruder 2018, arXiv 1801.06146, section 3.3, "Concat pooling".

    Args:
        **kwargs: `name`, `dtype` and all other arguments of a Keras layer.

    Call arguments:
        inputs: floats of shape (batch, time, features).
        mask: booleans of shape (batch, time), or None.
        earlier: what `summarize` returned for the earlier parts, or None.

    Raises:
        ValueError: if the inputs aren't floats of three axes, or the mask isn't of shape (batch, time).

    Example:

    >>> import keras, numpy as np
    >>> from awd_keras.layers import ConcatPooling
    >>> x = np.array([[[1.0], [5.0], [3.0], [9.0]]], "float32")
    >>> pooled = ConcatPooling()(x, mask=np.array([[True, True, True, False]]))
    >>> keras.ops.convert_to_numpy(pooled).tolist()
    [[3.0, 5.0, 3.0]]
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def call(self, inputs, mask=None, earlier=None):
        mask = self._whole(inputs, mask)
        largest, total, count = self.summarize(inputs, mask, earlier)
        times = ops.arange(ops.shape(inputs)[1], dtype="int32")
        last = _at(inputs, ops.argmax(ops.where(mask, times, -1), axis=1)[:, None, None])
        mean = ops.divide(total, ops.cast(ops.maximum(count, 1), total.dtype))
        pooled = ops.concatenate([last, ops.cast(largest, inputs.dtype), ops.cast(mean, inputs.dtype)], axis=-1)
        return ops.where(ops.greater(count, 0), pooled, ops.zeros_like(pooled))

    def summarize(self, inputs: Any, mask: Any = None, earlier: list[Any] | None = None) -> list[Any]:
        """Summarizes this part of a sequence and the earlier ones, for the pooling of the last part.

        Args:
            inputs: floats of shape (batch, time, features).
            mask: booleans of shape (batch, time), or None.
            earlier: what this method returned for the earlier parts, or None.

        Returns:
            List of the maxima and the sums, floats of shape (batch, features), float32 or wider, and of the numbers of
            time steps that count, int32 of shape (batch, 1).
        """
        mask = self._whole(inputs, mask)
        each = ops.expand_dims(mask, -1)
        wide = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        seen = ops.where(each, wide, -float("inf"))
        # Not `ops.max`, which on PyTorch refuses a batch without rows.
        largest = _at(seen, ops.argmax(seen, axis=1, keepdims=True))
        total = ops.sum(ops.where(each, wide, 0.0), axis=1)
        count = ops.sum(ops.cast(mask, "int32"), axis=1, keepdims=True)
        if earlier is None:
            return [largest, total, count]
        # Keras casts the arguments of a call to the policy's dtype, which is too narrow for sums.
        before, sums = (ops.cast(part, total.dtype) for part in earlier[:2])
        # Not `ops.add`, which on TensorFlow treats a batch without rows as a bias.
        return [ops.maximum(largest, before), total + sums, count + earlier[2]]

    def _whole(self, inputs, mask):
        check_floats("inputs", inputs)
        if mask is None:
            return ops.ones(ops.shape(inputs)[:2], dtype="bool")
        check_shape("mask", mask, tuple(inputs.shape[:2]))
        return ops.cast(mask, "bool")

    def compute_mask(self, inputs, mask=None):
        """None: the output has no time steps to be masked."""

    def compute_output_shape(self, inputs_shape):
        return (inputs_shape[0], None if inputs_shape[2] is None else 3 * inputs_shape[2])

    def get_config(self) -> dict:
        return super().get_config()  # Without this method, Keras refuses a `dtype` that isn't a string.


def _at(values, places):
    """The values (batch, features) at places (batch, 1, features or 1) in time."""
    return ops.squeeze(ops.take_along_axis(values, places, axis=1), axis=1)
