"""JAX."""

import jax
import jax.numpy as jnp
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
        jax.default_backend() == "gpu"
        and sequences.dtype == jnp.float32  # the only dtype that jax.experimental.rnn is exact for
        and activation is activations.tanh
        and recurrent_activation is activations.sigmoid
        and mask is None
        and recurrent_mask is None
        and bias is not None
        and not unroll
    ):
        # Keras's own flip for go_backwards puts the outputs back in the order of time; its loop doesn't.
        _, outputs, state = keras_backend.lstm(
            jnp.flip(sequences, axis=1) if go_backwards else sequences,
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
    """As `generic.lstm_supports_jit`."""
    return True


def keep_mask(shape, rate, seed_generator):
    """As `generic.keep_mask`, from 16 random bits an element: the rate is right to 2**-17."""
    bits = jax.random.bits(seed_generator.next(), shape, dtype=jnp.uint16)
    return bits >= jnp.uint16(round(rate * 2**16))


def jit_compile():
    """As `generic.jit_compile`."""
    return "auto"
