"""The perplexity of a model that goes on learning from what it reads."""

import time

import keras
import numpy as np

from awd_keras.checks import check_not_negative, check_positive_integer
from awd_keras.data import BPTTDataset, Vocabulary
from awd_keras.evaluation.adapter import Adapter
from awd_keras.evaluation.check_tokens import check_tokens
from awd_keras.evaluation.rms_decay import RMSDecay
from awd_keras.evaluation.score import Score, count_unknown


def dynamic_perplexity(
    model: keras.Model,
    tokens: np.ndarray,
    learning_rate: float = 5e-5,
    decay: float = 0.002,
    *,
    rms: list[np.ndarray],
    epsilon: float = 2e-5,
    bptt: int = 5,
    verbose: int | str = 0,
    vocabulary: Vocabulary | None = None,
) -> Score:
    """Perplexity of a language model under dynamic evaluation: it learns from each few words before it reads on.

    The text is read as one stream, with the state carried. Each window of `bptt` tokens is scored first, and then
    changes all weights `w` by the gradient `g` of its mean cross-entropy, while they decay back to the trained `w_0`:

        w += min(1, decay * rms / mean(rms)) * (w_0 - w) - learning_rate * g / (rms + epsilon)

    with the root mean squares `rms` of the gradients on the training set, which `gradient_rms` gives. The mean is over
    all elements of all of them. (In the paper's code it is the mean of each array's mean, so that a `decay` there is
    another one here.) Nothing is dropped, and there are no penalties.

    The model is afterwards exactly as it was, also where an exception or an interruption ends this: weights, optimizer,
    metrics, states and seeds.

    Source: Krause, Kahembwe, Murray, Renals (2017), arXiv 1709.07432, section 5. `tune_dynamic` finds the learning rate
    and the decay of a model.

    Args:
        model: a model from integer ids `(batch, time)` to logits `(batch, time, vocabulary)`, or to two outputs, of
            which the logits are the first.
        tokens: 1-D integer array of token ids.
        learning_rate: float of at least 0.
        decay: float of at least 0, the decay of a weight whose gradients are of the mean size.
        rms: list of arrays, of the shapes of `model.trainable_variables`.
        epsilon: positive float, which keeps the steps of weights with hardly any gradient small.
        bptt: positive integer, the tokens between two steps.
        verbose: Keras's; 1 shows the progress.
        vocabulary: as for `perplexity`.

    Returns:
        A `Score`.

    Raises:
        ValueError: if an argument is out of its range, the tokens aren't right for the model, or the root mean squares
            aren't those of its weights.

    Example:

    >>> import numpy as np
    >>> from awd_keras.evaluation import dynamic_perplexity, gradient_rms
    >>> from awd_keras.models import AWDLSTM
    >>> model = AWDLSTM(vocabulary_size=16, embedding_dim=8, hidden_units=12, num_layers=2, seed=1)
    >>> tokens = np.arange(201) % 3
    >>> rms = gradient_rms(model, tokens, batch_size=1)
    >>> score = dynamic_perplexity(model, tokens, learning_rate=0.001, decay=0.0, rms=rms)
    >>> score.perplexity < 16, score.tokens
    (True, 200)
    """
    tokens = check_tokens(tokens, model)
    check_not_negative("learning_rate", learning_rate)
    check_not_negative("decay", decay)
    check_positive_integer("bptt", bptt)
    check_not_negative("epsilon", epsilon)
    if epsilon == 0:
        raise ValueError(f"Argument `epsilon` must be a positive number. Received: epsilon={epsilon!r}")
    _check_rms(rms, model)
    dataset = BPTTDataset(tokens, 1, bptt=bptt, variable=False)
    start = time.perf_counter()
    adapter = Adapter(model, RMSDecay(learning_rate, decay, epsilon, rms))
    loss = adapter.read(dataset, verbose)
    count = len(tokens) - 1
    return Score.of(loss, count, time.perf_counter() - start, count_unknown(vocabulary, tokens, count))


def _check_rms(rms, model):
    expected = [tuple(variable.shape) for variable in model.trainable_variables]
    shapes = [tuple(array.shape) for array in rms]
    if shapes != expected:
        raise ValueError(
            "Argument `rms` must be what `gradient_rms` gives for this model, arrays of the shapes "
            f"{expected}. Received: arrays of the shapes {shapes}"
        )
    if not all(np.isfinite(array).all() and (array >= 0).all() for array in rms) or not any(map(np.any, rms)):
        raise ValueError(
            "Argument `rms` must hold finite numbers of at least 0, and not zeros alone. "
            f"Received: arrays from {min(map(np.min, rms))} to {max(map(np.max, rms))}"
        )
