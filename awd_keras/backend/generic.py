"""The functions of a backend written with `keras.ops` alone: right on every framework, tuned for none."""

import contextlib

import keras
from keras import ops

from awd_keras.backend.keras_private import DrawnSeed
from awd_keras.backend.precision import add_bias, sum_dtype

# The most logits that are held at once: 128 MiB in float32, or those of 256 tokens. Smaller parts add to the table's
# gradient so often that it takes longer.
_CHUNK = 2**25
_ROWS = 256


def cross_entropy(ids, rows):
    """The cross-entropy of each token, in nats.

    Args:
        ids: int32 (tokens,).
        rows: logits (tokens, vocabulary).
    """
    # Not Keras's, which on JAX makes a one-hot vector of each id: 2 times slower.
    targets = ops.take_along_axis(rows, ops.expand_dims(ids, -1), axis=-1)
    return ops.subtract(ops.logsumexp(rows, axis=-1), ops.squeeze(targets, -1))


def rows_at_a_time(words):
    """The number of tokens that are computed at a time, for a vocabulary of this size."""
    return max(_CHUNK // words, _ROWS)


def linear_cross_entropy(ids, weights, rows, table, bias, chunk, count=None):
    """The cross-entropy of each token under the logits `rows @ transpose(table) + bias`, never materialized at once.

    They are computed for a few rows at a time. Where gradients are asked for, those of `sum(weights * losses)` are
    computed along with it, so that no logits need be kept or computed again: later they are only multiplied by that
    sum's own gradient. The softmax is taken in float32 at least, and so are the sums
    over the parts.

    Args:
        ids: int32 (tokens,).
        weights: (tokens,), of float32 or float64.
        rows: (tokens, inputs).
        table: (vocabulary, inputs), of the same dtype.
        bias: (vocabulary,), too.
        chunk: positive integer, the most rows that are taken at a time.
        count: int32 scalar tensor, the number of the first rows that count, or None for all of them. The losses of
            others are zero, and cost nothing.

    Returns:
        The scalar `sum(weights * losses)`, and the losses (tokens,), whose gradients are zero.
    """
    dtype = sum_dtype(rows.dtype)
    size = rows.shape[0]
    parts = []
    for start in range(0, max(size, 1), chunk):
        part = slice(start, min(start + chunk, size))
        logits = ops.cast(affine(rows[part], ops.transpose(table), bias), dtype)
        parts.append(cross_entropy(ids[part], logits))
    losses = ops.concatenate(parts)
    if count is not None:
        losses = ops.where(ops.less(ops.arange(size, dtype="int32"), count), losses, 0)
    return ops.sum(ops.multiply(ops.cast(weights, dtype), losses)), ops.stop_gradient(losses)


def register_structure(cls):
    """Registers a class with the framework, so that its objects may be passed to and from transformed functions.

    Args:
        cls: a class whose objects give all that they hold by `parts()`, a tuple of tensors and what else there is, of
            a kind that has a hash; and are made again by the class method `from_parts(tensors, constants)`.
    """


def keep_losses(targets, logits, losses):
    """Attaches the losses to the logits, so that metrics need not compute them again.

    It isn't needed where functions are compiled whole: XLA removes the second computation.

    Args:
        targets: the tensor of ids.
        logits: the tensor of logits.
        losses: the cross-entropy of each token.
    """


def kept_losses(targets, logits):
    """What `keep_losses` was given for these very tensors, without gradients, or None."""
    return


def widened(operand):
    """The operand as products should read it: cast, where the framework's own product of its dtype is inexact."""
    return operand


def product(rows, kernel):
    """The product `rows @ kernel` of floats, right to the last digit of their dtype, as are its gradients.

    Args:
        rows: (rows, inputs).
        kernel: (inputs, outputs), of the same dtype.
    """
    # Not `ops.matmul`, which makes float32 of float64 on PyTorch.
    return rows @ kernel


def affine(rows, kernel, bias):
    """The product `rows @ kernel`, plus the bias.

    Args:
        rows: (rows, inputs).
        kernel: (inputs, outputs), of the same dtype.
        bias: (outputs,), too.
    """
    return add_bias(rows @ kernel, bias)


def keep_by_columns(variable):
    """Stores a matrix in memory column by column, if the framework's LSTM reads its kernels in that order.

    Args:
        variable: `keras.Variable`, whose values and shape stay as they are.
    """


def exporting(variables):
    """A context for an export, in which no gradients are kept: a loaded one knows nothing of them.

    Args:
        variables: list of the model's `keras.Variable`s.
    """
    return contextlib.nullcontext()


def device_name() -> str:
    """What computes: `"cpu"`, or the name of the GPU."""
    return "cpu"


def map_flat(function, tensor):
    """Applies a function to a tensor; to a ragged one, by its flat values, and the result is ragged again."""
    return function(tensor)


def mask_bits(rate):
    """How many random bits an element of a mask needs: as few as possible, as drawing them is the cost of a mask.

    Returns:
        8 where the rate is a multiple of 2**-8, as 0.5 is, else 16, for which it is right to 2**-17; and the threshold:
        an element is kept whose bits, an unsigned integer, reach it.
    """
    bits = 8 if float(rate * 2**8).is_integer() else 16
    return bits, min(round(rate * 2**bits), 2**bits - 1)


def keep_mask(shape, rate, seed):
    """Draws a boolean mask that is False with probability `rate`.

    Args:
        shape: tuple of integers or scalar tensors.
        rate: float in [0, 1).
        seed: tensor of two integers, as a `keras.random.SeedGenerator` gives it.
    """
    return ops.greater_equal(keras.random.uniform(shape, seed=DrawnSeed(seed)), rate)


def drop(values, keep, rate):
    """The values where `keep` is True, divided by `1 - rate`, and 0 elsewhere.

    Args:
        values: floats.
        keep: booleans of their shape.
        rate: float in [0, 1).
    """
    # A product: a `where` would make another pass over the weights, and over gradients, for each branch.
    return ops.multiply(values, ops.multiply(ops.cast(keep, values.dtype), 1 / (1 - rate)))


def locked_dropout(inputs, rate, seed):
    """Keras's dropout, with one mask for all time steps.

    Args:
        inputs: floats (batch, time, features).
        rate: float in (0, 1).
        seed: tensor of two integers, as a `keras.random.SeedGenerator` gives it.
    """
    return keras.random.dropout(inputs, rate, noise_shape=(None, 1, None), seed=DrawnSeed(seed))


def transformed():
    """Whether a transform of functions (`jvp`, `vmap`) is running in which hand-written gradients fail."""
    return False


def untransformed():
    """A context for draws and the like, which transforms of functions (`jvp`, `vmap`) must leave alone."""
    return contextlib.nullcontext()


def can_assign(values):
    """Whether these values may be assigned to a variable; inside a transform of functions they may not.

    Args:
        values: list of tensors.
    """
    return True


def rematerialize(function, tensors):
    """Calls a function and recomputes its intermediate results for the gradients, instead of keeping them.

    Args:
        function: of float tensors; gives what is differentiated, and something else, which isn't.
        tensors: list of the tensors, with regard to which gradients may be asked for.

    Returns:
        What the function gives.
    """
    return keras.remat(function)(*tensors)


def runs_again():
    """Whether this call repeats an earlier one for its gradients: it must draw no new masks and leave no state."""
    return False


def global_norm(gradients):
    """The norm of all gradients taken together, at least in float32, as squares overflow in 16 bits."""
    dtype = sum_dtype(*(g.dtype for g in gradients))
    return ops.sqrt(sum(ops.sum(ops.square(ops.cast(g, dtype))) for g in gradients))


def descend(variables, gradients, learning_rate, scale, decays, finite):
    """Makes a step of gradient descent: `w -= learning_rate * (scale * g + decay * w)`.

    Args:
        variables: list of the `keras.Variable`s w.
        gradients: list of tensors g.
        learning_rate: scalar tensor.
        scale: scalar tensor.
        decays: list of floats, one a variable.
        finite: boolean scalar tensor; where it is False, nothing changes.
    """
    for variable, gradient, decay in zip(variables, gradients, decays, strict=True):
        w = ops.convert_to_tensor(variable)
        rate, factor = (ops.cast(x, w.dtype) for x in (learning_rate, scale))
        step = ops.multiply(rate, ops.add(ops.multiply(factor, gradient), ops.multiply(decay, w)))
        variable.assign(ops.where(finite, ops.subtract(w, step), w))


def average(averages, variables, share):
    """Moves each average towards its variable: `average += share * (w - average)`.

    Args:
        averages: list of `keras.Variable`s, of the variables' dtype or a wider one.
        variables: list of the `keras.Variable`s w.
        share: scalar tensor, float32; where it is 0, nothing changes.
    """
    for mean, variable in zip(averages, variables, strict=True):
        old = ops.convert_to_tensor(mean)
        change = ops.multiply(ops.cast(share, old.dtype), ops.subtract(ops.cast(variable, old.dtype), old))
        # Not the sum alone: a share of 0 of something infinite is NaN.
        mean.assign(ops.where(ops.greater(share, 0), ops.add(old, change), old))


def shrink_steps(variables, starts, multipliers):
    """Leaves of each step that was made a part of it: `w = start + m * (w - start)`, exactly w for 1 and start for 0.

    Args:
        variables: list of the `keras.Variable`s w.
        starts: list of tensors, their values before the step.
        multipliers: list of the scalar tensors m, float32.
    """
    for variable, start, multiplier in zip(variables, starts, multipliers, strict=True):
        w = ops.convert_to_tensor(variable)
        rest = ops.cast(ops.subtract(1.0, multiplier), w.dtype)
        shrunk = ops.subtract(w, ops.multiply(rest, ops.subtract(w, start)))
        variable.assign(ops.where(ops.equal(multiplier, 0), start, shrunk))


def jit_compile():
    """The value of `jit_compile` that suits windows of many lengths."""
    return "auto"


def compiles_each_length(jit_compile):
    """Whether every length of window costs a compilation, if models are compiled with this `jit_compile`."""
    return False


def keep_programs():
    """Keeps programs that are compiled from now on, on disk for later processes, unless the user turned that off."""
