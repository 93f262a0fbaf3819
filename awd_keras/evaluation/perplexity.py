"""The perplexity of a model on a text, and functions for all scores that read a text window by window."""

import inspect
import math
import time
from collections.abc import Iterator
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from awd_keras import backend
from awd_keras.data import BPTTDataset, Vocabulary
from awd_keras.data.own_tokens import Tokenizer
from awd_keras.inference import begin_text, check_batch_size, check_carries_state, logits_of, run
from awd_keras.losses.token_cross_entropy import cross_entropy


class Score(NamedTuple):
    """How well a model predicts a stream of tokens.

    Attributes:
        loss: mean cross-entropy of the predicted tokens, in nats, without penalties.
        perplexity: `exp(loss)`.
        bits_per_token: `loss / log(2)`.
        tokens: number of predicted tokens that the mean is over.
        seconds: wall-clock time of the scoring, compilation included.
        unknown_tokens: number of predicted tokens that are `<unk>`; None where no vocabulary was given.
    """

    loss: float
    perplexity: float
    bits_per_token: float
    tokens: int
    seconds: float
    unknown_tokens: int | None = None

    @classmethod
    def of(cls, loss: float, tokens: int, seconds: float, unknown_tokens: int | None = None) -> "Score":
        """The score of a mean cross-entropy in nats."""
        return cls(
            loss=loss,
            # Above 709 nats, which only a diverged model has, exp overflows a double.
            perplexity=math.exp(loss) if not loss > 709.0 else math.inf,
            bits_per_token=loss / math.log(2.0),
            tokens=tokens,
            seconds=seconds,
            unknown_tokens=unknown_tokens,
        )


def perplexity(
    model: keras.Model,
    tokens: np.ndarray,
    batch_size: int = 1,
    bptt: int = 70,
    vocabulary: Vocabulary | Tokenizer | None = None,
) -> Score:
    """Perplexity of a language model on a stream of tokens.

    The stream is cut into `batch_size` rows. Each row is read from a zero state, in windows of
    `bptt` tokens between which the state is carried:

    `perplexity = exp(-1/N * sum_t log p(w[t] | w[1], ..., w[t - 1]))`

    over the `N` predicted tokens. AR, TAR and other penalties are left out, every token counts
    the same, and `bptt` changes only speed and memory. The model's weights, optimizer, metrics
    and training state don't change. See section 5 of Merity, Keskar, Socher (2017),
    arXiv 1708.02182; its test perplexities are those of `batch_size=1`.

    Args:
        model: a model from integer ids `(batch, time)` to logits `(batch, time, vocabulary)`, or to two outputs, of
            which the logits are the first.
        tokens: 1-D integer array of token ids.
        batch_size: number of rows, at most the batch size that the model was built for. The
            tokens that do not fill a column of rows are dropped, at most `batch_size` of them.
        bptt: tokens in a window.
        vocabulary: the `Vocabulary` of the model, or None. With it, the score tells how many tokens are `<unk>`.

    Returns:
        A `Score`.

    Raises:
        ValueError: if `tokens` is not 1-D, not of integers, too short for the rows, or holds an
            id outside the model's vocabulary.

    Example:

    >>> import numpy as np
    >>> from awd_keras.evaluation import perplexity
    >>> from awd_keras.models import AWDLSTM
    >>> model = AWDLSTM(vocabulary_size=16, embedding_dim=8, hidden_units=12, num_layers=2)
    >>> model.build((1, None))
    >>> model.set_weights([0 * w for w in model.get_weights()])  # It knows nothing.
    >>> score = perplexity(model, np.arange(101) % 16)
    >>> round(score.perplexity, 3), round(score.bits_per_token, 3), score.tokens
    (16.0, 4.0, 100)
    """
    tokens = check_tokens(tokens, model)
    dataset = BPTTDataset(tokens, batch_size, bptt=bptt, variable=False)
    start = time.perf_counter()
    nats = read_nats(model, dataset)
    seconds = time.perf_counter() - start
    unknown_tokens = count_unknown(vocabulary, tokens, nats.size)
    return Score.of(float(np.mean(nats, dtype="float64")), nats.size, seconds, unknown_tokens)


def count_unknown(vocabulary: Vocabulary | Tokenizer | None, tokens: np.ndarray, predicted: int) -> int | None:
    """How many of a text's first `predicted` targets are `<unk>`; None without a vocabulary."""
    predicted_tokens = np.asarray(tokens)[1 : predicted + 1]
    return None if vocabulary is None else Vocabulary.of(vocabulary).count_unknown(predicted_tokens)


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
    check_batch_size(model, dataset.batch_size)
    begin_text(model)
    length, compiles_each = dataset.bptt, backend.compiles_each_length(backend.jit_compile())
    windows = []
    for index in range(len(dataset)):
        ids, words = dataset[index]
        read = ids.shape[1]
        if compiles_each and index > 0:
            # Padding after the text's end changes nothing before it. With it, the last window needs no other program.
            ids, words = (np.pad(array, ((0, 0), (0, length - read))) for array in (ids, words))
        windows.append((run(model, nats_of_words, ids, words), read))
    return np.concatenate([ops.convert_to_numpy(nats)[:, :read] for nats, read in windows], axis=1)


def nats_of_words(model, ids, words):
    """The cross-entropy in nats of each word after each id, (batch, time)."""
    return cross_entropy(words, logits_of(model, ids))


class Window(NamedTuple):
    """A window of a text, with the model's outputs.

    Attributes:
        words: the ids that were to be predicted, int32 (time,).
        log_p: the log-probability of each word by the model, float32 (time,).
        hidden_states: the hidden states from which they were predicted, float32 (time, hidden).
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
        An iterator of `Window`s.

    Raises:
        ValueError: if the tokens don't fit the model; when the first window is read, if the model gives no hidden
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


class Trial(NamedTuple):
    """One setting of hyperparameters, and its score.

    Attributes:
        settings: dictionary of arguments and their values.
        score: the `Score` with them.
    """

    settings: dict
    score: Score


def best_first(trials: list[Trial]) -> list[Trial]:
    """The trials sorted by loss. Those that diverged come last."""
    return sorted(trials, key=lambda trial: math.inf if math.isnan(trial.score.loss) else trial.score.loss)


def check_values(name, values, check):
    """Raises ValueError unless there are values, each of which passes the check."""
    if len(values) == 0:
        raise ValueError(f"Argument `{name}` must hold at least one value. Received: {name}={values!r}")
    for value in values:
        check(name, value)
