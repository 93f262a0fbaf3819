"""Loops on TensorFlow, whose length may be known only when the graph runs."""

import functools

import tensorflow as tf

from awd_keras.backend.tensorflow import product, widened


def loop(step, carry, series, widths, reverse=False):
    time = tf.shape(series[0])[0]
    static_time, batch_size = series[0].shape[:2]
    dtype = series[0].dtype
    inputs = [tf.TensorArray(each.dtype, size=time).unstack(each) for each in series]
    outputs = tuple(tf.TensorArray(dtype, size=time) for _ in widths)

    def body(t, carry, outputs):
        place = time - 1 - t if reverse else t
        carry, values = step(carry, tuple(array.read(place) for array in inputs))
        return t + 1, carry, tuple(array.write(place, value) for array, value in zip(outputs, values, strict=True))

    _, carry, outputs = tf.while_loop(lambda t, *_: t < time, body, (0, tuple(carry), outputs), maximum_iterations=time)
    stacked = (array.stack() for array in outputs)
    shapes = ((static_time, batch_size, width) for width in widths)
    return carry, tuple(tf.ensure_shape(each, shape) for each, shape in zip(stacked, shapes, strict=True))


def by_hand(forward, backward):
    @tf.custom_gradient
    def run(*tensors):
        results, saved = forward(*tensors)
        return results, lambda *upstream: backward(tensors, saved, upstream)

    # As tensors, because a function with a custom gradient takes no variables.
    return lambda *tensors: run(*map(tf.identity, tensors))


def transposed_products_in_steps(series, *kernels):
    """Transposes once. The product would transpose in every time step, and take twice as long."""
    return [functools.partial(product, kernel=tf.transpose(widened(kernel))) for kernel in kernels]
