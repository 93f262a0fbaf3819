"""An embedding that drops whole words, and turns around to give tied logits."""

from typing import Any

import keras
from keras import ops

from awd_keras import backend
from awd_keras.backend import devices
from awd_keras.checks import check_floats, check_positive_integer, check_rate, check_seed, check_shape
from awd_keras.layers.seed_state import load_seed_state, save_seed_state


@keras.saving.register_keras_serializable(package="awd_keras")
class EmbeddingDropout(keras.layers.Layer):
    """Embedding with dropout on rows of the table; called in reverse, the tied output projection.

    In training, every row (word) of the table is dropped with probability `rate`, drawn once a call, and the kept rows
    are scaled by `1 / (1 - rate)`: a dropped word is zero wherever it occurs in the batch. Called with `reverse=True`,
    the layer gives `logits = h @ transpose(embeddings) + bias` with the whole table, never dropped.

    Source: section 4.3, "Embedding dropout", and section 4.4, "Weight tying".

    Args:
        input_dim: positive integer, the size of the vocabulary.
        output_dim: positive integer, the size of an embedding.
        rate: float in [0, 1), the fraction of words to drop.
        embeddings_initializer: initializer of the table. Defaults to the paper's U(-0.1, 0.1).
        embeddings_regularizer: regularizer of the table, or None.
        embeddings_constraint: constraint of the table, or None.
        mask_zero: boolean, whether id 0 is padding that the layers after this one must leave out.
        use_bias: boolean, whether the reverse call adds a bias. Say False where the layer is never called in reverse,
            or Keras warns of a variable without a gradient.
        seed: integer or None, the seed of the masks.
        **kwargs: `name`, `dtype`, `activity_regularizer` and what else every Keras layer takes.

    Call arguments:
        inputs: integer ids of any shape (..., ), or with `reverse=True` floats of shape (..., output_dim).
        reverse: boolean, whether to give logits (..., input_dim) instead of embeddings (..., output_dim).
        training: boolean, whether to drop.

    Raises:
        ValueError: if `rate` isn't in [0, 1), or a size isn't a positive integer; when called, if the inputs can't be
            ids, or with `reverse=True` aren't floats of the embeddings' size.

    Example:

    >>> import numpy as np
    >>> from awd_keras.layers import EmbeddingDropout
    >>> layer = EmbeddingDropout(input_dim=10, output_dim=4, rate=0.1)
    >>> h = layer(np.array([[1, 2, 1]]), training=True)
    >>> tuple(h.shape)
    (1, 3, 4)
    >>> tuple(layer(h, reverse=True).shape)
    (1, 3, 10)
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        rate: float = 0.1,
        embeddings_initializer: Any = None,
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        use_bias: bool = True,
        seed: int | None = None,
        **kwargs: Any,
    ):
        check_positive_integer("input_dim", input_dim)
        check_positive_integer("output_dim", output_dim)
        check_rate("rate", rate)
        if seed is not None:
            check_seed(seed)
        super().__init__(**kwargs)
        self.input_dim = input_dim
        self.output_dim = output_dim
        self.rate = rate
        self.embeddings_initializer = keras.initializers.get(
            embeddings_initializer or keras.initializers.RandomUniform(-0.1, 0.1)
        )
        self.embeddings_regularizer = keras.regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = keras.constraints.get(embeddings_constraint)
        self.mask_zero = mask_zero
        self.use_bias = use_bias
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def build(self, input_shape: Any = None) -> None:
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.input_dim, self.output_dim),
            initializer=self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint,
            # Half precision would round a frequent word's gradient again with each of its tokens.
            autocast=False,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.input_dim,), initializer="zeros")

    def call(self, inputs, reverse=False, training=False):
        if reverse:
            check_floats("inputs", inputs)
            check_shape("inputs", inputs, (*inputs.shape[:-1], self.output_dim))
            # A row a token: of three axes, TensorFlow takes the table's gradient step by step, 2 times slower.
            rows = ops.reshape(ops.cast(inputs, self.compute_dtype), (-1, self.output_dim))
            kernel = ops.transpose(ops.convert_to_tensor(self.embeddings, dtype=self.compute_dtype))
            if self.bias is None:
                logits = backend.product(rows, kernel)
            else:
                logits = backend.affine(rows, kernel, ops.convert_to_tensor(self.bias, dtype=self.compute_dtype))
            return ops.reshape(logits, (*ops.shape(inputs)[:-1], self.input_dim))
        dtype = keras.backend.standardize_dtype(inputs.dtype)
        # Keras hands over ids in the layer's own type where a Sequential model has no Input. Half precision has rounded
        # them by then.
        if "int" not in dtype and dtype not in ("float32", "float64"):
            raise ValueError(
                'Argument `inputs` must hold integer ids: begin the model with `keras.Input(..., dtype="int32")`. '
                f"Received: dtype={dtype}"
            )
        ids = ops.cast(inputs, "int32")
        embedded = ops.cast(ops.take(self.embeddings, ids, axis=0), self.compute_dtype)
        if training and self.rate > 0:
            # Dropping what was looked up is the same as dropping rows of the table, and never copies the table.
            seed = devices.own_seed(self.seed_generator.next())
            keep = ops.expand_dims(devices.own_rows(self._keep, [ids], [], [seed]), axis=-1)
            embedded = ops.where(keep, embedded / (1 - self.rate), 0)
        if self.mask_zero:
            # Here and not in `compute_mask`, which isn't told whether the call was a reverse one.
            backend.set_keras_mask(embedded, ops.not_equal(ids, 0))
        return embedded

    def _keep(self, ids, seed):
        return ops.take(backend.keep_mask((self.input_dim,), self.rate, seed), ids, axis=0)

    def compute_output_spec(self, inputs, reverse=False, training=False):
        shape = (*inputs.shape[:-1], self.input_dim) if reverse else (*inputs.shape, self.output_dim)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def save_own_variables(self, store):
        super().save_own_variables(store)
        save_seed_state(self, store)

    def load_own_variables(self, store):
        super().load_own_variables(load_seed_state(self, store))

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "rate": self.rate,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
            "embeddings_regularizer": keras.regularizers.serialize(self.embeddings_regularizer),
            "embeddings_constraint": keras.constraints.serialize(self.embeddings_constraint),
            "mask_zero": self.mask_zero,
            "use_bias": self.use_bias,
            "seed": self.seed,
        }
