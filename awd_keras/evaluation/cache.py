"""The perplexity of a model with a continuous cache, and the search for the cache's hyperparameters."""

import itertools
import time
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from awd_keras.checks import check_boolean, check_not_negative, check_positive_integer, check_rate
from awd_keras.data import Vocabulary
from awd_keras.data.own_tokens import Tokenizer
from awd_keras.evaluation.perplexity import Score, Trial, best_first, check_values, count_unknown, read_text
from awd_keras.inference import run

# A larger one, times a product of states, could leave the range of float32.
_MOST_THETA = 1e30


def cache_perplexity(
    model: keras.Model,
    tokens: np.ndarray,
    window: int = 500,
    interpolation: float = 0.1,
    theta: float = 1.0,
    wait_until_full: bool = False,
    bptt: int = 70,
    vocabulary: Vocabulary | Tokenizer | None = None,
) -> Score:
    """Perplexity of a language model with a continuous cache of the words that it has just read.

    The text is read as one stream, with the state carried. The model's distribution is mixed with one over the words
    that followed the last `window` hidden states `h[i]`, where similar states have the larger weights:

        e[i] = exp(theta * h[t] . h[i])
        p_cache(w) = sum_i e[i] [w[i + 1] = w] / sum_i e[i]
        p(w) = (1 - interpolation) * p_model(w) + interpolation * p_cache(w)

    The logits are made of the hidden states. The two distributions are mixed as soon as the cache has one entry, so
    only the first token of a text has the model's own probability. With `wait_until_full`, the first `window` tokens
    do, as in the code of the AWD-LSTM paper. (By mistake, that code also leaves the first token of each batch unmixed.)

    Nothing is trained: the model's weights, optimizer, metrics and training state don't change. The memory needed grows
    with `window * hidden`, and with the logits of `bptt` tokens.

    Source: Grave, Joulin, Usunier (2016), arXiv 1612.04426, section 3; sections 5 and 6 of Merity, Keskar, Socher
    (2017), arXiv 1708.02182, whose values are 500, 0.1 and 1.0 for Penn Treebank, 3785, 0.1279 and 0.662 for
    WikiText-2. `tune_cache` finds those of another model.

    Args:
        model: an `AWDLSTM`; or a model from integer ids `(batch, time)` to `[logits, hidden states]`, of shapes
            `(batch, time, vocabulary)` and `(batch, time, hidden)`; or one that gives these two when it is called
            with `return_hidden_states=True`.
        tokens: 1-D integer array of token ids.
        window: positive integer, the number of words that the cache holds.
        interpolation: float in [0, 1), the share of the cache.
        theta: float of at least 0. At 0 the cache counts words; the larger theta is, the more it prefers states like
            the current one.
        wait_until_full: boolean, whether to mix only where the cache has `window` entries.
        bptt: number of tokens that are read at a time. It changes only speed and memory.
        vocabulary: as for `perplexity`.

    Returns:
        A `Score`.

    Raises:
        ValueError: if an argument is out of its range, the tokens don't fit the model, or it gives no hidden states.

    Example:

    >>> import numpy as np
    >>> from awd_keras.evaluation import cache_perplexity
    >>> from awd_keras.models import AWDLSTM
    >>> model = AWDLSTM(vocabulary_size=16, embedding_dim=8, hidden_units=12, num_layers=2)
    >>> model.build((1, None))
    >>> model.set_weights([0 * w for w in model.get_weights()])  # It knows nothing.
    >>> score = cache_perplexity(model, np.full(101, 3), window=20, interpolation=0.5)
    >>> round(score.perplexity, 2), score.tokens  # 99 times (1/16 + 1) / 2, after 1/16
    (1.92, 100)
    """
    check_positive_integer("window", window)
    check_rate("interpolation", interpolation)
    _check_theta("theta", theta)
    check_boolean("wait_until_full", wait_until_full)
    start = time.perf_counter()
    window = min(window, len(tokens))  # there are never more entries
    loss, count = cache_loss(model, read_text(model, tokens, bptt), window, interpolation, theta, wait_until_full)
    return Score.of(loss, count, time.perf_counter() - start, count_unknown(vocabulary, tokens, count))


def tune_cache(
    model: keras.Model,
    tokens: np.ndarray,
    windows: Sequence[int] = (100, 500, 2000),
    interpolations: Sequence[float] = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4),
    thetas: Sequence[float] = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0),
    wait_until_full: bool = False,
    bptt: int = 70,
    verbose: int = 0,
    vocabulary: Vocabulary | Tokenizer | None = None,
) -> list[Trial]:
    """Scores a model with every combination of a continuous cache's hyperparameters.

    The model reads the text once. Its hidden states are kept, in memory that grows with `len(tokens) * hidden`. Each
    combination of window and theta then needs a pass over them; more interpolations cost nothing.

    Args:
        model: as for `cache_perplexity`.
        tokens: 1-D integer array of token ids, of the validation set.
        windows: sequence of positive integers.
        interpolations: sequence of floats in [0, 1).
        thetas: sequence of floats of at least 0.
        wait_until_full: as for `cache_perplexity`.
        bptt: as for `cache_perplexity`.
        verbose: 1 shows the progress, 0 doesn't.
        vocabulary: as for `perplexity`.

    Returns:
        A list of `Trial`s, the best first, whose settings are arguments of `cache_perplexity`. The seconds of their
        scores are those of the pass, without the model.

    Raises:
        ValueError: as for `cache_perplexity`, and if a sequence is empty.

    Example:

    >>> import numpy as np
    >>> from awd_keras.evaluation import tune_cache
    >>> from awd_keras.models import AWDLSTM
    >>> model = AWDLSTM(16, embedding_dim=8, hidden_units=12, num_layers=2, seed=1)
    >>> trials = tune_cache(
    ...     model,
    ...     np.full(101, 3),
    ...     windows=[5],
    ...     interpolations=[0.1, 0.5],
    ...     thetas=[0.0, 1.0],
    ... )
    >>> len(trials), trials[0].settings["interpolation"]
    (4, 0.5)
    """
    check_values("windows", windows, check_positive_integer)
    check_values("interpolations", interpolations, check_rate)
    check_values("thetas", thetas, _check_theta)
    check_boolean("wait_until_full", wait_until_full)
    parts = list(read_text(model, tokens, bptt))
    log_p = np.concatenate([part.log_p for part in parts])
    unknown_tokens = count_unknown(vocabulary, tokens, len(log_p))
    progress = keras.utils.Progbar(len(windows) * len(thetas), verbose=verbose, unit_name="pass")
    trials = []
    for window, theta in itertools.product(windows, thetas):
        start = time.perf_counter()
        cache = ContinuousCache(model, min(window, len(tokens)), theta)
        cache_log_p = np.concatenate([cache.log_probabilities(part) for part in parts])
        seconds = time.perf_counter() - start
        for interpolation in interpolations:
            mixed = mix(log_p, cache_log_p, interpolation, window if wait_until_full else 1)
            settings = {"window": window, "interpolation": interpolation, "theta": theta}
            trials.append(Trial(settings, Score.of(-float(np.mean(mixed)), len(mixed), seconds, unknown_tokens)))
        progress.add(1)
    return best_first(trials)


def _check_theta(name, value):
    check_not_negative(name, value)
    if value > _MOST_THETA:
        raise ValueError(f"Argument `{name}` must be at most {_MOST_THETA:g}. Received: {name}={value!r}")


def cache_loss(model, parts, window, interpolation, theta, wait_until_full):
    """The mean cross-entropy with a cache, for the windows that `read_text` yields, and the number of tokens."""
    unmixed = window if wait_until_full else 1
    cache = ContinuousCache(model, window, theta)
    nats, count = 0.0, 0
    for part in parts:
        log_p = mix(part.log_p, cache.log_probabilities(part), interpolation, max(0, unmixed - count))
        nats -= float(np.sum(log_p))
        count += len(log_p)
    return nats / count, count


def mix(log_p, cache_log_p, interpolation, unmixed):
    """Mixes the log-probabilities of model and cache. The first `unmixed` tokens keep those of the model."""
    log_p = log_p.astype("float64")
    with np.errstate(divide="ignore"):  # the logarithm of a share of 0
        shares = np.log1p(-interpolation), np.log(interpolation)
    log_p[unmixed:] = np.logaddexp(shares[0] + log_p[unmixed:], shares[1] + cache_log_p[unmixed:])
    return log_p


class ContinuousCache:
    """The last hidden states and the words that followed them. An entry is a state and its word.

    With `h[i], w[i + 1]` the entries of the last `window` tokens before `t`, the cache gives the word `w`

        p(w) = sum_i exp(theta * h[t] . h[i]) [w[i + 1] = w] / sum_i exp(theta * h[t] . h[i])

    Only the probability of the actual next word is computed, so that no array has the width of the vocabulary. For each
    window of the text, one product (time, window + time) compares its states with all states that any of its tokens can
    see. A mask then limits each token to its own entries.

    Source: section 3 of Grave, Joulin, Usunier (2016), arXiv 1612.04426.

    Args:
        model: the `keras.Model`, with which the program of the cache is kept.
        window: positive integer, the number of entries.
        theta: float of at least 0; the larger, the more the most similar states count.
    """

    def __init__(self, model, window, theta):
        self.model = model
        self.theta = np.array(theta, "float32")
        self.hidden_states = None
        # -1, which is no word's id, where there is no entry yet.
        self.words = np.full(window, -1, "int32")

    def log_probabilities(self, window) -> np.ndarray:
        """Log-probabilities (time,) of the words of a `Window`, which become entries.

        The result is NaN for the text's first token, as there are no entries before it.
        """
        if self.hidden_states is None:
            self.hidden_states = np.zeros((len(self.words), window.hidden_states.shape[-1]), "float32")
        log_p, self.hidden_states, self.words = run(
            self.model, _look_up, window.hidden_states, window.words, self.hidden_states, self.words, self.theta
        )
        return ops.convert_to_numpy(log_p)


def _look_up(model, states, words, earlier_states, earlier_words, theta):
    time, window = ops.shape(words)[0], ops.shape(earlier_words)[0]
    all_states = ops.concatenate([earlier_states, states], axis=0)
    all_words = ops.concatenate([earlier_words, words], axis=0)
    scores = ops.multiply(theta, ops.matmul(states, ops.transpose(all_states)))
    # Entry t + window is the token itself, whose next word must stay unknown.
    token = ops.expand_dims(ops.arange(time, dtype="int32"), axis=1)
    entry = ops.expand_dims(ops.arange(time + window, dtype="int32"), axis=0)
    seen = ops.logical_and(ops.greater_equal(entry, token), ops.less(entry, ops.add(token, window)))
    seen = ops.logical_and(seen, ops.greater_equal(all_words, 0))
    same = ops.logical_and(seen, ops.equal(ops.expand_dims(words, axis=1), all_words))
    # Two sums, each scaled by its own largest term: with a large theta and one scale, all terms of the word could be 0.
    log_p = ops.subtract(_log_sum(scores, same), _log_sum(scores, seen))
    return log_p, all_states[time:], all_words[time:]


def _log_sum(scores, where):
    return ops.logsumexp(ops.where(where, scores, -np.inf), axis=1)
