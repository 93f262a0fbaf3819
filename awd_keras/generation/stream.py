"""Text that a language model writes, word by word."""

import itertools
import numbers
from collections.abc import Iterator, Sequence

import keras
import numpy as np
from keras import ops

from awd_keras.checks import check_carries_state, check_not_negative, check_not_negative_integer, check_positive_integer
from awd_keras.data import EOS, UNK, Vocabulary
from awd_keras.data.words import WITH_UNK, split_words
from awd_keras.generation.reading import next_logits, read_prompts
from awd_keras.generation.sampling import draw
from awd_keras.inference import most_rows, run


def stream(
    model: keras.Model,
    vocabulary: Vocabulary,
    prompt: str | Sequence[str],
    max_words: int = 50,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int | None = None,
    stop: str | Sequence[str] = (),
) -> Iterator[tuple[int, str]]:
    """What `generate` writes, as it is written.

    Every text begins with its prompt. Then each word comes as soon as it is drawn, with the space or the newline
    before it: joined, the pieces of a row are the text that `generate` returns.

    The model's inference state is in use until the iterator is exhausted or left: it can't score or write anything
    else meanwhile.

    Args:
        model: as for `generate`, and so are all other arguments.
        vocabulary: the `Vocabulary` of the model.
        prompt: a prompt, or a list of them.
        max_words: number of words to write.
        temperature: a number of at least 0.
        top_k: a positive integer, or None.
        top_p: a number in (0, 1], or None.
        seed: seed of the draws, or None.
        stop: a word, or a list of them.

    Returns:
        An iterator of pairs: the place of the prompt in its list (0 for a single one), and the next piece of text.

    Raises:
        ValueError: as `generate` does.

    Example:

    >>> from awd_keras.data import Vocabulary
    >>> from awd_keras.generation import stream
    >>> from awd_keras.models import AWDLSTM
    >>> vocabulary = Vocabulary.from_words("the cat sat on the mat <eos>".split())
    >>> model = AWDLSTM(len(vocabulary), embedding_dim=8, hidden_units=8, num_layers=1)
    >>> pieces = [piece for _, piece in stream(model, vocabulary, "the cat", max_words=5, seed=1)]
    >>> pieces[0], len(pieces)
    ('the cat', 6)
    """
    check_positive_integer("max_words", max_words)
    check_not_negative("temperature", temperature)
    if top_k is not None:
        check_positive_integer("top_k", top_k)
    if top_p is not None and (isinstance(top_p, bool) or not isinstance(top_p, numbers.Real) or not 0 < top_p <= 1):
        raise ValueError(f"Argument `top_p` must be a number in (0, 1]. Received: top_p={top_p!r}")
    if seed is not None:
        check_not_negative_integer("seed", seed)
    stop = [stop] if isinstance(stop, str) else list(stop)
    unknown = [word for word in stop if word not in vocabulary]
    if unknown:
        raise ValueError(f"Argument `stop` must be of words of the vocabulary. Received: {_listed(unknown)}")
    prompts = [split_words(text) for text in ([prompt] if isinstance(prompt, str) else prompt)]
    check_carries_state(model)
    _check_rows(model, prompts)
    if hasattr(model, "vocabulary_size"):  # else the logits tell, once there are some
        _check_words(vocabulary, model.vocabulary_size)
    ids = [_encode(words or [EOS], vocabulary) for words in prompts]
    # From the prompt too, so that the rows of a batch draw independently, and each as it does alone.
    rngs = [np.random.default_rng(None if seed is None else [seed, *row]) for row in ids]

    def next_id(row, logits):
        return draw(logits, rngs[row], temperature, top_k, top_p)

    return _write(model, vocabulary, prompts, ids, next_id, max_words, stop)


def _write(model, vocabulary, prompts, ids, next_id, max_words, stop):
    for row, words in enumerate(prompts):
        yield row, "".join(_piece(word, before) for before, word in itertools.pairwise([EOS, *words]))
    if not ids:
        return
    inputs = read_prompts(model, ids)
    last = [(words or [EOS])[-1] for words in prompts]
    writing = set(range(len(prompts)))
    # Of (rows, 1) in every call, so that one program serves all: a row that has ended reads its last word again until
    # all have.
    for written in itertools.count(1):
        logits = ops.convert_to_numpy(run(model, next_logits, inputs))
        _check_words(vocabulary, logits.shape[-1])
        for row in sorted(writing):
            inputs[row] = next_id(row, logits[row])
            word = vocabulary.words[inputs[row, 0]]
            if word in stop:
                writing.discard(row)
                continue
            yield row, _piece(word, last[row])
            last[row] = word
        if not writing or written == max_words:
            return


def _check_words(vocabulary, words):
    if words != len(vocabulary):
        raise ValueError(
            f"Argument `vocabulary` must have as many words as the model has logits, {words}. "
            f"Received: vocabulary={vocabulary}"
        )


def _check_rows(model, prompts):
    """Before Keras does, whose message is of a layer that the caller has never seen."""
    most = most_rows(model)
    if most is not None and len(prompts) > most:
        raise ValueError(
            "Argument `prompt` must hold at most as many prompts as the batch size that the model was built for, "
            f"{most}. Received: {len(prompts)} prompts"
        )


def _encode(words, vocabulary):
    unknown = [word for word in words if word not in vocabulary]
    if unknown and UNK not in vocabulary:
        raise ValueError(
            f"Argument `prompt` must be of words of the vocabulary, which has no {UNK} for others. "
            f"Received: {_listed(unknown)}. {WITH_UNK}"
        )
    return vocabulary.encode(words).tolist()


def _listed(words):
    return ", ".join(map(repr, words))


def _piece(word, before):
    if word == EOS:
        return "\n"
    return word if before == EOS else f" {word}"
