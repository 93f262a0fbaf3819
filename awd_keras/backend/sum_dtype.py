"""The precision that half precision doesn't have."""

import keras


def sum_dtype(*dtypes):
    """What sums, norms and logarithms of these dtypes are computed in: float64 where one of them is, else float32."""
    # Not `keras.backend.result_type`, which makes float64 float32 unless Keras runs on TensorFlow.
    return "float64" if "float64" in map(keras.backend.standardize_dtype, dtypes) else "float32"
