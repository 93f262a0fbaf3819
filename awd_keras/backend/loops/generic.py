"""The parts of a loop over time, without gradients."""

import functools

from keras import ops

from awd_keras.backend.loops.products import product, widened


def loop(step, carry, series, widths, reverse=False):
    """Runs a step for each index of the first axis, as `jax.lax.scan` does.

    Args:
        step: function of the carry and of one element of each series. It returns two tuples: new carry and outputs.
        carry: tuple of tensors.
        series: tuple of tensors (time, batch, size).
        widths: tuple of integers, the widths of the outputs (batch, width), which have the dtype of the series.
        reverse: whether time runs from the last step to the first. The output of step t stays at index t.

    Returns:
        The last carry, and the outputs, tuple of tensors (time, batch, width).
    """
    time = series[0].shape[0]
    outputs = [None] * time
    for t in reversed(range(time)) if reverse else range(time):
        carry, outputs[t] = step(carry, tuple(each[t] for each in series))
    return carry, tuple(ops.stack(parts) for parts in zip(*outputs, strict=True))


def by_hand(forward, backward):
    """A function whose gradient is written by hand.

    Args:
        forward: function of tensors. It returns two tuples: the results, and what else the gradient needs.
        backward: function of the tuple of tensors, the second tuple of `forward`, and the gradient of each result. It
            returns a tuple, the gradient of each tensor.

    Returns:
        A function of tensors that returns the results.
    """
    return lambda *tensors: forward(*tensors)[0]


def sigmoid(x):
    """The activation of the gates."""
    return ops.sigmoid(x)


def tanh(x):
    """The activation of the content."""
    return ops.tanh(x)


def products_in_steps(series, *kernels):
    """For each kernel the function that a loop's steps multiply by it; to be made once, before the loop.

    Args:
        series: (time, batch, size), what the loop goes over.
        *kernels: (inputs, outputs) each.

    Returns:
        List of functions of rows (batch, inputs) that give `rows @ kernel`.
    """
    return [functools.partial(product, kernel=widened(kernel)) for kernel in kernels]


def transposed_products_in_steps(series, *kernels):
    """As `products_in_steps`, with functions of rows (batch, outputs) that give `rows @ kernel.T`."""
    return products_in_steps(series, *map(ops.transpose, kernels))
