"""Only the matrix products of a training step: its time if all other work cost nothing."""

import keras
import numpy as np
from keras import ops


def training(shape, steps):
    """Like `ours.training`.

    Each LSTM has six products: inputs by kernel, each state by the recurrent kernel, and two gradients of each. The
    logits have three.
    """
    rows = shape.tokens
    random = np.random.default_rng(0)

    def matrix(*size):
        return ops.convert_to_tensor(random.normal(size=size, scale=0.01).astype("float32"))

    arrays = [
        [
            matrix(rows, inputs),
            matrix(inputs, 4 * units),
            matrix(shape.batch_size, units),
            matrix(units, 4 * units),
            matrix(rows, units),
            matrix(rows, 4 * units),
        ]
        for inputs, units in shape.layers
    ]
    dimension = shape.embedding_dim
    logits = [matrix(rows, dimension), matrix(shape.vocabulary_size, dimension), matrix(rows, shape.vocabulary_size)]

    def step(arrays, logits):
        results = []
        for x, kernel, h, recurrent_kernel, hs, d_z in arrays:
            results.append(ops.matmul(x, kernel))

            def there_and_back(_, h, recurrent_kernel=recurrent_kernel):
                return ops.matmul(ops.matmul(h, recurrent_kernel), ops.transpose(recurrent_kernel))

            results.append(ops.fori_loop(0, shape.bptt, there_and_back, h))
            results.append(ops.matmul(ops.transpose(hs), d_z))
            results.append(ops.matmul(ops.transpose(x), d_z))
            results.append(ops.matmul(d_z, ops.transpose(kernel)))
        outputs, table, d_logits = logits
        results.append(ops.matmul(outputs, ops.transpose(table)))
        results.append(ops.matmul(d_logits, table))
        results.append(ops.matmul(ops.transpose(d_logits), outputs))
        return results

    compiled, wait = _compiled(step)

    def run():
        for _ in range(steps):
            results = compiled(arrays, logits)
        wait(results)

    return run


def _compiled(function):
    """The function as the backend compiles it, and a function that waits for its results."""
    match keras.backend.backend():
        case "jax":
            import jax

            return jax.jit(function), jax.block_until_ready
        case "tensorflow":
            import tensorflow as tf

            return tf.function(function), lambda results: results[-1][0, 0].numpy()
        case "torch":
            import torch

            # In inference mode, no graph is kept.
            return torch.inference_mode()(function), lambda results: results[-1][0, 0].item()
