"""The drawing of a word from the logits of one step.

In NumPy, so that the same logits and the same seed give the same word on every backend.
"""

import numpy as np


def draw(logits, rng, temperature, top_k, top_p):
    """Draws a word.

    Args:
        logits: (vocabulary,) floats.
        rng: a `numpy.random.Generator`.
        temperature: number of at least 0; at 0 the likeliest word is taken.
        top_k: number of words that are drawn from, or None for all.
        top_p: the probability that these words have together, or None for 1.

    Returns:
        The word's id.

    Raises:
        ValueError: if the largest of the logits isn't finite.
    """
    largest = logits.max()
    if not np.isfinite(largest):
        raise ValueError(f"Argument `model` must give finite logits: it may have diverged. Received: {largest}")
    if temperature == 0:
        return int(np.argmax(logits))
    p = probabilities(logits, temperature)
    if top_k is not None:
        p = keep_top_k(p, top_k)
    if top_p is not None:
        p = keep_top_p(p, top_p)
    return int(rng.choice(len(p), p=p))


def probabilities(logits, temperature):
    """`softmax(logits / temperature)` in float64."""
    logits = logits.astype("float64")
    # At a small temperature the quotients overflow, all but the one of the largest, to a probability of 0.
    with np.errstate(over="ignore"):
        shares = np.exp((logits - logits.max()) / temperature)
    return shares / shares.sum()


def keep_top_k(p, k):
    """The `k` largest probabilities, and any as large as the last of them, scaled to a sum of 1; 0 for all others."""
    least = np.partition(p, -k)[-k] if k < len(p) else 0
    return _keep(p, least)


def keep_top_p(p, share):
    """As `keep_top_k`, for the fewest probabilities whose sum is at least `share`: the nucleus."""
    descending = np.sort(p)[::-1]
    # A sum of all may be a rounding below 1.
    last = min(np.searchsorted(np.cumsum(descending), share), len(p) - 1)
    return _keep(p, descending[last])


def _keep(p, least):
    kept = np.where(p >= least, p, 0)
    return kept / kept.sum()
