"""Loops over time on TensorFlow: cuDNN on a GPU, and the gradient of weighted sums."""

import tensorflow as tf

from awd_keras.backend import keras_private
from awd_keras.backend.recurrence import generic


def fast_lstm(sequences, state, kernel, recurrent_kernel, bias):
    """Uses cuDNN on a GPU if there are biases, as it needs them."""
    if lstm_supports_jit() or bias is None:
        return None
    h, c = state
    return *keras_private.lstm(sequences, h, c, kernel, recurrent_kernel, bias), "cudnn"


def weighted_sums(forget, addends, initial):
    """Has a hand-written gradient."""
    return generic.differentiable_sums(forget, addends, initial)


def lstm_supports_jit() -> bool:
    """XLA can't compile TensorFlow's cuDNN LSTM, which runs on a GPU."""
    return not tf.config.list_physical_devices("GPU")
