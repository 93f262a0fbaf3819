"""The parts of an AWD-LSTM that depend on its arguments: recurrent layers, and layers for the words and the logits."""

import functools
import math

import keras
import numpy as np

from awd_keras import backend
from awd_keras.checks import check_floats, check_shape
from awd_keras.layers import (
    QRNN,
    AblatedLSTM,
    AdaptiveSoftmax,
    EmbeddingDropout,
    MogrifierLSTM,
    WeightDropGRU,
    WeightDropLSTM,
)
from awd_keras.losses.token_cross_entropy import DeferredLogits

CELLS = (*AblatedLSTM.VARIANTS, "gru", "qrnn", "mogrifier")
SOFTMAXES = ("full", "adaptive")


def recurrent_layer(cell, index, units, weight_drop, seeds, **arguments):
    """Makes one of the recurrent layers.

    Args:
        cell: one of `CELLS`.
        index: the number of the layer, from 0.
        units: the size of the layer.
        weight_drop: the rate at which recurrent weights are dropped. A QRNN has none, and drops weights of its kernel.
        seeds: iterator over seeds.
        **arguments: arguments that all kinds of layer have.
    """
    bound = 1 / math.sqrt(units)
    kernel, recurrent, bias = (
        keras.initializers.RandomUniform(-bound, bound, seed=next(seeds)) for _ in ("kernel", "recurrent", "bias")
    )
    arguments = {
        "kernel_initializer": kernel,
        "bias_initializer": bias,
        "return_sequences": True,
        "seed": next(seeds),
        "name": f"{cell if cell in ('gru', 'qrnn') else 'lstm'}_{index}",
        **arguments,
    }
    if cell == "qrnn":
        return QRNN(units, window=1 if index else 2, kernel_weight_drop=weight_drop, **arguments)
    arguments |= {"weight_drop": weight_drop, "recurrent_initializer": recurrent}
    if cell == "gru":
        return WeightDropGRU(units, **arguments)
    arguments["unit_forget_bias"] = False
    if cell == "mogrifier":
        matrices = keras.initializers.RandomUniform(-bound, bound, seed=next(seeds))
        return MogrifierLSTM(units, mogrifier_initializer=matrices, **arguments)
    new = WeightDropLSTM if cell == "lstm" else functools.partial(AblatedLSTM, variant=cell)
    return new(units, **arguments)


def own_table(embeddings, words, size, one_size):
    """The embeddings that the user has given, as a NumPy array, checked.

    Args:
        embeddings: the array that the user has given.
        words: the number of words.
        size: the size of an embedding, or None for any.
        one_size: whether the embeddings of all words have the same size.

    Raises:
        ValueError: if these aren't finite floats of that shape, or words have embeddings of several sizes.
    """
    table = np.asarray(embeddings)
    if not one_size:
        raise ValueError(
            "Argument `embeddings` must be None with `softmax='adaptive'` and tied weights, where rare words have "
            f"smaller embeddings: pass `tie_weights=False`. Received: shape={table.shape}"
        )
    check_floats("embeddings", table)
    check_shape("embeddings", table, (words, size))
    if not np.isfinite(table).all():
        row = int(np.argmin(np.isfinite(table).all(axis=1)))
        raise ValueError(f"Argument `embeddings` must hold finite values. Received: {table[row]} in row {row}")
    return table


def word_layers(words, size, rate, softmax, tie_weights, seeds, dtype):
    """The layer that embeds words, and the one that, called in reverse, gives logits. If tied, they are the same."""
    arguments = {
        "embeddings_initializer": keras.initializers.RandomUniform(-0.1, 0.1, seed=next(seeds)),
        "seed": next(seeds),
        "rate": rate,
        "dtype": dtype,
        "name": "embedding",
    }
    if softmax == "full":
        embedding = EmbeddingDropout(words, size, tie_weights=tie_weights, **arguments)
        return embedding, embedding
    # A cluster of the frequent words, and two others; only one other if the last one's embeddings would have no size.
    cutoffs = [max(1, words // 12), max(2, words // 4)][: 2 if size >= 16 else 1]
    if tie_weights:
        embedding = AdaptiveSoftmax(words, size, cutoffs, **arguments)
        return embedding, embedding
    embedding = EmbeddingDropout(words, size, use_bias=False, **arguments)
    own = {"embeddings_initializer": keras.initializers.RandomUniform(-0.1, 0.1, seed=next(seeds)), "dtype": dtype}
    return embedding, AdaptiveSoftmax(words, size, cutoffs, name="decoder", **own)


def deferred_logits(hidden_states, decoder):
    """The deferred logits of a model in its own steps, for either kind of softmax."""
    if isinstance(decoder, AdaptiveSoftmax):
        return AdaptiveLogits(hidden_states, decoder)
    tied = decoder.tie_weights
    table = decoder.embeddings if tied else keras.ops.transpose(decoder.reverse_embeddings)
    return DeferredLogits(hidden_states, table, decoder.bias)


class AdaptiveLogits(DeferredLogits):
    """The log-probabilities of an `AdaptiveSoftmax`, which computes a cluster only for the tokens of that cluster.

    Args:
        hidden_states: floats of shape (..., inputs).
        softmax: the layer, whose variables are read when the cross-entropy is computed.
    """

    def __init__(self, hidden_states, softmax):
        self.hidden_states = hidden_states
        self.softmax = softmax
        self._kept_losses = None

    @property
    def words(self):
        return self.softmax.input_dim

    def _cross_entropy(self, ids, weights, rows):
        return self.softmax.cross_entropy(rows, ids, weights)

    def parts(self):
        return (self.hidden_states, self._kept_losses), self.softmax

    @classmethod
    def from_parts(cls, tensors, constants):
        one = cls(tensors[0], constants)
        one._kept_losses = tensors[1]
        return one


backend.register_structure(AdaptiveLogits)
