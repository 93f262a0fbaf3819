"""The perplexity of the simplest language models, for comparison."""

import math

import numpy as np

from awd_keras.checks import check_positive_integer


def ngram_perplexity(train: np.ndarray, tokens: np.ndarray, vocabulary_size: int, order: int = 2) -> float:
    """The perplexity of a model that counts words (`order=1`), or pairs of words (`order=2`).

    Compare it with a neural model's perplexity: a model near the value of `order=1` has learned little more than which
    words are frequent. With `c` the counts in the training text of `N` words, and `n(v)` the number of different words
    that follow `v` there,

        p(w) = (c(w) + 1) / (N + vocabulary_size)
        p(w | v) = (c(v w) + n(v) p(w)) / (c(v) + n(v))

    where `p(w | v)` is `p(w)` if `v` doesn't occur before another word. It takes a second for a million words.

    Source: Witten and Bell (1991), doi 10.1109/18.87000.

    Args:
        train: 1-D integer array, the token ids of the training text.
        tokens: 1-D integer array, the token ids to predict, all but the first.
        vocabulary_size: positive integer, the number of words.
        order: 1 or 2.

    Returns:
        `exp` of the mean negative log-probability.

    Raises:
        ValueError: if `order` is neither 1 nor 2, `vocabulary_size` isn't a positive integer, a text has fewer than two
            ids, or an id is outside the vocabulary.

    Example:

    >>> import numpy as np
    >>> from awd_keras.evaluation import ngram_perplexity
    >>> text = np.tile([0, 1, 2], 100)
    >>> [
    ...     round(ngram_perplexity(text, text, vocabulary_size=3, order=order), 2)
    ...     for order in (1, 2)
    ... ]
    [3.0, 1.01]
    """
    check_positive_integer("vocabulary_size", vocabulary_size)
    if order not in (1, 2):
        raise ValueError(f"Argument `order` must be 1 or 2. Received: order={order!r}")
    train, tokens = _checked("train", train, vocabulary_size), _checked("tokens", tokens, vocabulary_size)
    words = tokens[1:]
    p = ((np.bincount(train, minlength=vocabulary_size) + 1) / (len(train) + vocabulary_size))[words]
    if order == 2:
        before = tokens[:-1]
        pairs, counts = np.unique(train[:-1] * vocabulary_size + train[1:], return_counts=True)
        firsts = pairs // vocabulary_size
        followed = np.bincount(firsts, counts, vocabulary_size)[before]
        different = np.bincount(firsts, minlength=vocabulary_size)[before]
        wanted = before * vocabulary_size + words
        places = np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)
        seen = np.where(pairs[places] == wanted, counts[places], 0)
        total = followed + different
        p = np.where(total > 0, (seen + different * p) / np.maximum(total, 1), p)
    return math.exp(-float(np.mean(np.log(p))))


def _checked(name, ids, vocabulary_size):
    ids = np.asarray(ids)
    if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer) or len(ids) < 2:
        raise ValueError(
            f"Argument `{name}` must be a 1-D array of at least two integer ids. "
            f"Received: an array of shape {ids.shape} and dtype {ids.dtype}"
        )
    if ids.min() < 0 or ids.max() >= vocabulary_size:
        raise ValueError(
            f"Argument `{name}` must hold ids in [0, {vocabulary_size}). Received: ids from {ids.min()} to {ids.max()}"
        )
    return ids.astype("int64")
