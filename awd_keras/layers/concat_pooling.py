"""A sequence as one vector, for a classifier."""

from typing import Any

import keras
from keras import ops

from awd_keras.checks import check_floats, check_shape


@keras.saving.register_keras_serializable(package="awd_keras")
class ConcatPooling(keras.layers.Layer):
    """The last, the largest and the mean of a sequence's vectors, side by side: [last, max, mean].

    All three are of the time steps that the mask has, wherever these are; without a mask, of all. A sequence without
    a time step gives zeros.

    A sequence that is too long for memory can come in parts: `summarize` has the largest and the sum of what has come
    so far, and is given on as `earlier`. The last is always that of the last part, which must have a time step.

    Source: Howard and Ruder 2018, arXiv 1801.06146, section 3.3, "Concat pooling".

    Args:
        **kwargs: `name`, `dtype` and what else every Keras layer takes.

    Call arguments:
        inputs: floats of shape (batch, time, features).
        mask: booleans of shape (batch, time), or None.
        earlier: what `summarize` gave for the parts before, or None.

    Raises:
        ValueError: if the inputs aren't floats of three axes, or the mask isn't of that shape.

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
        """What the pooling of later parts needs of this one and those before.

        Args:
            inputs: floats of shape (batch, time, features).
            mask: booleans of shape (batch, time), or None.
            earlier: what this method gave for the parts before, or None.

        Returns:
            List of the largest values and the sums, each of shape (batch, features), the latter of float32 at least,
            and the number of time steps (batch, 1).
        """
        mask = self._whole(inputs, mask)
        each = ops.expand_dims(mask, -1)
        wide = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        seen = ops.where(each, wide, -float("inf"))
        # Not by `ops.max`, which refuses a batch without rows on PyTorch.
        largest = _at(seen, ops.argmax(seen, axis=1, keepdims=True))
        total = ops.sum(ops.where(each, wide, 0.0), axis=1)
        count = ops.sum(ops.cast(mask, "int32"), axis=1, keepdims=True)
        if earlier is None:
            return [largest, total, count]
        # Keras casts what a call is given to the policy's dtype.
        before, sums = (ops.cast(part, total.dtype) for part in earlier[:2])
        # Not by `ops.add`, which takes a batch without rows for a bias on TensorFlow.
        return [ops.maximum(largest, before), total + sums, count + earlier[2]]

    def _whole(self, inputs, mask):
        check_floats("inputs", inputs)
        if mask is None:
            return ops.ones(ops.shape(inputs)[:2], dtype="bool")
        check_shape("mask", mask, tuple(inputs.shape[:2]))
        return ops.cast(mask, "bool")

    def compute_mask(self, inputs, mask=None):
        """Nothing is left to be masked."""

    def compute_output_shape(self, inputs_shape):
        return (inputs_shape[0], None if inputs_shape[2] is None else 3 * inputs_shape[2])

    def get_config(self) -> dict:
        return super().get_config()  # Or Keras would refuse a `dtype` that is no string.


def _at(values, places):
    """The values (batch, features) at places (batch, 1, features or 1) in time."""
    return ops.squeeze(ops.take_along_axis(values, places, axis=1), axis=1)
