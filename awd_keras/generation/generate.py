"""Writes text with a language model, word by word."""

import itertools
from collections.abc import Iterator, Sequence
from typing import TypeVar

import keras
import numpy as np

from awd_keras.checks import (
    check_boolean,
    check_not_negative_integer,
    check_number,
    check_positive_integer,
)
from awd_keras.data import UNK, Vocabulary
from awd_keras.data.own_tokens import Tokenizer
from awd_keras.generation.beam_search import beam_search
from awd_keras.generation.next_words import check_words, encode_prompt, ids_of, next_logits, read_logits, read_prompts
from awd_keras.generation.sampling import Choice
from awd_keras.inference import check_carries_state, most_rows

# A text for a prompt, and a list of texts for a list of prompts.
Prompt = TypeVar("Prompt", str, list[str])


def generate(
    model: keras.Model,
    vocabulary: Vocabulary | Tokenizer,
    prompt: Prompt,
    max_words: int = 50,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int | None = None,
    stop: str | Sequence[str] = (),
    *,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
    banned: str | Sequence[str] = (),
    allow_unknown: bool = False,
    num_beams: int | None = None,
    length_penalty: float = 1.0,
) -> Prompt:
    """Continues a prompt, or several at once, one word at a time.

    From a zero inference state the model reads the prompt, up to 128 words at a time; then each next word is drawn from

    `p(w) = softmax(logits / temperature)[w]`

    The word is drawn from all words, or only from the `top_k` likeliest, from the nucleus (the fewest likeliest words
    whose probabilities sum to at least `top_p`), or from the words at least `min_p` times as likely as the likeliest.
    Several of these limits apply one after another. The model then reads the word, with the state carried from word to
    word. Nothing is dropped, and the training state doesn't change. `<unk>` isn't written; the other words share its
    probability.

    With `num_beams` nothing is drawn. Beam search keeps `num_beams` texts, and after each word the likeliest texts that
    continue them. A text that ends by `stop` is set aside. The search ends after `max_words`, or when `num_beams` texts
    are set aside. The result is the text with the highest

    `log p(text) / words ** length_penalty`

    where both count the word that ended it. With one beam that is the text of `temperature=0`.

    If models are compiled, at most four programs serve all prompts of any lengths, for one number of prompts. They are
    kept with the model. To see each word as soon as it is drawn, iterate over `stream`.

    Sources: the nucleus, section 3.1 of Holtzman et al. (2019), arXiv 1904.09751; `min_p`, section 3 of Nguyen et al.
    (2024), arXiv 2407.01082; the penalty of repetition, section 4.1 of Keskar et al. (2019), arXiv 1909.05858.

    Args:
        model: a model with carried state, from integer ids `(batch, time)` to logits
            `(batch, time, vocabulary)`, or to several outputs, of which the logits are the first. A layer of your own
            that carries state zeroes it by `reset_inference_state()`; for prompts of different lengths it also has
            `inference_state`, a list of variables whose first axis is the batch, as `WeightDropLSTM` does.
        vocabulary: the `Vocabulary` of the model, or its tokenizer, as for `Vocabulary.of`. It cuts the prompt and
            joins the text; where it is of characters, a word is a character.
        prompt: a text. A word that the vocabulary lacks is `<unk>`. An empty prompt stands for a new line. Or a list
            of prompts, of any lengths, at most as many as the batch size that the model was built for.
        max_words: number of words to write.
        temperature: a number of at least 0. 1 keeps the model's probabilities; below 1, likely words
            become likelier; 0 always takes the likeliest word.
        top_k: a positive integer, the number of words to draw from; more if several are as likely as the last one.
        top_p: a number in (0, 1], the total probability of the words to draw from.
        seed: seed of the draws. The same seed and prompt give the same text, whatever other prompts are in the list.
            Without a seed, all texts differ, even those of equal prompts.
        stop: a word of the vocabulary, such as `"<eos>"`, or a list of them, at which the text
            ends. It is not itself written.
        min_p: a number in (0, 1]. A word may be drawn if its probability is at least this share of the likeliest one's.
        repetition_penalty: a positive number. Above 1, words that are in the prompt or have been written become less
            likely: their logits are divided by it if they are positive, else multiplied.
        banned: a word of the vocabulary, or a list of them, never to be written.
        allow_unknown: whether `<unk>` may be written.
        num_beams: a positive integer, for beam search. It can't be combined with `temperature`, `top_k`, `top_p`,
            `min_p` and `seed`. The model must be built for this number of rows for each prompt.
        length_penalty: a number, for beam search. The larger it is, the longer are the texts.

    Returns:
        The prompt and its continuation. In a vocabulary of words, there is one space between words, and each `<eos>` is
        a newline. For a list of prompts, a list.

    Raises:
        ValueError: if the prompt has words that the vocabulary lacks and it has no `<unk>`, or `stop` or `banned` have
            words that it lacks; if no word is left to write, or another argument is out of its range; or if the model's
            logits aren't finite, or aren't as many as the vocabulary's words.

    Example:

    >>> from awd_keras.data import Vocabulary
    >>> from awd_keras.generation import generate
    >>> from awd_keras.models import AWDLSTM
    >>> vocabulary = Vocabulary.from_words("the cat sat on the mat <eos>".split())
    >>> model = AWDLSTM(len(vocabulary), embedding_dim=8, hidden_units=8, num_layers=1)
    >>> texts = generate(model, vocabulary, ["the cat", ""], max_words=5, seed=1)
    >>> (
    ...     texts[0].startswith("the cat"),
    ...     [len(text.replace("\\n", " <eos> ").split()) for text in texts],
    ... )
    (True, [7, 5])
    """
    texts = [""] if isinstance(prompt, str) else [""] * len(prompt)
    pieces = stream(
        model,
        vocabulary,
        prompt,
        max_words,
        temperature,
        top_k,
        top_p,
        seed,
        stop,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        banned=banned,
        allow_unknown=allow_unknown,
        num_beams=num_beams,
        length_penalty=length_penalty,
    )
    for row, piece in pieces:
        texts[row] += piece
    return texts[0] if isinstance(prompt, str) else texts


def stream(
    model: keras.Model,
    vocabulary: Vocabulary | Tokenizer,
    prompt: str | Sequence[str],
    max_words: int = 50,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int | None = None,
    stop: str | Sequence[str] = (),
    *,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
    banned: str | Sequence[str] = (),
    allow_unknown: bool = False,
    num_beams: int | None = None,
    length_penalty: float = 1.0,
) -> Iterator[tuple[int, str]]:
    """Writes as `generate` does, and yields each word as soon as it is drawn.

    Every text begins with its prompt. Then each word comes with the space or the newline before it. Joined, the pieces
    of a row are the text that `generate` returns. The bytes of a character come in one piece.
    With `num_beams`, all words come at the end, as only then beam search knows them.

    Until the iterator is exhausted or left, the model's inference state is in use: don't use the model otherwise.

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
        min_p: a number in (0, 1], or None.
        repetition_penalty: a positive number.
        banned: a word, or a list of them.
        allow_unknown: whether `<unk>` may be written.
        num_beams: a positive integer, or None.
        length_penalty: a number.

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
    >>> pieces = [
    ...     piece for _, piece in stream(model, vocabulary, "the cat", max_words=5, seed=1)
    ... ]
    >>> pieces[0], len(pieces)
    ('the cat', 6)
    """
    vocabulary = Vocabulary.of(vocabulary)
    check_positive_integer("max_words", max_words)
    check_boolean("allow_unknown", allow_unknown)
    if seed is not None:
        check_not_negative_integer("seed", seed)
    stop = ids_of("stop", stop, vocabulary)
    never = ids_of("banned", banned, vocabulary)
    if not allow_unknown and UNK in vocabulary:
        never = np.union1d(never, [vocabulary[UNK]])
    if len(np.unique(never)) == len(vocabulary):
        raise ValueError(f"Argument `banned` must leave a word to write. Received: all {len(never)} words")
    choice = Choice(temperature, top_k, top_p, min_p, repetition_penalty, never)
    prompts = [vocabulary.cut(text) for text in ([prompt] if isinstance(prompt, str) else prompt)]
    check_carries_state(model)
    if num_beams is not None:
        _check_beams(num_beams, length_penalty, temperature, (top_k, top_p, min_p, seed))
    _check_rows(model, prompts, num_beams or 1)
    if hasattr(model, "vocabulary_size"):  # otherwise it is checked with the first logits
        check_words(vocabulary, model.vocabulary_size)
    ids = [encode_prompt("prompt", words, vocabulary) for words in prompts]
    if num_beams is not None:
        return _search(model, vocabulary, prompts, ids, choice, max_words, stop, num_beams, length_penalty)
    if length_penalty != 1:
        raise ValueError(f"Argument `length_penalty` needs `num_beams`. Received: length_penalty={length_penalty!r}")
    # Seeded by the prompt too, so that rows draw independently, and each row as it would alone.
    rngs = [np.random.default_rng(None if seed is None else [seed, *row]) for row in ids]
    return _draw(model, vocabulary, prompts, ids, choice, rngs, max_words, stop)


def _draw(model, vocabulary, prompts, ids, choice, rngs, max_words, stop):
    writers = yield from _begin(vocabulary, prompts)
    if not ids:
        return
    inputs = read_prompts(model, ids)
    read = [list(row) for row in ids]
    writing = set(range(len(prompts)))
    # Every call has the shape (rows, 1), so that one program serves all calls. A row that has ended reads its last word
    # again until all rows have ended.
    for written in itertools.count(1):
        logits = read_logits(model, vocabulary, next_logits, inputs)
        for row in sorted(writing):
            inputs[row] = choice.draw(choice.adjust(logits[row], read[row]), rngs[row])
            if inputs[row, 0] in stop:
                writing.discard(row)
                continue
            yield row, writers[row].add(vocabulary.words[inputs[row, 0]])
            read[row].append(inputs[row, 0])
        if not writing or written == max_words:
            break
    yield from _end(writers)


def _search(model, vocabulary, prompts, ids, choice, max_words, stop, num_beams, length_penalty):
    writers = yield from _begin(vocabulary, prompts)
    texts = beam_search(model, vocabulary, ids, num_beams, choice, max_words, stop, length_penalty) if ids else []
    for row, words in enumerate(texts):
        for word in words:
            yield row, writers[row].add(vocabulary.words[word])
    yield from _end(writers)


def _begin(vocabulary, prompts):
    """Yields the prompts; returns the writers of the texts."""
    writers = [vocabulary.cut_by.writer() for _ in prompts]
    for row, words in enumerate(prompts):
        yield row, "".join(map(writers[row].add, words))
    return writers


def _end(writers):
    for row, writer in enumerate(writers):
        rest = writer.end()
        if rest:
            yield row, rest


def _check_beams(num_beams, length_penalty, temperature, draws):
    check_positive_integer("num_beams", num_beams)
    check_number("length_penalty", length_penalty)
    if temperature != 1 or any(value is not None for value in draws):
        raise ValueError(
            "Argument `num_beams` must be left out where words are drawn, by `temperature`, `top_k`, `top_p`, `min_p` "
            f"or `seed`: beam search finds the likeliest text. Received: num_beams={num_beams!r} with one of these"
        )


def _check_rows(model, prompts, num_beams):
    """Raises ValueError if there are too many prompts. Keras's own message would name a layer inside the model."""
    most = most_rows(model)
    if most is not None and len(prompts) * num_beams > most:
        beams = f" of {num_beams} beams each" if num_beams > 1 else ""
        raise ValueError(
            "Argument `prompt` must hold at most as many prompts as the batch size that the model was built for, "
            f"{most}. Received: {len(prompts)} prompts{beams}"
        )
