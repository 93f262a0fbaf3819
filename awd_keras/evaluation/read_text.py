"""What a model makes of a text, window by window."""

import inspect
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from keras import ops

from awd_keras import backend
from awd_keras.cross_entropy import cross_entropy
from awd_keras.data import BPTTDataset
from awd_keras.evaluation.check_tokens import check_tokens
from awd_keras.evaluation.scorer import Scorer


class Window(NamedTuple):
    """What a model makes of a window of a text.

    Attributes:
        words: the ids that were to be predicted, int32 (time,).
        log_p: the log-probability that the model gave each, float32 (time,).
        hidden_states: what it was predicted from, float32 (time, hidden).
    """

    words: np.ndarray
    log_p: np.ndarray
    hidden_states: np.ndarray


class _Reader(Scorer):
    """From ids and the words after them, each (1, time), to log-probabilities (time,) and hidden states."""

    def call(self, inputs):
        ids, words = inputs
        logits, hidden_states = _outputs(self.scored, ids)
        log_p = ops.negative(cross_entropy(words, ops.cast(logits, "float32")))
        hidden_states = ops.cast(hidden_states, "float32")
        return ops.reshape(log_p, (-1,)), ops.reshape(hidden_states, (-1, hidden_states.shape[-1]))


def read_text(model, tokens, bptt: int) -> Iterator[Window]:
    """Reads a text as one stream, from a zero state, `bptt` tokens at a time.

    Args:
        model: an `AWDLSTM` or another model that takes `return_hidden_states=True`, or a model with the outputs
            `[logits, hidden states]`.
        tokens: 1-D integer array of token ids.
        bptt: tokens in a window.

    Returns:
        An iterator over a `Window` each.

    Raises:
        ValueError: if the tokens aren't right for the model, or it gives no hidden states.
    """
    tokens = check_tokens(tokens, model)
    dataset = BPTTDataset(tokens, batch_size=1, bptt=bptt, variable=False)
    outputs = _outputs(model, dataset[0][0][:, :1])
    if not isinstance(outputs, (list, tuple)) or len(outputs) != 2:
        raise ValueError(
            "Argument `model` must take `return_hidden_states=True`, as AWDLSTM does, or have the two outputs "
            f"[logits, hidden states]. Received: {model}"
        )
    return _windows(model, dataset)


def _windows(model, dataset):
    reader = _Reader(model)
    reader.compile(jit_compile=backend.jit_compile())
    reader.begin_text()
    for index in range(len(dataset)):
        ids, words = dataset[index]
        log_p, hidden_states = reader.predict_on_batch((ids, words))
        yield Window(words[0], np.asarray(log_p), np.asarray(hidden_states))


def _outputs(model, ids):
    asked = {}
    if "return_hidden_states" in inspect.signature(model.call).parameters:
        asked["return_hidden_states"] = True
    return model(ids, training=False, **asked)
