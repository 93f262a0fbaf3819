"""How the next word is chosen: functions of the logits of one step, which can be combined.

They take and return the logits of one text, floats of shape (vocabulary,). A word that can't be chosen has the logit
minus infinity. Names and order are those of the options of Hugging Face's `generate`. All is in NumPy, so that the same
logits and the same seed give the same word on every backend.
"""

import numbers

import numpy as np

from awd_keras.checks import check_not_negative, check_positive, check_positive_integer


class Choice:
    """How the next word is chosen. Its arguments are those of `generate`, except for the ids of the words to ban."""

    def __init__(self, temperature, top_k, top_p, min_p, repetition_penalty, banned):
        check_not_negative("temperature", temperature)
        if top_k is not None:
            check_positive_integer("top_k", top_k)
        _check_share("top_p", top_p)
        _check_share("min_p", min_p)
        check_positive("repetition_penalty", repetition_penalty)
        self.temperature = temperature
        self.repetition_penalty = repetition_penalty
        self.banned = banned
        self.kept = [
            (keep, share)
            for keep, share in ((keep_top_k, top_k), (keep_top_p, top_p), (keep_min_p, min_p))
            if share is not None
        ]

    def adjust(self, logits, read):
        """Penalizes and bans words in the logits after a text with the ids `read`."""
        check_finite(logits)
        if self.repetition_penalty != 1:
            logits = penalize_repetition(logits, read, self.repetition_penalty)
        return ban(logits, self.banned)

    def draw(self, logits, rng):
        """Draws a word's id from adjusted logits. At a temperature of 0, it is the likeliest."""
        if self.temperature == 0:
            return int(np.argmax(logits))
        logits = scale(logits, self.temperature)
        for keep, share in self.kept:
            logits = keep(logits, share)
        return draw(logits, rng)


def ban(logits, ids):
    """Bans the words `ids`, an integer array. All others share their probability."""
    logits = logits.copy()
    logits[ids] = -np.inf
    return logits


def penalize_repetition(logits, ids, penalty):
    """Makes words that have been read, the integer array `ids`, less likely if `penalty` is above 1.

    Their logits are divided by it where they are positive, and multiplied where they are negative. Source: section 4.1
    of Keskar et al. (2019), arXiv 1909.05858.
    """
    logits = logits.astype("float64")
    read = logits[ids]
    with np.errstate(over="ignore"):
        # Finite, so that two words of a tiny penalty can still be compared.
        logits[ids] = np.minimum(np.where(read > 0, read / penalty, read * penalty), 1e300)
    return logits


def scale(logits, temperature):
    """Divides the logits by the temperature, a number above 0."""
    # The largest logit is 0. At a small temperature, the others overflow to minus infinity, a probability of 0.
    with np.errstate(over="ignore"):
        return (logits.astype("float64") - logits.max()) / temperature


def keep_top_k(logits, k):
    """Keeps only the `k` likeliest words, and any as likely as the last of them."""
    return _keep(logits, logits, np.partition(logits, -k)[-k]) if k < len(logits) else logits


def keep_top_p(logits, share):
    """Keeps only the nucleus: the fewest likeliest words whose probabilities sum to at least `share`, and any as likely
    as the last of them.

    Source: section 3.1 of Holtzman et al. (2019), arXiv 1904.09751.
    """
    p = probabilities(logits)
    descending = np.sort(p)[::-1]
    # The sum of all may be below 1 by rounding.
    last = min(np.searchsorted(np.cumsum(descending), share), len(p) - 1)
    return _keep(logits, p, descending[last])


def keep_min_p(logits, share):
    """Keeps only the words that are at least `share` times as likely as the likeliest.

    Source: section 3 of Nguyen et al. (2024), arXiv 2407.01082.
    """
    p = probabilities(logits)
    return _keep(logits, p, share * p.max())


def probabilities(logits):
    """`softmax(logits)` in float64."""
    shares = np.exp(logits.astype("float64") - logits.max())
    return shares / shares.sum()


def draw(logits, rng):
    """A word's id, drawn with the probabilities of the words by `rng`, a `numpy.random.Generator`."""
    return int(rng.choice(len(logits), p=probabilities(logits)))


def check_finite(logits):
    """Raises ValueError where the largest of the logits isn't finite."""
    largest = logits.max()
    if not np.isfinite(largest):
        raise ValueError(f"Argument `model` must give finite logits: it may have diverged. Received: {largest}")


def _check_share(name, value):
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < float(value) <= 1:
        raise ValueError(f"Argument `{name}` must be a number in (0, 1]. Received: {name}={value!r}")


def _keep(logits, figures, least):
    return np.where(figures >= least, logits, -np.inf)
