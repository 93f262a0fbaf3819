"""The functions of a backend, written only with `keras.ops`: right on every framework, tuned for none."""

import contextlib

import keras
from keras import ops

from awd_keras.backend.keras_private import DrawnSeed
from awd_keras.backend.precision import add_bias, sum_dtype

# The most logits in memory at a time: 128 MiB in float32, or the logits of 256 tokens if those are more. With smaller
# parts, adding to the table's gradient so often takes longer.
_CHUNK = 2**25
_ROWS = 256


def cross_entropy(ids, rows):
    """The cross-entropy of each token, in nats.

    Args:
        ids: int32 (tokens,).
        rows: logits (tokens, vocabulary).
    """
    # Not Keras's cross-entropy, which on JAX makes a one-hot vector of each id and is 2 times slower.
    targets = ops.take_along_axis(rows, ops.expand_dims(ids, -1), axis=-1)
    return ops.subtract(ops.logsumexp(rows, axis=-1), ops.squeeze(targets, -1))


def rows_at_a_time(words):
    """The number of tokens that are computed at a time, for a vocabulary of this size."""
    return max(_CHUNK // words, _ROWS)


def large_vocabulary() -> int:
    """The number of words beyond which `linear_cross_entropy` takes no longer than `cross_entropy` of all logits."""
    return 2**15


def linear_cross_entropy(ids, weights, rows, table, bias, chunk, count=None):
    """The cross-entropy of each token under the logits `rows @ transpose(table) + bias`, never all in memory at once.

    The logits are computed for a few rows at a time. If gradients are needed, those of `sum(weights * losses)` are
    computed in the same pass, so that no logits are kept or computed again. The backward pass only multiplies them by
    the gradient of that sum. The softmax and the sums over the parts are computed in float32 at least.

    Args:
        ids: int32 (tokens,).
        weights: (tokens,), of float32 or float64.
        rows: (tokens, inputs).
        table: (vocabulary, inputs), of the same dtype.
        bias: (vocabulary,), too.
        chunk: positive integer, the most rows that are taken at a time.
        count: int32 scalar tensor: only the first `count` rows are computed, and the losses of the others are zero.
            None for all rows.

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
        cls: a class whose method `parts()` returns all that an object holds: a tuple of tensors, and the rest, which
            must be hashable. Its class method `from_parts(tensors, constants)` makes the object again.
    """


def keep_losses(targets, logits, losses):
    """Attaches the losses to the logits, so that metrics need not compute them again.

    Compiled frameworks don't need it: XLA removes the second computation.

    Args:
        targets: the tensor of ids.
        logits: the tensor of logits.
        losses: the cross-entropy of each token.
    """


def kept_losses(targets, logits):
    """The losses that `keep_losses` attached for these same tensors, without gradients, or None."""
    return


def widened(operand):
    """The operand, cast to a wider dtype if the framework multiplies its own dtype inexactly."""
    return operand


def product(rows, kernel):
    """The product `rows @ kernel` of floats, which has the full precision of their dtype, and so have its gradients.

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
        bias: (outputs,), of the same dtype.
    """
    return add_bias(rows @ kernel, bias)


def keep_by_columns(variable):
    """Stores a matrix in memory column by column, if the framework's LSTM reads its kernels in that order.

    Args:
        variable: `keras.Variable`, whose values and shape stay as they are.
    """


def exporting(variables):
    """A context for an export, in which nothing is kept for gradients, as an exported program has none.

    Args:
        variables: list of the model's `keras.Variable`s.
    """
    return contextlib.nullcontext()


def device_name() -> str:
    """The name of the device that computes: `"cpu"`, or the name of the GPU."""
    return "cpu"


def map_flat(function, tensor):
    """Applies a function to a tensor. Of a ragged tensor, it gets the flat values, and the result is ragged again."""
    return function(tensor)


def mask_bits(rate):
    """How many random bits to draw for an element of a mask: as few as possible, as drawing them is the cost of a mask.

    Returns:
        The number of bits: 8 if the rate is a multiple of 2**-8, as 0.5 is, else 16, with which the rate is right to
        2**-17. And a threshold: an element is kept if its bits, as an unsigned integer, are at least that.
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
    # A product, as `where` would read the weights, and later the gradients, once more for each branch.
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
    """A context for random draws and the like, which transforms of functions (`jvp`, `vmap`) must not transform."""
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
        function: takes float tensors, and returns two results: one that is differentiated, and one that isn't.
        tensors: list of the tensors, for which gradients may be needed.

    Returns:
        The results of the function.
    """
    return keras.remat(function)(*tensors)


def runs_again():
    """Whether this call repeats an earlier one for its gradients: it must draw no new masks and leave no state."""
    return False


def global_norm(gradients):
    """The norm of all gradients together, computed in float32 at least, as squares overflow in 16 bits."""
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
        # With `where`, as a share of 0 times an infinite change would be NaN.
        mean.assign(ops.where(ops.greater(share, 0), ops.add(old, change), old))


def shrink_steps(variables, starts, multipliers):
    """Shortens a step that was made: `w = start + m * (w - start)`, which is exactly w for m = 1 and start for m = 0.

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
    """Whether a model with this `jit_compile` is compiled anew for every length of window."""
    return False


def keep_programs():
    """Stores programs compiled from now on on disk, for later processes, unless the user has turned that off."""
