"""The one sum over all tokens that isn't a product: the gradient of a bias."""

import keras
from keras import ops


def add_bias(x, bias):
    """`x + bias`, of the dtype of x, and added in float32 at least, so that the bias's gradient is summed in it too.

    In bfloat16, the sum over a window's tokens would stop growing at some hundreds (TensorFlow), or be wrong by
    hundredths (JAX).

    Args:
        x: (..., outputs).
        bias: (outputs,), of the same dtype.
    """
    # Not `keras.backend.result_type`, which makes float64 float32 on JAX.
    if keras.backend.standardize_dtype(x.dtype) in ("float16", "bfloat16"):
        return ops.cast(ops.add(ops.cast(x, "float32"), ops.cast(bias, "float32")), x.dtype)
    return ops.add(x, bias)
