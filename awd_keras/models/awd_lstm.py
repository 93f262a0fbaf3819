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
    """Seeds for all parts of a model, far apart, as on PyTorch Keras's generators with close seeds draw the same."""
    rng = np.random.default_rng(seed)
    while True:
        yield None if seed is None else int(rng.integers(2**31))


@keras.saving.register_keras_serializable(package="awd_keras")
class AWDLSTM(TokenModel):
    """AWD-LSTM: token ids (batch, time) to logits (batch, time, vocabulary_size) of the next tokens.

    It consists of `EmbeddingDropout`, `LockedDropout`, then `num_layers` times `WeightDropLSTM` and `LockedDropout`,
    and the embedding in reverse. The last LSTM has the embedding's size. AR acts on the last dropped output, TAR on the
    last raw output. The LSTMs carry their state from window to window. The model is built for the batch size of the
    first data, and then takes no larger batches. With `stateful=False`, every row of every call begins at a zero state.
    Called with `return_hidden_states=True`, the model has two outputs: the logits, and the last layer's output (batch,
    time, embedding_dim) from which they are made, with dropout in training.

    Source: sections 2 to 5. Each layer has one bias vector, as in Keras, where PyTorch has two.

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
        stateful: boolean, whether the state is carried: True for windows of one text, False if each row of a batch is
            a text of its own.
        cell: `"lstm"` for `WeightDropLSTM`, or another layer: `"gru"`, `"qrnn"` (with a window of 2 in the first layer,
            and `weight_drop` on all its weights), `"mogrifier"`, or a variant of `awd_keras.layers.AblatedLSTM`.
        chunked_cross_entropy: boolean or None, whether `fit` and `evaluate` compute the exact cross-entropy of a few
            tokens at a time, so that not all logits are in memory. None does so where it takes no longer (PyTorch; JAX
            beyond 8,192 words; TensorFlow beyond 32,768), if loss and metrics need only the cross-entropy.
        tie_weights: boolean, whether the logits are made with the embedding's table. If False, they have their own.
        softmax: `"full"`, or `"adaptive"` for `awd_keras.layers.AdaptiveSoftmax`. Ids must then be sorted by falling
            frequency of the words. After the first twelfth of the words, embeddings have a fourth of the size, and
            after the first quarter a sixteenth.
        embeddings: floats of shape (vocabulary_size, embedding_dim), the initial table of the embedding, such as
            `awd_keras.data.read_vectors` returns; None for random values. It is saved with the weights, not in the
            config.
        **kwargs: `name`, `dtype`.

    Raises:
        ValueError: if a size isn't a positive integer, a rate isn't in [0, 1), there is no such cell or softmax, or
            `embeddings` isn't such a table; when called, if the inputs aren't integers with two axes; when training or
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
        # Without autocasting, which would round ids that come as floats before `call` can refuse them.
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
            with keras.name_scope(self.name):  # otherwise the variable's path would differ from that in other models
                self.embedding.build()
            self.embedding.embeddings.assign(embeddings)
        # None if it is the embedding: with two names, Keras would save it under the first of them.
        self.own_decoder = None if decoder is self.embedding else decoder
        self.input_locked_dropout = LockedDropout(
            input_dropout, seed=next(seeds), dtype=self.dtype_policy, name="input_dropout"
        )
        # The name of the list in files, whatever the cell.
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
        """The call, unchanged: under `keras.RematScope`, each layer is rematerialized, not the model as a whole."""
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
        """The layer that, called in reverse, gives the logits. With tied weights, it is the embedding."""
        return self.embedding if self.own_decoder is None else self.own_decoder

    @property
    def prefers_deferred_logits(self) -> bool:
        """True for an adaptive softmax too; False for a subclass with its own `call`, which may read the logits."""
        return type(self).call is AWDLSTM.call and (self.softmax == "adaptive" or super().prefers_deferred_logits)

    def length_multiple(self, bptt: int = 70) -> int:
        """The `length_multiple` of `BPTTDataset` that suits this model.

        It is 1, for windows of any length as in the paper, if another length costs nothing. If each length is compiled,
        as on JAX and with XLA, it is the number that leaves at most five lengths: 7 for 70. Before `compile`, the
        answer is that for the defaults of `compile()`.

        Args:
            bptt: positive integer, the usual window length in tokens.

        Raises:
            ValueError: if `bptt` isn't a positive integer.
        """
        check_positive_integer("bptt", bptt)
        jit_compile = self.jit_compile if self.compiled else backend.jit_compile()
        return few_lengths_multiple(bptt) if backend.compiles_each_length(jit_compile) else 1

    def export(self, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.export`, for inference. The exported model carries its state from call to call.

        For formats that can't store a state, use `awd_keras.models.inference_step`, which has it as input and output.
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
