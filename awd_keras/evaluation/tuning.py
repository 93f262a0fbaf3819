"""Searches for the hyperparameters of a continuous cache and of dynamic evaluation."""

import itertools
import math
import time
from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np

from awd_keras.checks import check_boolean, check_not_negative, check_positive_integer, check_rate
from awd_keras.data import Vocabulary
from awd_keras.evaluation.cache import ContinuousCache, mix
from awd_keras.evaluation.dynamic import dynamic_perplexity
from awd_keras.evaluation.perplexity import Score, count_unknown
from awd_keras.evaluation.reading import read_text


class Trial(NamedTuple):
    """One setting of hyperparameters, and its score.

    Attributes:
        settings: dictionary of arguments and their values.
        score: the `Score` with them.
    """

    settings: dict
    score: Score


def tune_cache(
    model: keras.Model,
    tokens: np.ndarray,
    windows: Sequence[int] = (100, 500, 2000),
    interpolations: Sequence[float] = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4),
    thetas: Sequence[float] = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0),
    wait_until_full: bool = False,
    bptt: int = 70,
    verbose: int = 0,
    vocabulary: Vocabulary | None = None,
) -> list[Trial]:
    """Scores a model with every combination of a continuous cache's hyperparameters.

    The model reads the text once, and its hidden states are kept: the memory this takes grows with
    `len(tokens) * hidden`. Shares of the cache then cost nothing; each window with each theta costs a pass.

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
    >>> model = AWDLSTM(vocabulary_size=16, embedding_dim=8, hidden_units=12, num_layers=2, seed=1)
    >>> trials = tune_cache(model, np.full(101, 3), windows=[5], interpolations=[0.1, 0.5], thetas=[0.0, 1.0])
    >>> len(trials), trials[0].settings["interpolation"]
    (4, 0.5)
    """
    check_values("windows", windows, check_positive_integer)
    check_values("interpolations", interpolations, check_rate)
    check_values("thetas", thetas, check_not_negative)
    check_boolean("wait_until_full", wait_until_full)
    parts = list(read_text(model, tokens, bptt))
    log_p = np.concatenate([part.log_p for part in parts])
    unknown_tokens = count_unknown(vocabulary, tokens, len(log_p))
    progress = keras.utils.Progbar(len(windows) * len(thetas), verbose=verbose, unit_name="pass")
    trials = []
    for window, theta in itertools.product(windows, thetas):
        start = time.perf_counter()
        cache = ContinuousCache(model, window, theta)
        cache_log_p = np.concatenate([cache.log_probabilities(part) for part in parts])
        seconds = time.perf_counter() - start
        for interpolation in interpolations:
            mixed = mix(log_p, cache_log_p, interpolation, window if wait_until_full else 1)
            settings = {"window": window, "interpolation": interpolation, "theta": theta}
            trials.append(Trial(settings, Score.of(-float(np.mean(mixed)), len(mixed), seconds, unknown_tokens)))
        progress.add(1)
    return best_first(trials)


def tune_dynamic(
    model: keras.Model,
    tokens: np.ndarray,
    learning_rates: Sequence[float] = (3e-5, 5e-5, 1e-4),
    decays: Sequence[float] = (0.0005, 0.001, 0.002),
    *,
    rms: list[np.ndarray],
    epsilon: float = 2e-5,
    bptt: int = 5,
    verbose: int = 0,
    vocabulary: Vocabulary | None = None,
) -> list[Trial]:
    """Scores a model with every combination of dynamic evaluation's hyperparameters.

    Each is a dynamic evaluation of the text from the trained weights on. A part of the validation set is often enough:
    the paper's code has a search on its first 30,000 tokens.

    Args:
        model: as for `dynamic_perplexity`.
        tokens: 1-D integer array of token ids, of the validation set.
        learning_rates: sequence of floats of at least 0.
        decays: sequence of floats of at least 0.
        rms: as for `dynamic_perplexity`.
        epsilon: as for `dynamic_perplexity`.
        bptt: as for `dynamic_perplexity`.
        verbose: 1 shows the progress, 0 doesn't.
        vocabulary: as for `perplexity`.

    Returns:
        A list of `Trial`s, the best first, whose settings are arguments of `dynamic_perplexity`.

    Raises:
        ValueError: as for `dynamic_perplexity`, and if a sequence is empty.

    Example:

    >>> import numpy as np
    >>> from awd_keras.evaluation import gradient_rms, tune_dynamic
    >>> from awd_keras.models import AWDLSTM
    >>> model = AWDLSTM(vocabulary_size=16, embedding_dim=8, hidden_units=12, num_layers=2, seed=1)
    >>> tokens = np.arange(101) % 3
    >>> rms = gradient_rms(model, tokens, batch_size=1)
    >>> trials = tune_dynamic(model, tokens, learning_rates=[0.0, 0.001], decays=[0.001], rms=rms)
    >>> [trial.settings["learning_rate"] for trial in trials]
    [0.001, 0.0]
    """
    check_values("learning_rates", learning_rates, check_not_negative)
    check_values("decays", decays, check_not_negative)
    progress = keras.utils.Progbar(len(learning_rates) * len(decays), verbose=verbose, unit_name="pass")
    trials = []
    for learning_rate, decay in itertools.product(learning_rates, decays):
        score = dynamic_perplexity(
            model, tokens, learning_rate, decay, rms=rms, epsilon=epsilon, bptt=bptt, vocabulary=vocabulary
        )
        trials.append(Trial({"learning_rate": learning_rate, "decay": decay}, score))
        progress.add(1)
    return best_first(trials)


def best_first(trials: list[Trial]) -> list[Trial]:
    """The trials by loss; those that diverged come last."""
    return sorted(trials, key=lambda trial: math.inf if math.isnan(trial.score.loss) else trial.score.loss)


def check_values(name, values, check):
    """Raises ValueError unless there are values, each of which passes the check."""
    if len(values) == 0:
        raise ValueError(f"Argument `{name}` must hold at least one value. Received: {name}={values!r}")
    for value in values:
        check(name, value)
