"""Text that a language model writes."""

from collections.abc import Sequence
from typing import TypeVar

import keras

from awd_keras.data import Vocabulary
from awd_keras.generation.stream import stream

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
