"""Text that a language model writes, word by word, and how it reads what it goes on from."""

import itertools
import numbers
from collections.abc import Iterator, Sequence
from typing import TypeVar

import keras
import numpy as np
from keras import ops

from awd_keras.checks import check_carries_state, check_not_negative, check_not_negative_integer, check_positive_integer
from awd_keras.data import EOS, UNK, Vocabulary
from awd_keras.data.vocabulary import WITH_UNK, split_words
from awd_keras.generation.sampling import draw
from awd_keras.inference import begin_rows, begin_text, first_of, logits_of, most_rows, run


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


# A text for a prompt, and a list of texts for a list of prompts.
Prompt = TypeVar("Prompt", str, list[str])


def generate(
    model: keras.Model,
    vocabulary: Vocabulary,
    prompt: Prompt,
    max_words: int = 50,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int | None = None,
    stop: str | Sequence[str] = (),
) -> Prompt:
    """Continues a prompt, or several at once, one word at a time.

    From a zero inference state the model reads the prompt, up to 128 words at a time; then each next word is drawn from

    `p(w) = softmax(logits / temperature)[w]`

    of all words, of the `top_k` likeliest, or of the nucleus: the fewest likeliest words whose probabilities sum to at
    least `top_p` (of the `top_k`, where both are given). It is read in turn, with the state carried from word to word.
    Nothing is dropped, and training's state stays as it is.

    Where models are compiled, at most four programs serve all prompts of one number, whatever their lengths; they are
    kept with the model. To see each word as soon as it is drawn, iterate over `stream`.

    Source of the nucleus: section 3.1 of Holtzman et al. (2019), arXiv 1904.09751.

    Args:
        model: a model with carried state, from integer ids `(batch, time)` to logits
            `(batch, time, vocabulary)`, or to several outputs, of which the logits are the first. A layer of your own
            that carries state zeroes it by `reset_inference_state()`; for prompts of different lengths it also has
            `inference_state`, a list of variables whose first axis is the batch, as `WeightDropLSTM` does.
        vocabulary: the `Vocabulary` of the model.
        prompt: words with whitespace between. A newline is `<eos>`, a word that the vocabulary
            lacks is `<unk>`. An empty prompt stands for a new line. Or a list of prompts, of any
            lengths, at most as many as the batch size that the model was built for.
        max_words: number of words to write.
        temperature: a number of at least 0. The model's own probabilities are at 1; below it,
            likely words become likelier; 0 takes the likeliest word always.
        top_k: a positive integer, the number of words to draw from; more where the last of them are equally likely.
        top_p: a number in (0, 1], the probability of the words to draw from.
        seed: seed of the draws; the same seed and prompt give the same text, whatever other prompts are in the list.
            Without one, every text is another, also those of equal prompts.
        stop: a word of the vocabulary, such as `"<eos>"`, or a list of them, at which the text
            ends. It is not itself written.

    Returns:
        The prompt and its continuation; each `<eos>` is a newline. For a list of prompts, a list.

    Raises:
        ValueError: if the prompt has words that the vocabulary lacks and it has no `<unk>`, `stop` has words that it
            lacks, another argument is out of its range, or the model's logits aren't finite or of another number than
            the vocabulary's words.

    Example:

    >>> from awd_keras.data import Vocabulary
    >>> from awd_keras.generation import generate
    >>> from awd_keras.models import AWDLSTM
    >>> vocabulary = Vocabulary.from_words("the cat sat on the mat <eos>".split())
    >>> model = AWDLSTM(len(vocabulary), embedding_dim=8, hidden_units=8, num_layers=1)
    >>> texts = generate(model, vocabulary, ["the cat", ""], max_words=5, seed=1)
    >>> texts[0].startswith("the cat"), [len(text.replace("\\n", " <eos> ").split()) for text in texts]
    (True, [7, 5])
    """
    texts = [""] if isinstance(prompt, str) else [""] * len(prompt)
    for row, piece in stream(model, vocabulary, prompt, max_words, temperature, top_k, top_p, seed, stop):
        texts[row] += piece
    return texts[0] if isinstance(prompt, str) else texts


# The words of a prompt that are read at a time: few numbers, as there may be a program for each. The last is the step
# that writes.
SIZES = (128, 32, 8, 1)


def read_prompts(model, ids):
    """Reads all words of some prompts but the last one of each, from a zero state.

    The prompts end together: a shorter one begins later, and what its row reads before is forgotten there.

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


def _windows(start, end):
    for size in SIZES:
        while end - start >= size:
            yield start, start + size
            start += size


def _read(model, ids):
    # Of which nothing is wanted but the state.
    logits_of(model, ids)
    return ()
