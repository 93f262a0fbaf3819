"""Reads texts, and gives the likeliest next words."""

import itertools

import keras
import numpy as np
from keras import ops

from awd_keras.checks import check_positive_integer
from awd_keras.data import UNK, Vocabulary
from awd_keras.data.own_tokens import Tokenizer
from awd_keras.data.vocabulary import WITH_UNK
from awd_keras.generation.sampling import check_finite, probabilities
from awd_keras.inference import begin_rows, begin_text, check_carries_state, first_of, logits_of, run

# The numbers of words of a prompt that are read at a time. There are few, as each may be compiled. Writing uses the
# last one too.
SIZES = (128, 32, 8, 1)


def read_prompts(model, ids):
    """Reads each prompt except its last word, from a zero state.

    The prompts are aligned at their ends. A shorter one begins later, and the state of its row is zeroed there.

    Args:
        model: the `keras.Model`, which carries its state.
        ids: a list of lists of ids, none empty.

    Returns:
        The last ids, int32 (rows, 1).
    """
    length = max(map(len, ids))
    begins = [length - len(row) for row in ids]
    text = np.array([[row[0]] * begin + row for row, begin in zip(ids, begins, strict=True)], dtype="int32")
    begin_text(model)
    for start, end in itertools.pairwise(sorted({*begins, length - 1})):
        for low, high in _windows(start, end):
            run(model, next_logits if high - low == 1 else _read, text[:, low:high])
        rows = [row for row, begin in enumerate(begins) if begin == end]
        if rows:
            begin_rows(model, rows)
    return text[:, -1:]


def next_logits(model, ids):
    """The logits (rows, vocabulary) of the words after these ids, (rows, time)."""
    return first_of(model(ids, training=False))[:, -1]


def read_logits(model, vocabulary, function, *arguments):
    """Runs a function of the model that returns logits, compiled: an array (rows, vocabulary).

    Raises:
        ValueError: if there aren't as many logits as words in the vocabulary.
    """
    logits = ops.convert_to_numpy(run(model, function, *arguments))
    check_words(vocabulary, logits.shape[-1])
    return logits


def _windows(start, end):
    for size in SIZES:
        while end - start >= size:
            yield start, start + size
            start += size


def _read(model, ids):
    # Only the state is needed.
    logits_of(model, ids)
    return ()


def next_words(
    model: keras.Model, vocabulary: Vocabulary | Tokenizer, context: str, k: int = 10
) -> list[tuple[str, float]]:
    """The likeliest next words after a text, with the model's probabilities.

    The text is read from a zero inference state, as `generate` reads a prompt. The probabilities are those of all words
    of the vocabulary, `<unk>` and `<eos>` too.

    Args:
        model: as for `generate`.
        vocabulary: as for `generate`.
        context: a text. A word that the vocabulary lacks is `<unk>`. An empty one stands for a new line.
        k: a positive integer, the number of words; all of a smaller vocabulary.

    Returns:
        Pairs of a word and its probability, the likeliest first.

    Raises:
        ValueError: if the context has words that the vocabulary lacks and it has no `<unk>`, `k` isn't a positive
            integer, or the model's logits aren't finite or aren't as many as the vocabulary's words.

    Example:

    >>> from awd_keras.data import Vocabulary
    >>> from awd_keras.generation import next_words
    >>> from awd_keras.models import AWDLSTM
    >>> vocabulary = Vocabulary(["<eos>", "the", "cat", "sat"])
    >>> model = AWDLSTM(len(vocabulary), embedding_dim=8, hidden_units=12, num_layers=2)
    >>> model.build((1, None))
    >>> model.set_weights([0 * w for w in model.get_weights()])  # It knows nothing.
    >>> next_words(model, vocabulary, "the cat", k=2)
    [('<eos>', 0.25), ('the', 0.25)]
    """
    check_positive_integer("k", k)
    check_carries_state(model)
    vocabulary = Vocabulary.of(vocabulary)
    ids = encode_prompt("context", vocabulary.cut(context), vocabulary)
    (logits,) = read_logits(model, vocabulary, next_logits, read_prompts(model, [ids]))
    check_finite(logits)
    p = probabilities(logits)
    likeliest = np.argsort(-p, kind="stable")[:k]
    return [(vocabulary.words[word], float(p[word])) for word in likeliest]


def check_words(vocabulary, words):
    """Raises ValueError unless the vocabulary has as many words as the model has logits, which is `words`."""
    if words != len(vocabulary):
        raise ValueError(
            f"Argument `vocabulary` must have as many words as the model has logits, {words}. "
            f"Received: vocabulary={vocabulary}"
        )


def encode_prompt(name, words, vocabulary):
    """The ids of an argument's words, a list. If there are no words, the ids that stand for a new line."""
    words = words or vocabulary.cut_by.before_text()
    unknown = [word for word in words if word not in vocabulary]
    if unknown and UNK not in vocabulary:
        raise ValueError(
            f"Argument `{name}` must hold words of the vocabulary only, as it has no {UNK} for others. "
            f"Received: {listed(unknown)}. {WITH_UNK}"
        )
    return vocabulary.encode(words).tolist()


def ids_of(name, words, vocabulary):
    """The ids of one word or of several, which must all be in the vocabulary."""
    words = [words] if isinstance(words, str) else list(words)
    unknown = [word for word in words if word not in vocabulary]
    if unknown:
        raise ValueError(f"Argument `{name}` must hold words of the vocabulary only. Received: {listed(unknown)}")
    return np.array([vocabulary[word] for word in words], "int32")


def listed(words):
    """Words as an error message shows them."""
    return ", ".join(map(repr, words))
