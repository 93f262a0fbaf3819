"""How much each word of a text surprises a model."""

import math

import keras
import numpy as np

from awd_keras.data import EOS, BPTTDataset, Vocabulary
from awd_keras.data.words import split_words
from awd_keras.evaluation.reading import check_tokens, read_nats
from awd_keras.evaluation.surprisal_table import SurprisalTable


def surprisal(
    model: keras.Model, vocabulary: Vocabulary, text: str | np.ndarray, batch_size: int = 1, bptt: int = 70
) -> SurprisalTable:
    """The surprisal of each word of a text: the bits that the model needs for it.

    `bits[t] = -log2 p(w[t] | w[1], ..., w[t - 1])`

    The text is read as `perplexity` reads it, in `batch_size` rows and windows of `bptt` tokens with the state carried,
    so that the bits of a stream of tokens add up to `bits_per_token * tokens` of its score.

    A model knows ids alone, hence the vocabulary, which says what the words are.

    Args:
        model: a model from integer ids `(batch, time)` to logits `(batch, time, vocabulary)`, or to two outputs, of
            which the logits are the first.
        vocabulary: the `Vocabulary` of the model.
        text: a string of words with whitespace between, in which a newline is `<eos>` and a word that the vocabulary
            lacks is `<unk>`; it begins on a new line, so that its first word has a surprisal too. Or a 1-D integer
            array of token ids, whose first one has none, as nothing comes before it.
        batch_size: number of rows, at most the batch size that the model was built for. The words that do not fill a
            column of rows are left out, fewer than `batch_size` of them, and each row is read from a zero state.
        bptt: tokens in a window; it changes speed and memory alone.

    Returns:
        A `SurprisalTable`, which a notebook shows as coloured text, and `show()` in a terminal.

    Raises:
        ValueError: if the text has words that the vocabulary lacks and it has no `<unk>`, or is too short for the
            rows; or if ids are not 1-D, not integers, or outside the vocabulary.

    Example:

    >>> from awd_keras.data import Vocabulary
    >>> from awd_keras.evaluation import surprisal
    >>> from awd_keras.models import AWDLSTM
    >>> vocabulary = Vocabulary(["<eos>", "the", "cat", "sat"])
    >>> model = AWDLSTM(len(vocabulary), embedding_dim=8, hidden_units=12, num_layers=2)
    >>> model.build((1, None))
    >>> model.set_weights([0 * weight for weight in model.get_weights()])  # It knows nothing.
    >>> print(surprisal(model, vocabulary, "the cat sat"))
       bits  word
       2.00  the
       2.00  cat
       2.00  sat
    """
    if isinstance(text, str):
        text = vocabulary.encode([EOS, *split_words(text)])
    tokens = check_tokens(text, model)
    dataset = BPTTDataset(tokens, batch_size, bptt=bptt, variable=False)
    # The rows follow each other in the text.
    bits = read_nats(model, dataset).reshape(-1) / math.log(2)
    return SurprisalTable(vocabulary.decode(tokens[1 : len(bits) + 1]), bits, even_guess=math.log2(len(vocabulary)))
