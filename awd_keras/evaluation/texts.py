"""The scores of many short texts."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from awd_keras import backend
from awd_keras.checks import check_positive_integer, check_vocabulary
from awd_keras.data import Vocabulary
from awd_keras.data.own_tokens import Tokenizer
from awd_keras.data.units import label
from awd_keras.evaluation.perplexity import check_tokens, nats_of_words
from awd_keras.inference import begin_text, most_rows, run

# The numbers of words that are read at a time. Each is compiled once, and two or three words are read as four.
SIZES = (64, 16, 4, 1)


class TextScore(NamedTuple):
    """How well a model predicts one text.

    Attributes:
        log_probability: the natural logarithm of the text's probability, the sum of its words'.
        perplexity: `exp(-log_probability / words)`; NaN for a text without a word.
        words: number of predicted words, `<eos>` included.
        unknown_words: how many of them are read as `<unk>`.
    """

    log_probability: float
    perplexity: float
    words: int
    unknown_words: int


def score_texts(
    model: keras.Model, vocabulary: Vocabulary | Tokenizer, texts: Iterable[str], batch_size: int = 32
) -> list[TextScore]:
    """Scores texts separately by their log-probabilities: sentences, or the candidates of a recognizer.

    Each text is read from a zero state and begins on a new line, so that its first word is predicted too:

    `log_probability = sum_t log p(w[t] | <eos>, w[1], ..., w[t - 1])`

    In a vocabulary of words, a newline is `<eos>`. With a newline at a text's end, the score includes the probability
    that the text ends there. Texts of about the same length are read together, and at most four programs are compiled
    for each number of rows. The model's weights, optimizer, metrics and training state don't change. For the score of
    each word of one text, use `surprisal`.

    Args:
        model: a model from integer ids `(batch, time)` to logits `(batch, time, vocabulary)`, or to several outputs, of
            which the logits are the first.
        vocabulary: the `Vocabulary` of the model, or its tokenizer, as for `Vocabulary.of`.
        texts: strings. A word that the vocabulary lacks is `<unk>`.
        batch_size: how many texts are read together, no more than the model was built for.

    Returns:
        A `TextScore` for each text, in their order.

    Raises:
        ValueError: if `texts` is one string, a text has words that the vocabulary lacks and it has no `<unk>`, the
            vocabulary has no word for the end of a line, or not as many words as the model.

    Example:

    >>> import math
    >>> from awd_keras.data import Vocabulary
    >>> from awd_keras.evaluation import score_texts
    >>> from awd_keras.models import AWDLSTM
    >>> vocabulary = Vocabulary(["<eos>", "<unk>", "the", "cat"])
    >>> model = AWDLSTM(len(vocabulary), embedding_dim=8, hidden_units=12, num_layers=2)
    >>> model.build((1, None))
    >>> model.set_weights([0 * w for w in model.get_weights()])  # It knows nothing.
    >>> score = score_texts(model, vocabulary, ["the cat", "the dog sat"])[1]
    >>> round(score.log_probability / math.log(1 / 4), 3), score.words, score.unknown_words
    (3.0, 3, 2)
    """
    check_positive_integer("batch_size", batch_size)
    if isinstance(texts, str):
        raise ValueError(f"Argument `texts` must be strings, not one string. Received: texts={texts[:40]!r}")
    vocabulary = Vocabulary.of(vocabulary)
    before = vocabulary.cut_by.before_text()
    if before[0] not in vocabulary:
        raise ValueError(
            f"Argument `vocabulary` must have {label(before[0])}, which comes before each text. Received: {vocabulary}"
        )
    check_vocabulary(vocabulary, getattr(model, "vocabulary_size", len(vocabulary)))
    ids = [vocabulary.encode([*before, *vocabulary.cut(text)]) for text in texts]
    if not ids:
        return []
    check_tokens(np.concatenate(ids), model)
    rows = min(batch_size, most_rows(model) or batch_size, _rounded_up(len(ids)))
    # The longest text first, so that a lack of memory shows at once.
    order = sorted(range(len(ids)), key=lambda place: -len(ids[place]))
    nats = np.zeros(len(ids))
    for start in range(0, len(ids), rows):
        places = order[start : start + rows]
        nats[places] = _read(model, [ids[place] for place in places], rows)
    return [_score(total, row[1:], vocabulary) for total, row in zip(nats.tolist(), ids, strict=True)]


def _read(model, texts, rows):
    """The cross-entropies in nats of the words of each text. The texts, lists of ids, are read in `rows` rows."""
    lengths = np.array([len(text) - 1 for text in texts])
    windows = list(_windows(lengths.max()))
    padded = np.zeros((rows, sum(windows) + 1), "int32")
    for row, text in enumerate(texts):
        padded[row, : len(text)] = text
    begin_text(model)
    nats, start = np.zeros(len(texts)), 0
    for size in windows:
        seen, start = start, start + size
        of_words = ops.convert_to_numpy(
            run(model, nats_of_words, padded[:, seen:start], padded[:, seen + 1 : start + 1])
        )
        real = np.arange(seen, start) < lengths[:, None]
        nats += np.sum(of_words[: len(texts)], axis=1, where=real, dtype="float64")
    return nats


def _windows(length):
    if not backend.compiles_each_length(backend.jit_compile()):
        while length > 0:
            yield min(length, SIZES[0])
            length -= SIZES[0]
        return
    for size in SIZES:
        while length >= size or (size == 4 and length > 1):
            yield size
            length -= size


def _rounded_up(count):
    """The next power of two, so that programs are compiled for few numbers of texts."""
    return 1 << (count - 1).bit_length()


def _score(nats, words, vocabulary):
    perplexity = math.nan if not len(words) else math.exp(min(nats / len(words), 709.0))
    return TextScore(-nats, perplexity, len(words), vocabulary.count_unknown(words))
