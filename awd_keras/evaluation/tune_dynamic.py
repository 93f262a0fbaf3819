"""A search for the hyperparameters of dynamic evaluation."""

import itertools
from collections.abc import Sequence

import keras
import numpy as np

from awd_keras.checks import check_not_negative
from awd_keras.data import Vocabulary
from awd_keras.evaluation.dynamic_perplexity import dynamic_perplexity
from awd_keras.evaluation.trial import Trial, best_first, check_values


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
