"""Products and sums over all time steps at once, before or after a loop over time."""

from keras import ops

from awd_keras.backend.of_framework import of_framework
from awd_keras.backend.precision import sum_dtype

_framework = of_framework("awd_keras.backend")

product = _framework.product
widened = _framework.widened


def by_time(sequences, kernel, bias):
    """One product for all time steps, with the time first: (time, batch, outputs)."""
    # As a matrix of one row for each token. With three axes, the kernel's gradient would be one product for each time
    # step, and their sum.
    by_time = ops.transpose(sequences, (1, 0, 2))
    time, batch_size, features = ops.shape(by_time)
    rows = ops.reshape(by_time, (-1, features))
    rows = product(rows, kernel) if bias is None else _framework.affine(rows, kernel, bias)
    return ops.reshape(rows, (time, batch_size, kernel.shape[-1]))


def summed_products(rows, gradients):
    """The gradient (inputs, outputs) of a kernel that rows (time, batch, inputs) are multiplied by in each step."""
    rows, gradients = (ops.reshape(x, (-1, x.shape[-1])) for x in (rows, gradients))
    return product(ops.transpose(rows), gradients)


def summed_over_rows(gradients):
    """The gradient (outputs,) of a bias that is added in each step. Summed in float32 at least, as in half precision
    the sum would stop growing.
    """
    dtype = sum_dtype(gradients.dtype)
    return ops.cast(ops.sum(ops.cast(gradients, dtype), axis=(0, 1)), gradients.dtype)
