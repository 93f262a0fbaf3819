"""Text that a language model writes."""

import math
import numbers

import keras
import numpy as np

from awd_keras.callbacks import ResetStates
from awd_keras.checks import check_not_negative_integer, check_positive_integer
from awd_keras.data import EOS, UNK, Vocabulary


def generate(
    model: keras.Model,
    vocabulary: Vocabulary,
    prompt: str,
    max_words: int = 50,
    temperature: float = 1.0,
    seed: int | None = None,
) -> str:
    """Continues a prompt, one word at a time.

    From a zero inference state the model reads the prompt; then each next word is drawn from

    `p(w) = softmax(logits / temperature)[w]`

    and read in turn, with the state carried from word to word. Nothing is dropped, and training's
    state stays as it is.

    Args:
        model: a model with carried state, from integer ids `(batch, time)` to logits
            `(batch, time, vocabulary)`, of which a call sees `(1, 1)`.
        vocabulary: the `Vocabulary` of the model.
        prompt: words with whitespace between. A newline is `<eos>`, a word that the vocabulary
            lacks is `<unk>`. An empty prompt stands for a new line.
        max_words: number of words to write.
        temperature: a number of at least 0. The model's own probabilities are at 1; below it,
            likely words become likelier; 0 takes the likeliest word always.
        seed: seed of the draws; the same seed gives the same text.

    Returns:
        The prompt and its continuation; each `<eos>` is a newline.

    Raises:
        ValueError: if the prompt has words that the vocabulary lacks and it has no `<unk>`, or
            another argument is out of its range.

    Example:

    >>> from awd_keras.data import Vocabulary
    >>> from awd_keras.generation import generate
    >>> from awd_keras.models import AWDLSTM
    >>> vocabulary = Vocabulary.from_words("the cat sat on the mat <eos>".split())
    >>> model = AWDLSTM(len(vocabulary), embedding_dim=8, hidden_units=8, num_layers=1)
    >>> text = generate(model, vocabulary, "the cat", max_words=5, seed=1)
    >>> text.startswith("the cat"), len(text.replace("\\n", " <eos> ").split())
    (True, 7)
    """
    check_positive_integer("max_words", max_words)
    if not isinstance(temperature, numbers.Real) or not 0 <= temperature < math.inf:
        raise ValueError(
            f"Argument `temperature` must be a number of at least 0. Received: temperature={temperature!r}"
        )
    if seed is not None:
        check_not_negative_integer("seed", seed)
    prompt = prompt.replace("\n", f" {EOS} ").split()
    ids = _encode(prompt, vocabulary)
    rng = np.random.default_rng(seed)
    # The callback knows where a model's states are.
    reset = ResetStates()
    reset.set_model(model)
    reset.on_predict_begin()
    for word in ids or _encode([EOS], vocabulary):
        logits = _step(model, word)
    written = []
    for _ in range(max_words):
        word = _draw(logits, temperature, rng)
        written.append(word)
        if len(written) < max_words:
            logits = _step(model, word)
    return _text([*prompt, *vocabulary.decode(written)])


def _encode(words, vocabulary):
    unknown = [word for word in words if word not in vocabulary]
    if unknown and UNK not in vocabulary:
        raise ValueError(
            f"Argument `prompt` must be of words of the vocabulary, which has no {UNK} for others. "
            f"Received: {', '.join(map(repr, unknown))}"
        )
    return vocabulary.encode(words).tolist()


def _step(model, word):
    return np.asarray(model.predict_on_batch(np.array([[word]], dtype="int32")))[0, -1]


def _draw(logits, temperature, rng):
    if temperature == 0:
        return int(np.argmax(logits))
    # The largest is taken off before the division: at a small temperature only it would overflow.
    shares = np.exp((logits.astype("float64") - logits.max()) / temperature)
    return int(rng.choice(len(shares), p=shares / shares.sum()))


def _text(words):
    lines: list[list[str]] = [[]]
    for word in words:
        if word == EOS:
            lines.append([])
        else:
            lines[-1].append(word)
    return "\n".join(" ".join(line) for line in lines)
