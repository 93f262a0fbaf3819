"""The AWD-LSTM language model."""

from typing import Any

import keras
import numpy as np

from awd_keras import backend
from awd_keras.checks import check_boolean, check_choice, check_integers, check_positive_integer, check_rate, check_seed
from awd_keras.data.window_lengths import few_lengths_multiple
from awd_keras.layers import LockedDropout
from awd_keras.models.parts import CELLS, SOFTMAXES, deferred_logits, own_table, recurrent_layer, word_layers
from awd_keras.models.presets import PRESETS
from awd_keras.models.token_model import TokenModel
from awd_keras.regularizers import ActivationRegularizer, TemporalActivationRegularizer


def _seeds(seed):
    """Seeds for all parts of a model, far apart: on PyTorch, Keras's generators of neighbouring seeds share draws."""
    rng = np.random.default_rng(seed)
    while True:
        yield None if seed is None else int(rng.integers(2**31))


@keras.saving.register_keras_serializable(package="awd_keras")
class AWDLSTM(TokenModel):
    """AWD-LSTM: token ids (batch, time) to logits (batch, time, vocabulary_size) of the next tokens.

    `EmbeddingDropout`, `LockedDropout`, then `num_layers` times `WeightDropLSTM` and `LockedDropout`, the last LSTM of
    the embedding's size, then the embedding in reverse. AR is set on the last dropped output, TAR on the last raw one.
    The LSTMs carry their state from window to window; the model is built for the batch size of the data that it first
    meets, the largest that it then takes. With `stateful=False`, every row of every call begins at a zero state. Called
    with `return_hidden_states=True`, the model gives two outputs: the logits and what they are made of, the last
    layer's output (batch, time, embedding_dim), dropped in training.

    Source: sections 2 to 5. There is one bias vector a layer, as in Keras, where PyTorch has two.

    Args:
        vocabulary_size: positive integer.
        embedding_dim: positive integer, the size of an embedding and of the last LSTM; None for that of `embeddings`,
            or for 400.
        hidden_units: positive integer, the size of the other LSTMs.
        num_layers: positive integer, the number of LSTMs.
        input_dropout: float in [0, 1), locked dropout of the embeddings.
        hidden_dropout: float in [0, 1), locked dropout between LSTMs.
        output_dropout: float in [0, 1), locked dropout of the last output.
        embedding_dropout: float in [0, 1), the fraction of words dropped.
        weight_drop: float in [0, 1), the fraction of recurrent weights dropped.
        alpha: float, the weight of AR.
        beta: float, the weight of TAR.
        seed: integer or None, the seed of weights and masks.
        stateful: boolean, whether the state is carried: True for windows of one text, False for rows that are texts of
            their own.
        cell: `"lstm"` for `WeightDropLSTM`, or what takes its place: `"gru"`, `"qrnn"` (a window of 2 in the first
            layer, and `weight_drop` on all its weights), `"mogrifier"`, or a variant of
            `awd_keras.layers.AblatedLSTM`.
        chunked_cross_entropy: boolean or None, whether `fit` and `evaluate` take the cross-entropy of some tokens at a
            time and never hold all logits, which is exact too. None: where the vocabulary has more than 32,768 words,
            if loss and metrics want no more than the cross-entropy, as the default ones do.
        tie_weights: boolean, whether the logits are made with the embedding's table; False gives them one of their own.
        softmax: `"full"`, or `"adaptive"` for `awd_keras.layers.AdaptiveSoftmax`. Ids must then be in the order of
            falling frequency; after the first twelfth of the words, embeddings have a fourth of the size, and after the
            first quarter a sixteenth.
        embeddings: floats of shape (vocabulary_size, embedding_dim), the table that the embedding begins with, such as
            `awd_keras.data.read_vectors` reads; None for random values. Files of weights have it, the config doesn't.
        **kwargs: `name`, `dtype`.

    Raises:
        ValueError: if a size isn't a positive integer, a rate isn't in [0, 1), there is no such cell or softmax, or
            `embeddings` isn't such a table; when called, if the inputs aren't integers of two axes; when training or
            scoring, if a token id is outside the vocabulary.

    Example:

    >>> import numpy as np
    >>> from awd_keras.data import BPTTDataset
    >>> from awd_keras.models import AWDLSTM
    >>> model = AWDLSTM(9, embedding_dim=4, hidden_units=8, num_layers=2, seed=1)
    >>> model.compile()
    >>> dataset = BPTTDataset(np.arange(200) % 9, batch_size=4, variable=False)
    >>> history = model.fit(dataset, verbose=0)
    >>> sorted(history.history)
    ['loss', 'perplexity']
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_dim: int | None = None,
        hidden_units: int = 1150,
        num_layers: int = 3,
        input_dropout: float = 0.4,
        hidden_dropout: float = 0.25,
        output_dropout: float = 0.4,
        embedding_dropout: float = 0.1,
        weight_drop: float = 0.5,
        alpha: float = 2.0,
        beta: float = 1.0,
        seed: int | None = None,
        cell: str = "lstm",
        chunked_cross_entropy: bool | None = None,
        stateful: bool = True,
        tie_weights: bool = True,
        softmax: str = "full",
        embeddings: Any = None,
        **kwargs: Any,
    ):
        check_positive_integer("vocabulary_size", vocabulary_size)
        check_positive_integer("embedding_dim", 400 if embedding_dim is None else embedding_dim)
        if embeddings is not None:
            embeddings = own_table(embeddings, vocabulary_size, embedding_dim, softmax == "full" or not tie_weights)
            embedding_dim = embeddings.shape[1]
        embedding_dim = 400 if embedding_dim is None else embedding_dim
        check_positive_integer("hidden_units", hidden_units)
        check_positive_integer("num_layers", num_layers)
        check_rate("input_dropout", input_dropout)
        check_rate("hidden_dropout", hidden_dropout)
        check_rate("output_dropout", output_dropout)
        check_rate("embedding_dropout", embedding_dropout)
        check_rate("weight_drop", weight_drop)
        check_choice("cell", cell, CELLS)
        check_choice("softmax", softmax, SOFTMAXES)
        check_boolean("tie_weights", tie_weights)
        if seed is not None:
            check_seed(seed)
        if chunked_cross_entropy is not None:
            check_boolean("chunked_cross_entropy", chunked_cross_entropy)
        check_boolean("stateful", stateful)
        # Without autocasting, which would round ids that come as floats before `call` could refuse them.
        super().__init__(autocast=False, **kwargs)
        self.input_spec = keras.layers.InputSpec(ndim=2)
        self.vocabulary_size = vocabulary_size
        self.embedding_dim = embedding_dim
        self.hidden_units = hidden_units
        self.num_layers = num_layers
        self.input_dropout = input_dropout
        self.hidden_dropout = hidden_dropout
        self.output_dropout = output_dropout
        self.embedding_dropout = embedding_dropout
        self.weight_drop = weight_drop
        self.alpha = alpha
        self.beta = beta
        self.seed = seed
        self.cell = cell
        self.chunked_cross_entropy = chunked_cross_entropy
        self.stateful = stateful
        self.tie_weights = tie_weights
        self.softmax = softmax

        seeds = _seeds(seed)
        self.embedding, decoder = word_layers(
            vocabulary_size, embedding_dim, embedding_dropout, softmax, tie_weights, seeds, self.dtype_policy
        )
        if embeddings is not None:
            with keras.name_scope(self.name):  # or a variable's path would be another one than in other models
                self.embedding.build()
            self.embedding.embeddings.assign(embeddings)
        # Under a second name, Keras would write the embedding to files by the first of the two.
        self.own_decoder = None if decoder is self.embedding else decoder
        self.input_locked_dropout = LockedDropout(
            input_dropout, seed=next(seeds), dtype=self.dtype_policy, name="input_dropout"
        )
        # Whatever their cell: files know the list by this name.
        self.lstms = []
        self.locked_dropouts = []
        for index in range(num_layers):
            last = index == num_layers - 1
            units = embedding_dim if last else hidden_units
            self.lstms.append(
                recurrent_layer(
                    cell,
                    index,
                    units,
                    weight_drop,
                    seeds,
                    activity_regularizer=TemporalActivationRegularizer(beta) if last else None,
                    stateful=stateful,
                    dtype=self.dtype_policy,
                )
            )
            self.locked_dropouts.append(
                LockedDropout(
                    output_dropout if last else hidden_dropout,
                    seed=next(seeds),
                    activity_regularizer=ActivationRegularizer(alpha) if last else None,
                    dtype=self.dtype_policy,
                    name="output_dropout" if last else f"hidden_dropout_{index}",
                )
            )

    @classmethod
    def from_preset(cls, preset: str, vocabulary_size: int, **overrides: Any) -> "AWDLSTM":
        """Builds the model of a published experiment.

        Args:
            preset: a name in `awd_keras.models.PRESETS`, as `"ptb"` or `"tiny"`.
            vocabulary_size: positive integer.
            **overrides: arguments of `AWDLSTM` that differ from the preset's. With `embeddings`, the embedding's size
                is theirs.

        Raises:
            ValueError: if there is no such preset.
        """
        if preset not in PRESETS:
            raise ValueError(f"Argument `preset` must be one of {sorted(PRESETS)}. Received: preset={preset!r}")
        sizes = {} if overrides.get("embeddings") is None else {"embedding_dim": None}
        return cls(vocabulary_size, **{**PRESETS[preset].model, **sizes, **overrides})

    @property
    def input_dtype(self):
        """The dtype of the inputs, which `export` reads."""
        return "int32"

    def build(self, input_shape: tuple) -> None:
        batch_size, time = input_shape[0], input_shape[1]
        self.embedding.build((batch_size, time))
        if self.own_decoder is not None:
            self.own_decoder.build((batch_size, time))
        shape = (batch_size, time, self.embedding_dim)
        self.input_locked_dropout.build(shape)
        for lstm, dropout in zip(self.lstms, self.locked_dropouts, strict=True):
            lstm.build(shape)
            shape = (batch_size, time, lstm.units)
            dropout.build(shape)

    def rematerialized_call(self, layer_call, *args, **kwargs):
        """The call itself: under `keras.RematScope`, each layer is rematerialized by itself, not the whole model."""
        return layer_call

    def call(self, inputs, training=False, return_hidden_states=False):
        check_integers("inputs", inputs)
        x = self.embedding(inputs, training=training)
        x = self.input_locked_dropout(x, training=training)
        for lstm, dropout in zip(self.lstms, self.locked_dropouts, strict=True):
            x = dropout(lstm(x, training=training), training=training)
        if self.defers_logits() and not return_hidden_states and self.embedding.quantization_mode is None:
            return deferred_logits(x, self.decoder())
        logits = self.decoder()(x, reverse=True)
        return [logits, x] if return_hidden_states else logits

    def decoder(self) -> keras.layers.Layer:
        """The layer that, called in reverse, gives the logits: the embedding, if it does for both."""
        return self.embedding if self.own_decoder is None else self.own_decoder

    @property
    def prefers_deferred_logits(self) -> bool:
        """An adaptive softmax is fast where all of it isn't asked for."""
        return self.softmax == "adaptive" or super().prefers_deferred_logits

    def length_multiple(self, bptt: int = 70) -> int:
        """What to give `BPTTDataset` as `length_multiple` for this model, compiled as it is.

        1, windows of any length, as the paper has it, where a length costs nothing. Where each is compiled for, on JAX
        and by XLA, the number that leaves at most five: 7 for 70. A model that isn't compiled is taken for one by
        `compile()`.

        Args:
            bptt: positive integer, the usual window length in tokens.

        Raises:
            ValueError: if `bptt` isn't a positive integer.
        """
        check_positive_integer("bptt", bptt)
        jit_compile = self.jit_compile if self.compiled else backend.jit_compile()
        return few_lengths_multiple(bptt) if backend.compiles_each_length(jit_compile) else 1

    def export(self, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.export`, for inference: what is exported carries its state from call to call.

        Formats that can't are for `awd_keras.models.inference_step`, whose state goes in and out.
        """
        with backend.exporting(self.variables):
            return super().export(*args, **kwargs)

    def reset_states(self) -> None:
        """Zeroes the state that training carries, and the one that evaluation and prediction carry."""
        for lstm in self.lstms:
            lstm.reset_state()

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "embedding_dim": self.embedding_dim,
            "hidden_units": self.hidden_units,
            "num_layers": self.num_layers,
            "input_dropout": self.input_dropout,
            "hidden_dropout": self.hidden_dropout,
            "output_dropout": self.output_dropout,
            "embedding_dropout": self.embedding_dropout,
            "weight_drop": self.weight_drop,
            "alpha": self.alpha,
            "beta": self.beta,
            "seed": self.seed,
            "cell": self.cell,
            "chunked_cross_entropy": self.chunked_cross_entropy,
            "stateful": self.stateful,
            "tie_weights": self.tie_weights,
            "softmax": self.softmax,
        }
