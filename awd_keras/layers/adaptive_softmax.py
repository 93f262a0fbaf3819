"""A softmax over clusters of words, for large vocabularies, which shares its tables with an embedding."""

import itertools
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from awd_keras import backend
from awd_keras.backend import keras_private
from awd_keras.checks import check_integers, check_positive_integer, check_rate, check_seed, check_shape
from awd_keras.layers.call_effects import Rematerialized
from awd_keras.layers.embedding_dropout import Reversible
from awd_keras.layers.initializers import reseeded

# How many tokens of a cluster (except the first) are computed at a time. If programs have fixed shapes, as on JAX, an
# incomplete part costs as much as a full one; but products of fewer rows are slow.
ROWS = 128


@keras.saving.register_keras_serializable(package="awd_keras")
class AdaptiveSoftmax(Rematerialized, Reversible):
    """Adaptive softmax with tied tables: an embedding that, called in reverse, gives log-probabilities.

    The ids must be sorted by falling frequency of the words, as those of `Vocabulary.from_words` are. The words are
    divided into clusters that begin at 0 and at each of the `cutoffs`. Cluster `i` has a table `T[i]` of embeddings of
    the size `output_dim // div_value**i`, and a projection `P[i]` from `output_dim` to that size:

        embedding(w) = T[i][w] @ transpose(P[i])
        p(w | h) = p(i | h) * softmax(h @ P[i] @ transpose(T[i]) + b[i])[w]

    The first cluster has no projection. Its softmax is over its words and the other clusters, each of which has a row
    in the table `clusters`. `loss` is exact, and computes a cluster's softmax only for the tokens of this cluster. Most
    tokens are in the first one.

    If shapes are fixed, as on JAX, a sort brings the tokens of a cluster together, and a loop takes 128 of them in each
    step until all are done.

    Source: Grave, Joulin, Cissé, Grangier, Jégou (2017), arXiv 1609.04309; the tied tables are those of Baevski and
    Auli (2019), arXiv 1809.10853.

    Args:
        input_dim: positive integer, the size of the vocabulary.
        output_dim: positive integer, the size of an embedding and of a hidden state.
        cutoffs: rising positive integers less than `input_dim`, the first ids of all clusters except the first.
        div_value: positive integer. A cluster's embeddings are smaller than the previous cluster's by this factor.
        embeddings_initializer: initializer of the tables. Defaults to the paper's U(-0.1, 0.1).
        rate: float in [0, 1), the fraction of words that are dropped from the embeddings, as by `EmbeddingDropout`.
        seed: integer or None, the seed of the dropped words.
        **kwargs: `name`, `dtype` and the other arguments of every Keras layer.

    Call arguments:
        inputs: integer ids of any shape (...,), or with `reverse=True` floats of shape (..., output_dim). On TensorFlow
            they may be ragged.
        reverse: boolean, whether to give log-probabilities (..., input_dim), float32 at least, instead of embeddings
            (..., output_dim).
        training: boolean, whether to drop words.

    Raises:
        ValueError: if a size isn't a positive integer, the cutoffs aren't rising, or an embedding would have no size;
            when called, if the inputs aren't of the right kind and shape.

    Example:

    >>> import numpy as np
    >>> from awd_keras.layers import AdaptiveSoftmax
    >>> layer = AdaptiveSoftmax(input_dim=1000, output_dim=16, cutoffs=[50, 200])
    >>> h = layer(np.array([[1, 20, 800]]))
    >>> tuple(h.shape), tuple(layer(h, reverse=True).shape)
    ((1, 3, 16), (1, 3, 1000))
    >>> tuple(layer.loss(h, np.array([[2, 900, 7]])).shape)
    ()
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        cutoffs: Sequence[int],
        div_value: int = 4,
        embeddings_initializer: Any = None,
        rate: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ):
        check_rate("rate", rate)
        if seed is not None:
            check_seed(seed)
        check_positive_integer("input_dim", input_dim)
        check_positive_integer("output_dim", output_dim)
        check_positive_integer("div_value", div_value)
        cutoffs = list(cutoffs)
        for cutoff in cutoffs:
            check_positive_integer("cutoffs", cutoff)
        if not cutoffs or any(low >= high for low, high in itertools.pairwise([*cutoffs, input_dim])):
            raise ValueError(
                f"Argument `cutoffs` must hold rising integers less than the {input_dim} words. "
                f"Received: cutoffs={cutoffs}"
            )
        if output_dim // div_value ** len(cutoffs) == 0:
            raise ValueError(
                f"Argument `div_value` must leave the last cluster's embeddings a size. Received: div_value={div_value}"
            )
        super().__init__(**kwargs)
        self.input_dim = input_dim
        self.output_dim = output_dim
        self.cutoffs = cutoffs
        self.div_value = div_value
        self.embeddings_initializer = keras.initializers.get(
            embeddings_initializer or keras.initializers.RandomUniform(-0.1, 0.1)
        )
        self.rate = rate
        self.seed = seed
        if rate > 0:
            self.seed_generator = keras_private.SavedSeedGenerator(seed)
        self._bounds = list(itertools.pairwise([0, *cutoffs, input_dim]))

    def build(self, input_shape: Any = None) -> None:
        def table(name, words, size):
            # Not rounded in half precision, as in `EmbeddingDropout`: that would spoil the gradients of frequent words.
            initializer = reseeded(self.embeddings_initializer, len(self.weights))
            return self.add_weight(name=name, shape=(words, size), initializer=initializer, autocast=False)

        self.tables: list = []
        self.projections: list = []
        self.biases: list = []
        self.clusters = table("clusters", len(self.cutoffs), self.output_dim)
        for index, (low, high) in enumerate(self._bounds):
            size = self.output_dim // self.div_value**index
            self.tables.append(table(f"embeddings_{index}", high - low, size))
            choices = high - low if index else high + len(self.cutoffs)
            self.biases.append(self.add_weight(name=f"bias_{index}", shape=(choices,), initializer="zeros"))
            if index:
                shape = (self.output_dim, size)
                self.projections.append(self.add_weight(name=f"projection_{index}", shape=shape))

    def call(self, inputs: Any, reverse: bool = False, training: bool = False) -> Any:
        return backend.map_flat(self.log_prob if reverse else lambda ids: self._embedded(ids, training), inputs)

    def _embedded(self, inputs, training):
        self._check_ids(inputs)
        ids = ops.cast(inputs, "int32")
        embedded = self._looked_up(0, ids)
        for index, (low, _) in enumerate(self._bounds[1:], start=1):
            inside = ops.expand_dims(ops.greater_equal(ids, low), -1)
            projection = ops.transpose(self._computed(self.projections[index - 1]))
            embedded = ops.where(inside, self._looked_up(index, ids) @ projection, embedded)
        return self._drop_words(ids, embedded) if training else embedded

    def log_prob(self, inputs: Any) -> Any:
        """The log-probabilities of all words.

        Args:
            inputs: floats of shape (..., output_dim).

        Returns:
            Floats of shape (..., input_dim), float32 at least. They are normalized: their softmax are the same
            probabilities.
        """
        rows = self._rows(inputs)
        first = self.cutoffs[0]
        head = self._log_softmax(0, rows)
        parts = [head[:, :first]]
        for index in range(1, len(self._bounds)):
            cluster = head[:, first + index - 1 : first + index]
            parts.append(ops.add(cluster, self._log_softmax(index, self._projected(index, rows))))
        return ops.reshape(ops.concatenate(parts, axis=-1), (*ops.shape(inputs)[:-1], self.input_dim))

    def loss(self, inputs: Any, targets: Any, sample_weight: Any = None) -> Any:
        """The mean of `-log p(target)`, in nats, each times its token's weight.

        Its gradients are computed in the same pass.

        Args:
            inputs: floats of shape (..., output_dim).
            targets: integer ids of shape (...,).
            sample_weight: weights of shape (...,), or None.

        Returns:
            A scalar tensor, of float32 at least.

        Raises:
            ValueError: if there isn't an integer target for each of the inputs.
        """
        check_integers("targets", targets)
        check_shape("targets", targets, tuple(inputs.shape[:-1]))
        rows = self._rows(inputs)
        ids = ops.reshape(ops.cast(targets, "int32"), (-1,))
        weights = ops.ones_like(ids, dtype="float32")
        if sample_weight is not None:
            weights = ops.reshape(ops.convert_to_tensor(sample_weight, dtype="float32"), (-1,))
        total, _ = self.cross_entropy(rows, ids, weights)
        return ops.divide_no_nan(total, ops.cast(ops.size(ids), total.dtype))

    def cross_entropy(self, rows: Any, ids: Any, weights: Any) -> tuple:
        """The cross-entropy of each token, in nats.

        Args:
            rows: floats of shape (tokens, output_dim), of the layer's compute dtype.
            ids: int32 (tokens,).
            weights: float32 (tokens,).

        Returns:
            The sum of the losses times their weights, whose gradients are computed in the same pass; and the losses
            (tokens,), which have no gradients.
        """
        # In the first cluster's softmax, each other cluster counts as one more word after the cluster's own words.
        first = self.cutoffs[0]
        later = sum(ops.cast(ops.greater_equal(ids, cutoff), "int32") for cutoff in self.cutoffs)
        choices = ops.where(ops.equal(later, 0), ids, first - 1 + later)
        total, losses = self._cross_entropy(0, choices, weights, rows)
        for index, (low, high) in enumerate(self._bounds[1:], start=1):
            inside = ops.equal(later, index)
            order = ops.argsort(ops.cast(ops.logical_not(inside), "int32"))
            words = ops.clip(ops.subtract(ops.take(ids, order), low), 0, high - low - 1)
            part, of_part = self._cross_entropy(
                index,
                words,
                ops.take(weights, order),
                ops.take(self._projected(index, rows), order, axis=0),
                ops.sum(ops.cast(inside, "int32")),
            )
            total = ops.add(total, part)
            losses = ops.add(losses, ops.take(of_part, ops.argsort(order)))
        return total, losses

    def _computed(self, variable):
        return ops.convert_to_tensor(variable, dtype=self.compute_dtype)

    def _looked_up(self, index, ids):
        low, high = self._bounds[index]
        embedded = ops.take(self.tables[index], ops.clip(ids - low, 0, high - low - 1), axis=0)
        return ops.cast(embedded, self.compute_dtype)

    def _check_ids(self, inputs):
        check_integers("inputs", inputs)

    def _words_dtype(self):
        return backend.sum_dtype(self.compute_dtype)

    def _rows(self, inputs):
        self._check_states(inputs)
        return ops.reshape(ops.cast(inputs, self.compute_dtype), (-1, self.output_dim))

    def _projected(self, index, rows):
        return backend.product(rows, self._computed(self.projections[index - 1]))

    def _weights(self, index):
        """The rows of a cluster's softmax, one for each of its choices, and their bias."""
        table = self._computed(self.tables[index])
        if index == 0:
            table = ops.concatenate([table, self._computed(self.clusters)])
        return table, self._computed(self.biases[index])

    def _log_softmax(self, index, rows):
        table, bias = self._weights(index)
        logits = backend.affine(rows, ops.transpose(table), bias)
        return ops.log_softmax(ops.cast(logits, backend.sum_dtype(logits.dtype)))

    def _cross_entropy(self, index, ids, weights, rows, count=None):
        table, bias = self._weights(index)
        chunk = backend.rows_at_a_time(table.shape[0])
        return backend.linear_cross_entropy(
            ids, weights, rows, table, bias, min(chunk, ROWS) if index else chunk, count
        )

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "cutoffs": self.cutoffs,
            "div_value": self.div_value,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
            "rate": self.rate,
            "seed": self.seed,
        }
