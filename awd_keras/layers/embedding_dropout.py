"""An embedding that drops whole words; called in reverse, it gives tied logits."""

from typing import Any

import keras
import numpy as np
from keras import ops

from awd_keras import backend
from awd_keras.backend import devices, keras_private
from awd_keras.checks import (
    check_boolean,
    check_float_dtype,
    check_floats,
    check_positive,
    check_positive_integer,
    check_rate,
    check_seed,
    check_shape,
)
from awd_keras.layers.call_effects import Rematerialized, load_seed_state, next_seed


class Reversible(keras.layers.Layer):
    """A layer from ids (...,) to embeddings (..., output_dim); with `reverse=True`, from these to (..., input_dim).

    A subclass has the attributes `input_dim` (the number of words), `output_dim`, `rate` (at which words are dropped)
    and, if the rate isn't 0, `seed_generator`. It has the methods `_check_ids(inputs)` and `_words_dtype()`, which
    returns the dtype of the result in reverse. Put this class before one of Keras's layers in the list of bases.
    """

    def _check_ids(self, inputs):
        raise NotImplementedError

    def _words_dtype(self):
        raise NotImplementedError

    def _check_states(self, inputs):
        check_floats("inputs", inputs)
        check_shape("inputs", inputs, (*inputs.shape[:-1], self.output_dim))

    def _drop_words(self, ids, embedded):
        """Drops words in the embeddings. The result is as if rows of the table were dropped, without copying it."""
        if self.rate == 0:
            return embedded
        keep = ops.expand_dims(devices.own_rows(self._keep, [ids], [], [next_seed(self)]), axis=-1)
        return ops.where(keep, embedded / (1 - self.rate), 0)

    def _keep(self, ids, seed):
        return ops.take(backend.keep_mask((self.input_dim,), self.rate, seed), ids, axis=0)

    def compute_output_shape(self, input_shape: Any, reverse: bool = False) -> tuple:
        return (*input_shape[:-1], self.input_dim) if reverse else (*input_shape, self.output_dim)

    def compute_output_spec(self, inputs: Any, reverse: bool = False, training: bool = False) -> keras.KerasTensor:
        # For ragged inputs, of the flat values, as in a call.
        flat = keras.KerasTensor(inputs.shape, dtype=inputs.dtype)
        (self._check_states if reverse else self._check_ids)(flat)
        return keras.KerasTensor(
            self.compute_output_shape(inputs.shape, reverse=reverse),
            dtype=self._words_dtype() if reverse else self.compute_dtype,
            ragged=getattr(inputs, "ragged", False),
        )


@keras.saving.register_keras_serializable(package="awd_keras")
class EmbeddingDropout(Rematerialized, Reversible, keras.layers.ReversibleEmbedding):
    """Embedding with dropout on rows of the table; called in reverse, the tied output projection.

    In training, every row (word) of the table is dropped with probability `rate`, drawn once a call, and the kept rows
    are scaled by `1 / (1 - rate)`: a dropped word is zero wherever it occurs in the batch. Called with `reverse=True`,
    the layer gives `logits = h @ transpose(embeddings) + bias` with the whole table, never dropped.

    All else is as in `keras.layers.ReversibleEmbedding`: `quantize`, `enable_lora`, and files of weights. A file may be
    that of a Keras embedding: it has no bias, so the layer's bias isn't changed.

    Source: section 4.3, "Embedding dropout", and section 4.4, "Weight tying".

    Args:
        input_dim: positive integer, the size of the vocabulary.
        output_dim: positive integer, the size of an embedding.
        rate: float in [0, 1), the fraction of words to drop.
        embeddings_initializer: initializer of the table. Defaults to the paper's U(-0.1, 0.1).
        embeddings_regularizer: regularizer of the table, or None.
        embeddings_constraint: constraint of the table, or None.
        mask_zero: boolean, whether id 0 is padding that the layers after this one must leave out.
        use_bias: boolean, whether the reverse call adds a bias. Use False if the layer is never called in reverse, or
            Keras warns of a variable without a gradient.
        seed: integer or None, the seed of the masks.
        tie_weights: boolean, whether logits are made with the table. If False, they have their own matrix,
            `reverse_embeddings`, of shape (output_dim, input_dim).
        reverse_dtype: the float dtype in which logits are computed, or None for the layer's dtype.
        logit_soft_cap: positive float or None; with it, logits are `logit_soft_cap * tanh(logits / logit_soft_cap)`.
        **kwargs: `weights`, the table to begin with, an array of shape (input_dim, output_dim); `lora_rank`,
            `lora_alpha` and `quantization_config` of `keras.layers.Embedding`; `name`, `dtype`, `activity_regularizer`
            and the other arguments of every Keras layer.

    Call arguments:
        inputs: integer ids of any shape (..., ), or with `reverse=True` floats of shape (..., output_dim). On
            TensorFlow they may be ragged.
        reverse: boolean, whether to give logits (..., input_dim) instead of embeddings (..., output_dim).
        training: boolean, whether to drop.

    Raises:
        ValueError: if `rate` isn't in [0, 1), a size isn't a positive integer, or another argument isn't what it must
            be; when called, if the inputs can't be ids, or with `reverse=True` aren't floats of the embeddings' size.

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

    lora_rank: Any  # Keras's
    logit_soft_cap: float | None  # Keras's

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
        *,
        tie_weights: bool = True,
        reverse_dtype: Any = None,
        logit_soft_cap: float | None = None,
        **kwargs: Any,
    ):
        check_positive_integer("input_dim", input_dim)
        check_positive_integer("output_dim", output_dim)
        check_rate("rate", rate)
        if seed is not None:
            check_seed(seed)
        check_boolean("tie_weights", tie_weights)
        if reverse_dtype is not None:
            reverse_dtype = check_float_dtype("reverse_dtype", reverse_dtype)
        if logit_soft_cap is not None:
            check_positive("logit_soft_cap", logit_soft_cap)
        # Keras would set the weights when the bias doesn't exist yet, and it expects a value for it too.
        weights = kwargs.pop("weights", None)
        super().__init__(
            int(input_dim),
            int(output_dim),
            tie_weights=tie_weights,
            embeddings_initializer=embeddings_initializer or keras.initializers.RandomUniform(-0.1, 0.1),
            embeddings_regularizer=embeddings_regularizer,
            embeddings_constraint=embeddings_constraint,
            mask_zero=mask_zero,
            reverse_dtype=reverse_dtype,
            logit_soft_cap=logit_soft_cap,
            **kwargs,
        )
        self.rate = rate
        self.use_bias = use_bias
        self.seed = seed
        self.seed_generator = keras_private.SavedSeedGenerator(seed)
        self.supports_masking = True
        self.bias: keras.Variable | None = None
        if weights is not None:
            self._set_table(weights)

    def _set_table(self, weights):
        # As Keras does, also accept a list of one table.
        table = np.asarray(weights[0] if isinstance(weights, (list, tuple)) and len(weights) == 1 else weights)
        check_shape("weights", table, (self.input_dim, self.output_dim))
        self.build()
        keras_private.table_of(self).assign(table)

    def build(self, input_shape: Any = None) -> None:
        if self.built:
            return
        # Keras's `build` would enable LoRA, after which no variables can be added, and would forget `lora_alpha`.
        rank, self.lora_rank = self.lora_rank, None
        super().build(input_shape)
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.input_dim,), initializer="zeros")
        if rank:
            self.enable_lora(rank, self.lora_alpha)

    def add_weight(self, *args: Any, **kwargs: Any) -> keras.Variable:
        """As in every layer, but in half precision the variable isn't rounded when it is read.

        Otherwise the gradient of a frequent word would be rounded again with each of its tokens.
        """
        return super().add_weight(*args, **{"autocast": False, **kwargs})

    def call(self, inputs, reverse=False, training=False):
        if reverse:
            return backend.map_flat(self._logits, inputs)
        self._check_ids(inputs)
        embedded = backend.map_flat(lambda ids: self._embedded(ids, training), inputs)
        if self.mask_zero:
            # Set the mask here too: `compute_mask` can't always distinguish ids that come as floats from hidden states.
            backend.set_keras_mask(embedded, ops.not_equal(inputs, 0))
        return embedded

    def _check_ids(self, inputs):
        dtype = keras.backend.standardize_dtype(inputs.dtype)
        # In a Sequential model without an Input, Keras casts ids to the layer's dtype. Half precision rounds them.
        if "int" not in dtype and dtype not in ("float32", "float64"):
            raise ValueError(
                'Argument `inputs` must hold integer ids: begin the model with `keras.Input(..., dtype="int32")`. '
                f"Received: dtype={dtype}"
            )

    def quantized_call(self, *args, **kwargs):
        # Keras's method has no dropout and no bias, so it is called from within `call`.
        return self.call(*args, **kwargs)

    def _embedded(self, inputs, training):
        ids = ops.cast(inputs, "int32")
        if self.quantization_mode is None:
            embedded = ops.cast(ops.take(self.embeddings, ids, axis=0), self.compute_dtype)
        else:
            embedded = super().quantized_call(ids)
        return self._drop_words(ids, embedded) if training else embedded

    def _logits(self, inputs):
        self._check_states(inputs)
        dtype = self._words_dtype()
        # As a matrix of one row for each token. With three axes, TensorFlow computes the table's gradient step by step,
        # 2 times slower.
        rows = ops.reshape(ops.cast(inputs, dtype), (-1, self.output_dim))
        bias = None if self.bias is None else ops.convert_to_tensor(self.bias, dtype=dtype)
        if self.quantization_mode is not None:
            logits = ops.cast(self._quantized_logits(rows), dtype)
            logits = logits if bias is None else backend.add_bias(logits, bias)
        else:
            if self.tie_weights:
                kernel = ops.transpose(ops.convert_to_tensor(self.embeddings, dtype=dtype))
            else:
                kernel = ops.convert_to_tensor(self.reverse_embeddings, dtype=dtype)
            logits = backend.product(rows, kernel) if bias is None else backend.affine(rows, kernel, bias)
        if self.logit_soft_cap is not None:
            logits = ops.multiply(ops.tanh(ops.divide(logits, self.logit_soft_cap)), self.logit_soft_cap)
        return ops.reshape(logits, (*ops.shape(inputs)[:-1], self.input_dim))

    def _quantized_logits(self, rows):
        """Keras's quantized logits, without the cap: that must come after the bias."""
        cap, self.logit_soft_cap = self.logit_soft_cap, None
        try:
            return super().quantized_call(rows, reverse=True)
        finally:
            self.logit_soft_cap = cap

    def _words_dtype(self):
        return self.reverse_dtype or self.compute_dtype

    def compute_mask(self, inputs, mask=None):
        if "float" in keras.backend.standardize_dtype(inputs.dtype) and inputs.shape[-1] in (None, self.output_dim):
            return mask  # of a reverse call
        return ops.not_equal(inputs, 0) if self.mask_zero else None

    def quantize(self, mode: str | None = None, type_check: bool = True, config: Any = None) -> None:
        """As `keras.layers.ReversibleEmbedding.quantize`, to `"int8"` or `"int4"`. The bias isn't quantized."""
        super().quantize(mode, type_check=type_check and type(self) is not EmbeddingDropout, config=config)

    @property
    def variable_serialization_spec(self):
        """The names of the variables in the order of a file, for each kind of quantization."""
        bias = ["bias"] if self.use_bias else []
        return {mode: [*names, *bias] for mode, names in super().variable_serialization_spec.items()}

    def load_own_variables(self, store):
        store = load_seed_state(self, store)
        if self.bias is not None and len(store) == len(self._names_in_a_file()) - 1:
            # The file of a Keras embedding, which has no bias.
            store[str(len(store))] = self.bias
        super().load_own_variables(store)

    def _names_in_a_file(self):
        return [name for name in self.variable_serialization_spec[self.quantization_mode] if hasattr(self, name)]

    def get_config(self) -> dict:
        return {**super().get_config(), "rate": self.rate, "use_bias": self.use_bias, "seed": self.seed}
