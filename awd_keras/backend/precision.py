"""Sums in float32 for values of 16 bits."""

import keras
from keras import ops


def sum_dtype(*dtypes):
    """The dtype for sums, norms and logarithms of these dtypes: float64 if one of them is, else float32."""
    # Not `keras.backend.result_type`, which makes float64 float32 unless Keras runs on TensorFlow.
    return "float64" if "float64" in map(keras.backend.standardize_dtype, dtypes) else "float32"


def add_bias(x, bias):
    """`x + bias`, in the dtype of x. It is added in float32 at least, so that the bias's gradient is summed in it too.

    In bfloat16, that sum over a window's tokens would stop growing at a few hundred (TensorFlow), or be wrong in the
    second decimal place (JAX).

    Args:
        x: (..., outputs).
        bias: (outputs,), of the same dtype.
    """
    dtype = sum_dtype(x.dtype)
    return ops.cast(ops.add(ops.cast(x, dtype), ops.cast(bias, dtype)), x.dtype)
