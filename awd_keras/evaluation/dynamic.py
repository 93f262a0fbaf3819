"""The perplexity of a model that learns from the text while it reads, and the search for its hyperparameters."""

import contextlib
import itertools
import time
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from awd_keras.backend.devices import gradients
from awd_keras.checks import check_not_negative, check_positive, check_positive_integer
from awd_keras.data import BPTTDataset, Vocabulary
from awd_keras.data.own_tokens import Tokenizer
from awd_keras.evaluation.perplexity import Score, Trial, best_first, check_tokens, check_values, count_unknown
from awd_keras.inference import begin_text, build, check_batch_size, logits_of, run
from awd_keras.losses import TokenCrossEntropy


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
    vocabulary: Vocabulary | Tokenizer | None = None,
) -> Score:
    """Perplexity of a language model under dynamic evaluation: it learns from every few words before it reads on.

    The text is read as one stream, with the state carried. Each window of `bptt` tokens is first scored. Then all
    weights `w` take a step along the gradient `g` of its mean cross-entropy, and decay back to the trained `w_0`:

        w += min(1, decay * rms / mean(rms)) * (w_0 - w) - learning_rate * g / (rms + epsilon)

    with the root mean squares `rms` of the gradients on the training set, which `gradient_rms` computes. `mean(rms)` is
    over all elements of all arrays. (In the paper's code it is the mean of each array's mean, so the same `decay` means
    something else there.) Nothing is dropped, and there are no penalties.

    Afterwards the model is exactly as before, even after an exception or an interruption: weights, optimizer, metrics,
    states and seeds.

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
    >>> model = AWDLSTM(16, embedding_dim=8, hidden_units=12, num_layers=2, seed=1)
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
    check_positive("epsilon", epsilon)
    _check_rms(rms, model)
    dataset = BPTTDataset(tokens, 1, bptt=bptt, variable=False)
    start = time.perf_counter()
    losses = []
    with unchanged(model):
        rate, constants = np.array(learning_rate, "float32"), _constants(model, decay, epsilon, rms)
        for ids, words in _read(model, dataset, verbose):
            losses.append(run(model, _adapt, ids, words, rate, *constants))
    lengths = dataset.window_lengths().tolist()
    nats = sum(float(loss) * length for loss, length in zip(losses, lengths, strict=True))
    count = len(tokens) - 1
    return Score.of(nats / count, count, time.perf_counter() - start, count_unknown(vocabulary, tokens, count))


def gradient_rms(
    model: keras.Model, tokens: np.ndarray, batch_size: int = 20, bptt: int = 5, verbose: int | str = 0
) -> list[np.ndarray]:
    """Root mean squares of a model's gradients on its training set, by which dynamic evaluation scales its steps.

        rms = sqrt(1/N * sum_k g_k^2)

    `g_k` is the gradient of the mean cross-entropy of window `k = 1, ..., N` of the text, with nothing dropped and no
    penalties. The model isn't changed.

    Source: Krause, Kahembwe, Murray, Renals (2017), arXiv 1709.07432, section 5, with 100 rows.

    Args:
        model: a model from integer ids `(batch, time)` to logits `(batch, time, vocabulary)`, or to two outputs, of
            which the logits are the first.
        tokens: 1-D integer array of token ids, of the training set.
        batch_size: number of rows, at most the batch size that the model was built for. With more rows, gradients are
            smaller, and so the steps of `dynamic_perplexity` are larger.
        bptt: tokens in a window, the same number as for `dynamic_perplexity`.
        verbose: Keras's; 1 shows the progress.

    Returns:
        A list of arrays, of the shapes of `model.trainable_variables`.

    Raises:
        ValueError: if an argument is out of its range, or the tokens aren't right for the model.

    Example:

    >>> import numpy as np
    >>> from awd_keras.evaluation import gradient_rms
    >>> from awd_keras.models import AWDLSTM
    >>> model = AWDLSTM(vocabulary_size=16, embedding_dim=8, hidden_units=12, num_layers=2)
    >>> rms = gradient_rms(model, np.arange(101) % 16, batch_size=4)
    >>> [array.shape for array in rms] == [
    ...     tuple(w.shape) for w in model.trainable_variables
    ... ]
    True
    """
    check_positive_integer("batch_size", batch_size)
    check_positive_integer("bptt", bptt)
    dataset = BPTTDataset(check_tokens(tokens, model), batch_size, bptt=bptt, variable=False)
    check_batch_size(model, batch_size)
    build(model, dataset[0][0])
    sums = [np.zeros(variable.shape, variable.dtype) for variable in model.trainable_variables]
    with unchanged(model):
        for ids, words in _read(model, dataset, verbose):
            sums = run(model, _add_squares, ids, words, sums)
    return [np.sqrt(ops.convert_to_numpy(total) / len(dataset)) for total in sums]


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
    vocabulary: Vocabulary | Tokenizer | None = None,
) -> list[Trial]:
    """Scores a model with every combination of dynamic evaluation's hyperparameters.

    Each combination is a dynamic evaluation of the text that starts with the trained weights. A part of the validation
    set is often enough: the paper's code searches on its first 30,000 tokens.

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
    >>> model = AWDLSTM(16, embedding_dim=8, hidden_units=12, num_layers=2, seed=1)
    >>> tokens = np.arange(101) % 3
    >>> rms = gradient_rms(model, tokens, batch_size=1)
    >>> trials = tune_dynamic(
    ...     model, tokens, learning_rates=[0.0, 0.001], decays=[0.001], rms=rms
    ... )
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


def _constants(model, decay, epsilon, rms):
    """For each weight: its initial value, the rate at which it decays back to that, and the scale of its steps."""
    variables = model.trainable_variables
    mean = sum(float(np.sum(r, dtype="float64")) for r in rms) / sum(r.size for r in rms)

    def as_variables(arrays):
        return [ops.convert_to_tensor(a, dtype=v.dtype) for a, v in zip(arrays, variables, strict=True)]

    starts = [ops.copy(variable) for variable in variables]
    decays = as_variables(np.minimum(1, decay * r / mean) for r in rms)
    scales = as_variables(1 / (r + epsilon) for r in rms)
    return starts, decays, scales


def _adapt(model, ids, words, learning_rate, starts, decays, scales):
    loss, found = _loss_and_gradients(model, ids, words)
    parts = zip(model.trainable_variables, found, starts, decays, scales, strict=True)
    for variable, gradient, start, decay, scale in parts:
        step = ops.multiply(ops.cast(learning_rate, variable.dtype), ops.multiply(scale, gradient))
        back = ops.multiply(decay, ops.subtract(start, variable))
        variable.assign_add(ops.subtract(back, step))
    return loss


def _loss_and_gradients(model, ids, words):
    """The mean cross-entropy without penalties and its gradients, with nothing dropped."""
    return gradients(lambda: TokenCrossEntropy(dtype="float32")(words, logits_of(model, ids)), model)


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


def _add_squares(model, ids, words, sums):
    _, found = _loss_and_gradients(model, ids, words)
    return [ops.add(total, ops.square(gradient)) for total, gradient in zip(sums, found, strict=True)]


def _read(model, dataset, verbose):
    """Yields the windows of a text that is read from a zero state."""
    progress = keras.utils.Progbar(len(dataset), verbose=1 if verbose == "auto" else verbose, unit_name="window")
    begin_text(model)
    for index in range(len(dataset)):
        yield dataset[index]
        progress.add(1)


@contextlib.contextmanager
def unchanged(model):
    """A context that restores all variables of a built model at its end, also after an exception."""
    kept = [(variable, ops.convert_to_numpy(variable).copy()) for variable in model.variables]
    try:
        yield
    finally:
        for variable, value in kept:
            variable.assign(value)
