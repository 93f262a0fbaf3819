"""What a model makes of a text, window by window."""

import inspect
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from keras import ops

from awd_keras.checks import check_carries_state
from awd_keras.cross_entropy import cross_entropy
from awd_keras.data import BPTTDataset
from awd_keras.inference import begin_text, logits_of, run


def check_tokens(tokens, model):
    """Raises ValueError unless these are token ids of the model's vocabulary; returns them as an array."""
    check_carries_state(model)
    tokens = np.asarray(tokens)
    if tokens.ndim != 1 or not np.issubdtype(tokens.dtype, np.integer):
        raise ValueError(
            "Argument `tokens` must be a 1-D array of integer token ids. "
            f"Received: an array of shape {tokens.shape} and dtype {tokens.dtype}"
        )
    vocabulary_size = getattr(model, "vocabulary_size", None)
    if vocabulary_size is not None and tokens.size:
        low, high = int(tokens.min()), int(tokens.max())
        if low < 0 or high >= vocabulary_size:
            raise ValueError(
                f"Argument `tokens` must hold ids in [0, {vocabulary_size}), the model's "
                f"vocabulary. Received: ids from {low} to {high}"
            )
    return tokens


def read_nats(model, dataset):
    """The cross-entropy in nats of each word of a `BPTTDataset`, read from a zero state, float32 (batch, time)."""
    begin_text(model)
    windows = [run(model, _nats, *dataset[index]) for index in range(len(dataset))]
    return np.concatenate([ops.convert_to_numpy(nats) for nats in windows], axis=1)


def _nats(model, ids, words):
    return cross_entropy(words, logits_of(model, ids))


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
        ValueError: if the tokens aren't right for the model; where the first window is read, if it gives no hidden
            states.
    """
    tokens = check_tokens(tokens, model)
    dataset = BPTTDataset(tokens, batch_size=1, bptt=bptt, variable=False)
    return _windows(model, dataset)


def _windows(model, dataset):
    begin_text(model)
    for index in range(len(dataset)):
        ids, words = dataset[index]
        log_p, hidden_states = map(ops.convert_to_numpy, run(model, _log_p_and_hidden_states, ids, words))
        yield Window(words[0], log_p, hidden_states)


def _log_p_and_hidden_states(model, ids, words):
    asked = {}
    if "return_hidden_states" in inspect.signature(model.call).parameters:
        asked["return_hidden_states"] = True
    outputs = model(ids, training=False, **asked)
    if not isinstance(outputs, (list, tuple)) or len(outputs) != 2:
        raise ValueError(
            "Argument `model` must take `return_hidden_states=True`, as AWDLSTM does, or have the two outputs "
            f"[logits, hidden states]. Received: {model}"
        )
    logits, hidden_states = outputs
    log_p = ops.negative(cross_entropy(words, logits))
    hidden_states = ops.cast(hidden_states, "float32")
    return ops.reshape(log_p, (-1,)), ops.reshape(hidden_states, (-1, hidden_states.shape[-1]))
