"""TensorFlow."""

import tensorflow as tf
from keras.src import activations
from keras.src import backend as keras_backend

from awd_keras.backend import generic


def lstm(
    sequences,
    initial_state,
    kernel,
    recurrent_kernel,
    bias,
    *,
    activation,
    recurrent_activation,
    mask=None,
    recurrent_mask=None,
    go_backwards=False,
    unroll=False,
    zero_output_for_mask=False,
):
    """As `generic.lstm`; cuDNN on a GPU."""
    if (
        not lstm_supports_jit()
        and activation is activations.tanh
        and recurrent_activation is activations.sigmoid
        and mask is None
        and recurrent_mask is None
        and bias is not None
        and not unroll
    ):
        _, outputs, state = keras_backend.lstm(
            tf.reverse(sequences, axis=[1]) if go_backwards else sequences,
            *initial_state,
            None,
            kernel,
            recurrent_kernel,
            bias,
            activation,
            recurrent_activation,
            return_sequences=True,
        )
        return outputs, state, "cudnn"
    return generic.lstm(
        sequences,
        initial_state,
        kernel,
        recurrent_kernel,
        bias,
        activation=activation,
        recurrent_activation=recurrent_activation,
        mask=mask,
        recurrent_mask=recurrent_mask,
        go_backwards=go_backwards,
        unroll=unroll,
        zero_output_for_mask=zero_output_for_mask,
    )


def lstm_supports_jit() -> bool:
    """XLA can't compile TensorFlow's cuDNN LSTM, which is what runs on a GPU."""
    return not tf.config.list_physical_devices("GPU")


def keep_mask(shape, rate, seed_generator):
    """As `generic.keep_mask`."""
    seed = tf.cast(seed_generator.next(), "int32")
    return tf.random.stateless_uniform(shape, seed=seed) >= rate


def jit_compile():
    """As `generic.jit_compile`."""
    return "auto"
