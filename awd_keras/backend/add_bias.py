"""The one sum over all tokens that isn't a product: the gradient of a bias."""

from keras import ops

from awd_keras.backend.sum_dtype import sum_dtype


def add_bias(x, bias):
    """`x + bias`, of the dtype of x, and added in float32 at least, so that the bias's gradient is summed in it too.

    In bfloat16, the sum over a window's tokens would stop growing at some hundreds (TensorFlow), or be wrong by
    hundredths (JAX).

    Args:
        x: (..., outputs).
        bias: (outputs,), of the same dtype.
    """
    dtype = sum_dtype(x.dtype)
    return ops.cast(ops.add(ops.cast(x, dtype), ops.cast(bias, dtype)), x.dtype)
