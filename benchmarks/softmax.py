"""The last part of a training step: from hidden states to the loss, and the gradients of the states and the tables."""

import keras
import numpy as np
from keras import ops

from awd_keras.layers import AdaptiveSoftmax, EmbeddingDropout
from awd_keras.losses.token_cross_entropy import DeferredLogits, cross_entropy


def targets(shape):
    """Random words, the k-th with a probability of about 1 / k, as in a text."""
    draws = np.random.default_rng(0).uniform(0, np.log(shape.vocabulary_size), shape.tokens)
    return np.exp(draws).astype("int32") - 1


def hidden_states(shape):
    size = (shape.tokens, shape.embedding_dim)
    return np.random.default_rng(1).normal(size=size, scale=0.1).astype("float32")


def cutoffs(shape):
    """The clusters of the adaptive softmax: the first 5% of the words, the next 20%, and the rest."""
    return [max(shape.vocabulary_size // 20, 1), shape.vocabulary_size // 4]


def plain(shape):
    """Computes all logits, then the cross-entropy.

    Args:
        shape: a `Shape`.

    Returns:
        A function that computes the loss and its gradients, and returns the loss.
    """
    layer = EmbeddingDropout(shape.vocabulary_size, shape.embedding_dim)

    def loss(h, y):
        return ops.mean(cross_entropy(y, layer(h, reverse=True)))

    return _differentiated(layer, loss, shape)


def chunked(shape):
    """Like `plain`, for a few tokens at a time."""
    layer = EmbeddingDropout(shape.vocabulary_size, shape.embedding_dim)

    def loss(h, y):
        total, _ = DeferredLogits(h, layer.embeddings, layer.bias).cross_entropy(y)
        return ops.divide(total, shape.tokens)

    return _differentiated(layer, loss, shape)


def adaptive(shape):
    """Like `plain`, for another model: the adaptive softmax."""
    layer = AdaptiveSoftmax(shape.vocabulary_size, shape.embedding_dim, cutoffs(shape))
    return _differentiated(layer, layer.loss, shape)


def _differentiated(layer, loss, shape):
    layer.build()
    h, y = hidden_states(shape), targets(shape)
    match keras.backend.backend():
        case "jax":
            import jax

            def of_variables(variables, h, y):
                with keras.StatelessScope(state_mapping=list(zip(layer.trainable_variables, variables, strict=True))):
                    return loss(h, y)

            step = jax.jit(jax.value_and_grad(of_variables, argnums=(0, 1)))
            h, y = jax.numpy.asarray(h), jax.numpy.asarray(y)
            variables = [variable.value for variable in layer.trainable_variables]
            return lambda: float(jax.block_until_ready(step(variables, h, y))[0])
        case "tensorflow":
            import tensorflow as tf

            @tf.function
            def step(h, y):
                with tf.GradientTape() as tape:
                    tape.watch(h)
                    value = loss(h, y)
                return value, tape.gradient(value, [h, *(v.value for v in layer.trainable_variables)])

            h, y = tf.constant(h), tf.constant(y)
            return lambda: float(step(h, y)[0])
        case "torch":
            import torch

            h, y = torch.tensor(h, requires_grad=True), torch.tensor(y)

            def step():
                value = loss(h, y)
                torch.autograd.grad(value, [h, *(variable.value for variable in layer.trainable_variables)])
                return value.item()

            return step
