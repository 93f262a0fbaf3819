"""The functions of a backend written with `keras.ops` alone: right on every framework, tuned for none."""

import contextlib
import math

import keras
from keras import ops
from keras.src import backend as keras_backend

from awd_keras.backend.add_bias import add_bias
from awd_keras.backend.drawn_seed import DrawnSeed
from awd_keras.backend.sum_dtype import sum_dtype


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
    """Runs an LSTM over whole sequences: one product for all input projections, then Keras's loop.

    Args:
        sequences: (batch, time, features).
        initial_state: [h, c], each (batch, units), of the dtype of `sequences`.
        kernel: (features, 4 * units), gates in the order i, f, c, o.
        recurrent_kernel: (units, 4 * units), already masked.
        bias: (4 * units,) or None.
        activation: function of the cell's content and output, `tanh` in the paper.
        recurrent_activation: function of the gates, `sigmoid` in the paper.
        mask: boolean (batch, time) or None; a step that is False leaves the state alone.
        recurrent_mask: (batch, units) or None; multiplies h before each recurrent product.
        go_backwards: whether time runs from the last step to the first (outputs in that order).
        unroll: whether to write the loop out.
        zero_output_for_mask: whether a masked step puts out zeros instead of the output before.

    Returns:
        Outputs (batch, time, units), the final [h, c], and the name of what ran.
    """
    projections = sequences @ kernel
    if bias is not None:
        projections = add_bias(projections, bias)

    def step(projection, state):
        h, c = state
        if recurrent_mask is not None:
            h = ops.multiply(h, recurrent_mask)
        z = projection + h @ recurrent_kernel
        i, f, content, o = ops.split(z, 4, axis=-1)
        c = ops.add(
            ops.multiply(recurrent_activation(f), c),
            ops.multiply(recurrent_activation(i), activation(content)),
        )
        h = ops.multiply(recurrent_activation(o), activation(c))
        return h, [h, c]

    _, outputs, state = keras_backend.rnn(
        step,
        projections,
        initial_state,
        go_backwards=go_backwards,
        mask=mask,
        unroll=unroll,
        input_length=sequences.shape[1],
        zero_output_for_mask=zero_output_for_mask,
        return_all_outputs=True,
    )
    return outputs, list(state), "generic"


def weighted_sums(forget, addends, initial):
    """The sums c[t] = forget[t] * c[t - 1] + addends[t] of all time steps, by an associative scan.

    Two steps (f, a) and (g, b), one after the other, are the step (f * g, g * a + b), which is associative: the text is
    cut in blocks, whose steps are taken in all blocks at once, and then blocks are steps. Nothing is divided by.

    Not `keras.ops.associative_scan`: on a CPU it takes 3 times longer on PyTorch and 5 to 10 times on TensorFlow, which
    writes out 48 levels of it where the length is unknown; and on PyTorch it computes in float32 whatever it is given.

    Args:
        forget: floats (batch, time, units).
        addends: floats (batch, time, units), of the same dtype.
        initial: floats (batch, units), c[-1].

    Returns:
        Floats (batch, time, units).
    """
    length, units = forget.shape[1:]
    batch_size, time = ops.shape(forget)[:2]
    # Any number is right; TensorFlow may know the length only when the graph runs.
    steps = 8 if length is None else math.isqrt(length)
    blocks = -(-time // steps)

    def by_step(x):
        x = ops.pad(x, [[0, 0], [0, blocks * steps - time], [0, 0]])
        return ops.unstack(ops.reshape(x, (batch_size, blocks, steps, units)), steps, axis=2)

    # From each block's beginning: what is left of what was there before, and the sum of what is new.
    forget, addends = by_step(forget), by_step(addends)
    left, sums = [forget[0]], [addends[0]]
    for f, a in zip(forget[1:], addends[1:], strict=True):
        left.append(f * left[-1])
        sums.append(f * sums[-1] + a)

    def step(block, state):
        f, a = block[:, :units], block[:, units:]
        # Not `ops.add`, which on TensorFlow takes an empty batch for a bias.
        return state[0], [f * state[0] + a]

    if length is None:
        _, before, _ = keras_backend.rnn(step, ops.concatenate([left[-1], sums[-1]], axis=-1), [initial])
    else:
        # Not with both in one array, of which JAX could make no gradient: it is linear in the addends alone.
        before = [initial]
        for block in range(blocks - 1):
            before.append(left[-1][:, block] * before[-1] + sums[-1][:, block])
        before = ops.stack(before, axis=1)
    whole = [f * before + a for f, a in zip(left, sums, strict=True)]
    return ops.reshape(ops.stack(whole, axis=2), (batch_size, blocks * steps, units))[:, :time]


def cross_entropy(ids, rows):
    """The cross-entropy of each token, in nats.

    Args:
        ids: int32 (tokens,).
        rows: logits (tokens, vocabulary).
    """
    # Not Keras's, which on JAX makes a vector over the vocabulary of each id: 2 times slower.
    targets = ops.take_along_axis(rows, ops.expand_dims(ids, -1), axis=-1)
    return ops.subtract(ops.logsumexp(rows, axis=-1), ops.squeeze(targets, -1))


def keep_losses(targets, logits, losses):
    """Leaves with the logits, for the metrics, what the loss has computed of them.

    It isn't needed where functions are compiled whole, as XLA computes once what is there twice.

    Args:
        targets: the tensor of ids.
        logits: the tensor of logits.
        losses: the cross-entropy of each token.
    """


def kept_losses(targets, logits):
    """What `keep_losses` was given for these very tensors, without gradients, or None."""
    return


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
    """Has a matrix lie in memory column by column, if that's how the framework's LSTM reads its kernels.

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


def lstm_supports_jit() -> bool:
    """Whether XLA can compile what `lstm` runs."""
    return True


def map_flat(function, tensor):
    """The function of a tensor; where it is ragged, of the values alone, which are then a ragged tensor again."""
    return function(tensor)


def keep_mask(shape, rate, seed):
    """Draws a boolean mask that is False with probability `rate`.

    Args:
        shape: tuple of integers or scalar tensors.
        rate: float in [0, 1).
        seed: tensor of two integers, as a `keras.random.SeedGenerator` gives it.
    """
    return ops.greater_equal(keras.random.uniform(shape, seed=DrawnSeed(seed)), rate)


def locked_dropout(inputs, rate, seed):
    """Keras's dropout, with one mask for all time steps.

    Args:
        inputs: floats (batch, time, features).
        rate: float in (0, 1).
        seed: tensor of two integers, as a `keras.random.SeedGenerator` gives it.
    """
    return keras.random.dropout(inputs, rate, noise_shape=(None, 1, None), seed=DrawnSeed(seed))


def untransformed():
    """A context for draws and the like, which aren't part of what a transform of functions (`jvp`, `vmap`) works on."""
    return contextlib.nullcontext()


def can_assign(values):
    """Whether a variable can take values that have been computed here, as it can't inside of a transform of functions.

    Args:
        values: list of tensors.
    """
    return True


def rematerialize(function, tensors):
    """Calls a function whose intermediate results aren't kept for the gradients, but computed again.

    Args:
        function: of float tensors; gives what is differentiated, and something else, which isn't.
        tensors: list of the tensors, with regard to which gradients may be asked for.

    Returns:
        What the function gives.
    """
    return keras.remat(function)(*tensors)


def check_first_run(name):
    """Refuses a call that draws masks or leaves a state, and is made again for the gradients of another one.

    Args:
        name: the layer's name.

    Raises:
        RuntimeError: if that is so.
    """


def drop(values, keep, rate):
    """The values where `keep` is True, divided by `1 - rate`, and 0 elsewhere.

    Args:
        values: floats.
        keep: booleans of their shape.
        rate: float in [0, 1).
    """
    # A product, as each of two branches of a `where` would be another pass over the weights, and over gradients.
    return ops.multiply(values, ops.multiply(ops.cast(keep, values.dtype), 1 / (1 - rate)))


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


def jit_compile():
    """The value of `jit_compile` that suits windows of many lengths."""
    return "auto"


def compiles_each_length(jit_compile):
    """Whether every length of window costs a compilation, if models are compiled with this `jit_compile`."""
    return False
