"""A text classifier on the layers of a language model."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from awd_keras import backend
from awd_keras.checks import check_boolean, check_integers, check_not_quantized, check_positive_integer, check_rate
from awd_keras.layers import ConcatPooling
from awd_keras.models.awd_lstm import AWDLSTM
from awd_keras.models.padded_texts import in_front, window_of
from awd_keras.models.quantization import quantize_again, quantized_policies

# The number of tokens in a window that is read without gradients.
_WINDOW = 70


@keras.saving.register_keras_serializable(package="awd_keras")
class TextClassifier(keras.Model):
    """Text classifier on a language model's layers: token ids (batch, time) to logits (batch, classes).

    Each text is read from a zero state, and `ConcatPooling` makes one vector of it. Then come, for each of
    `hidden_units`, batch normalization, dropout and a dense layer with ReLU, and once more without ReLU for the logits.
    The layers after the pooling are together the layer `head`.

    Texts are padded with -1, before or after, or masked by Keras; padding changes nothing. In a text of more than
    `max_gradient_tokens`, gradients go only through the last ones. The tokens before are read in windows of 70 and
    pooled, so that memory doesn't grow with a text's length. As these are whole windows, up to 69 more have none.

    The layers are copies of the language model's, with its dropout and, if it is built, its weights, but without AR and
    TAR. The language model isn't changed. `fit`, `predict`, class weights, mixed precision and files work as in Keras.

    Source: Howard and Ruder 2018, arXiv 1801.06146, section 3.3.

    Args:
        language_model: `AWDLSTM` with `softmax="full"`, whose layers are copied.
        num_classes: integer of at least 2.
        dropout: float in [0, 1), the rate before each dense layer of the head.
        hidden_units: sequence of positive integers, the sizes of the head's layers before the last.
        max_gradient_tokens: positive integer, the most tokens of a text that gradients go through; None for all.
        backwards: boolean, whether texts are read from their end, for a language model of backward text.
        **kwargs: `name`, and `dtype`, which is that of the language model by default.

    Call arguments: `inputs`, integers (batch, time); `mask`, booleans of that shape, or None; `training`, a boolean.

    Raises:
        ValueError: if an argument isn't as above; when called, if the inputs aren't integers with two axes; in `fit`,
            `evaluate` and `predict`, if an id of an array is outside the vocabulary and isn't -1.

    Example:

    >>> import numpy as np
    >>> from awd_keras.models import AWDLSTM, TextClassifier
    >>> language_model = AWDLSTM(9, embedding_dim=4, hidden_units=8, num_layers=2, seed=1)
    >>> classifier = TextClassifier(language_model, num_classes=3)
    >>> classifier.compile()
    >>> texts = np.array([[1, 2, 3, 4], [5, 6, -1, -1]])
    >>> sorted(classifier.fit(texts, np.array([0, 2]), verbose=0).history)
    ['accuracy', 'loss']
    >>> classifier.predict(texts, verbose=0).shape
    (2, 3)
    """

    def __init__(
        self,
        language_model: AWDLSTM,
        num_classes: int,
        dropout: float = 0.2,
        hidden_units: Sequence[int] = (50,),
        max_gradient_tokens: int | None = 1400,
        backwards: bool = False,
        **kwargs: Any,
    ):
        if not isinstance(language_model, AWDLSTM) or language_model.softmax != "full":
            raise ValueError(
                f"Argument `language_model` must be an AWDLSTM of softmax='full'. Received: {language_model=}"
            )
        check_not_quantized("language_model", language_model, "quantize the classifier instead")
        check_positive_integer("num_classes", num_classes)
        if num_classes < 2:
            raise ValueError(f"Argument `num_classes` must be at least 2. Received: num_classes={num_classes}")
        check_rate("dropout", dropout)
        if isinstance(hidden_units, str) or not isinstance(hidden_units, Sequence):
            raise ValueError(f"Argument `hidden_units` must be a sequence of integers. Received: {hidden_units=!r}")
        for units in hidden_units:
            check_positive_integer("hidden_units", units)
        if max_gradient_tokens is not None:
            check_positive_integer("max_gradient_tokens", max_gradient_tokens)
        check_boolean("backwards", backwards)
        # Without autocasting, which would round ids that come as floats before `call` can refuse them.
        super().__init__(autocast=False, **{"dtype": language_model.dtype_policy, **kwargs})
        self.input_spec = keras.layers.InputSpec(ndim=2)
        self.supports_masking = True
        self.num_classes = num_classes
        self.dropout = dropout
        self.hidden_units = list(hidden_units)
        self.max_gradient_tokens = max_gradient_tokens
        self.backwards = backwards
        self.vocabulary_size = language_model.vocabulary_size
        # As a dictionary, as Keras would track an object; without its optimizer, loss and metrics.
        self._language_model = {**keras.saving.serialize_keras_object(language_model), "compile_config": None}

        # Without the bias, which only a language model's logits need.
        self.embedding = self._copy(language_model.embedding, use_bias=False, tie_weights=True)
        self.input_locked_dropout = self._copy(language_model.input_locked_dropout)
        self.lstms = [
            self._copy(lstm, stateful=False, return_state=True, activity_regularizer=None)
            for lstm in language_model.lstms
        ]
        self.locked_dropouts = [
            self._copy(dropout, activity_regularizer=None) for dropout in language_model.locked_dropouts
        ]
        self.pooling = ConcatPooling(dtype=self.dtype_policy, name="pooling")
        layers: list[keras.Layer] = []
        for units in [*self.hidden_units, num_classes]:
            # PyTorch's momentum: for Keras's of 0.99, a few hundred texts make too few steps.
            layers.append(keras.layers.BatchNormalization(momentum=0.9, dtype=self.dtype_policy))
            layers.append(keras.layers.Dropout(dropout, dtype=self.dtype_policy))
            layers.append(keras.layers.Dense(units, activation="relu", dtype=self.dtype_policy))
        layers[-1].activation = keras.activations.linear
        self.head = keras.Sequential(layers, name="head")
        self.build((None, None))
        copied = zip([self.embedding, *self.lstms], [language_model.embedding, *language_model.lstms], strict=True)
        for layer, source in copied:
            # By name, as the other embedding has a bias, too. In a model that isn't built, it may be built alone.
            weights = {weight.name: weight for weight in source.weights}
            for variable in layer.weights if source.built else []:
                variable.assign(ops.copy(weights[variable.name]))

    def _copy(self, layer, **changes):
        return type(layer).from_config({**layer.get_config(), **changes, "dtype": self.dtype_policy})

    def compile(self, optimizer: Any = "adam", loss: Any = None, metrics: Any = None, **kwargs: Any) -> None:
        """As `keras.Model.compile`, but by default with the cross-entropy of logits and integer labels, and accuracy.

        Args:
            optimizer: as in Keras.
            loss: defaults to `keras.losses.SparseCategoricalCrossentropy(from_logits=True)`.
            metrics: defaults to `["accuracy"]`.
            **kwargs: the other arguments of `keras.Model.compile`.
        """
        super().compile(
            optimizer=optimizer,
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True) if loss is None else loss,
            metrics=["accuracy"] if metrics is None else metrics,
            **kwargs,
        )

    def compile_from_config(self, config):
        """Called by Keras to compile a loaded model."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    @property
    def input_dtype(self):
        """The dtype of the inputs, for `export`."""
        return "int32"

    def export(self, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.export`."""
        with backend.exporting(self.variables):
            return super().export(*args, **kwargs)

    def build(self, input_shape: tuple) -> None:
        if self.built:
            return
        self.embedding.build((None, None))
        shape = (None, None, self.embedding.output_dim)
        self.input_locked_dropout.build(shape)
        for lstm, dropout in zip(self.lstms, self.locked_dropouts, strict=True):
            lstm.build(shape)
            shape = (None, None, lstm.units)
            dropout.build(shape)
        self.pooling.build(shape)
        self.head.build((None, 3 * shape[-1]))

    def call(self, inputs, mask=None, training=False):
        check_integers("inputs", inputs)
        ids, lengths = in_front(ops.cast(inputs, "int32"), mask, self.backwards)
        most, time = self.max_gradient_tokens, ops.shape(ids)[1]
        states, earlier, first = None, None, 0
        if most is not None and not (isinstance(time, int) and time <= most):
            states, earlier, first = self._read_beginning(ids, lengths, most, training)
            time = most if isinstance(time, int) else ops.minimum(time, most)
        ids, kept = window_of(ids, lengths, first, time)
        x, _ = self._read(ids, states, training)
        return self.head(self.pooling(x, mask=kept, earlier=earlier), training=training)

    def _read(self, ids, states, training):
        """The last layer's outputs (batch, time, features), and the states after them, a list for each layer."""
        x = self.input_locked_dropout(self.embedding(ids, training=training), training=training)
        after = []
        for index, (lstm, dropout) in enumerate(zip(self.lstms, self.locked_dropouts, strict=True)):
            x, *state = lstm(x, initial_state=None if states is None else states[index], training=training)
            x = dropout(x, training=training)
            after.append(state)
        return x, after

    def _read_beginning(self, ids, lengths, most, training):
        """Reads each text up to its last `most` tokens, without gradients.

        The beginnings of all texts end in the same window. A shorter one starts in a later window, at a zero state.

        Returns:
            The states, the summary for `ConcatPooling`, and the position (batch, 1) of the next token.
        """
        size = min(_WINDOW, most)
        time = ops.shape(ids)[1]
        windows = (time - most + size - 1) // size
        own = ops.floor_divide(ops.add(ops.maximum(ops.subtract(lengths, most), 0), size - 1), size)

        def read(number, states, earlier):
            own_number = ops.add(ops.subtract(number, windows), own)
            states = [[_where(ops.greater(own_number, 0), part) for part in state] for state in states]
            begun = ops.greater_equal(own_number, 0)
            window, kept = window_of(ids, lengths, ops.multiply(ops.maximum(own_number, 0), size), size)
            x, states = self._read(window, states, training)
            earlier = self.pooling.summarize(x, ops.logical_and(kept, begun), earlier)
            return keras.tree.map_structure(ops.stop_gradient, (states, earlier))

        states, earlier = self._nothing(ops.shape(ids)[0])
        if isinstance(windows, int):
            for number in range(windows):
                states, earlier = read(number, states, earlier)
        else:  # in a graph for texts of any length
            _, states, earlier = ops.while_loop(
                lambda number, *_: ops.less(number, windows),
                lambda number, *before: (number + 1, *read(number, *before)),
                (ops.convert_to_tensor(0, dtype="int32"), states, earlier),
            )
        states = [[_where(ops.greater(own, 0), part) for part in state] for state in states]
        return states, earlier, ops.multiply(own, size)

    def _nothing(self, batch_size):
        states = [lstm.get_initial_state(batch_size) for lstm in self.lstms]
        dtype = keras.backend.result_type(self.compute_dtype, "float32")
        shape = (batch_size, self.lstms[-1].units)
        largest, total = (ops.full(shape, value, dtype) for value in (-float("inf"), 0.0))
        return states, [largest, total, ops.zeros((batch_size, 1), "int32")]

    def compute_mask(self, inputs, mask=None):
        """None: the output has no time steps to be masked."""

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.num_classes)

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        self._check_ids(x)
        return super().fit(x, *args, **kwargs)

    def evaluate(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        self._check_ids(x)
        return super().evaluate(x, *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        self._check_ids(x)
        return super().predict(x, *args, **kwargs)

    def _check_ids(self, x):
        if isinstance(x, np.ndarray) and x.size:  # Checked here, as compiled code can't raise.
            check_integers("x", x)
            for value in (x.min(), x.max()):
                if not -1 <= value < self.vocabulary_size:
                    raise ValueError(
                        f"Argument `x` must hold token ids in [0, {self.vocabulary_size}), the vocabulary, and -1 for "
                        f"padding. Received: {value}"
                    )

    def get_config(self) -> dict:
        names = ("num_classes", "dropout", "hidden_units", "max_gradient_tokens", "backwards")
        own = {name: getattr(self, name) for name in names}
        return {**super().get_config(), "language_model": self._language_model, **own, **quantized_policies(self)}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Called by Keras."""
        arguments = dict(config)
        quantized = arguments.pop("quantized", {})
        language_model = keras.saving.deserialize_keras_object(config["language_model"], custom_objects=custom_objects)
        model = cls(**{**arguments, "language_model": language_model})
        quantize_again(model, quantized)
        return model


def _where(condition, values):
    """The rows for which the condition (batch, 1) holds, and zeros for the others."""
    return ops.where(condition, values, ops.zeros_like(values))
