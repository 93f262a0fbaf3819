"""How well a model predicts a text."""

import math
import time
from typing import NamedTuple

import keras
import numpy as np

from awd_keras.data import BPTTDataset, Vocabulary
from awd_keras.evaluation.reading import check_tokens, read_nats


class Score(NamedTuple):
    """How well a model predicts a stream of tokens.

    Attributes:
        loss: mean cross-entropy in nats a predicted token, penalties excluded.
        perplexity: `exp(loss)`.
        bits_per_token: `loss / log(2)`.
        tokens: number of predicted tokens that the mean is over.
        seconds: wall-clock time of the scoring, compilation included.
        unknown_tokens: number of predicted tokens that are `<unk>`; None where no vocabulary was given.
    """

    loss: float
    perplexity: float
    bits_per_token: float
    tokens: int
    seconds: float
    unknown_tokens: int | None = None

    @classmethod
    def of(cls, loss: float, tokens: int, seconds: float, unknown_tokens: int | None = None) -> "Score":
        """The score of a mean cross-entropy in nats."""
        return cls(
            loss=loss,
            # exp overflows a double above 709 nats: a diverged model.
            perplexity=math.exp(loss) if not loss > 709.0 else math.inf,
            bits_per_token=loss / math.log(2.0),
            tokens=tokens,
            seconds=seconds,
            unknown_tokens=unknown_tokens,
        )


def count_unknown(vocabulary: Vocabulary | None, tokens: np.ndarray, predicted: int) -> int | None:
    """How many of the first `predicted` tokens that a text has to predict are `<unk>`; None without a vocabulary."""
    return None if vocabulary is None else vocabulary.count_unknown(np.asarray(tokens)[1 : predicted + 1])


def perplexity(
    model: keras.Model,
    tokens: np.ndarray,
    batch_size: int = 1,
    bptt: int = 70,
    vocabulary: Vocabulary | None = None,
) -> Score:
    """Perplexity of a language model on a stream of tokens.

    The stream is cut into `batch_size` rows, each read from left to right in windows of `bptt`
    tokens with the state carried from one to the next, from a zero state at the rows' start:

    `perplexity = exp(-1/N * sum_t log p(w[t] | w[1], ..., w[t - 1]))`

    over the `N` predicted tokens. AR, TAR and other penalties are excluded, every token counts
    the same, and `bptt` changes speed and memory alone. The model's weights, optimizer, metrics
    and training state stay as they are. See section 5 of Merity, Keskar, Socher (2017),
    arXiv 1708.02182; its test perplexities are of `batch_size=1`.

    Args:
        model: a model from integer ids `(batch, time)` to logits `(batch, time, vocabulary)`, or to two outputs, of
            which the logits are the first.
        tokens: 1-D integer array of token ids.
        batch_size: number of rows, at most the batch size that the model was built for. The
            tokens that do not fill a column of rows are dropped, at most `batch_size` of them.
        bptt: tokens in a window.
        vocabulary: the `Vocabulary` of the model, or None. With it, the score tells how many tokens are `<unk>`.

    Returns:
        A `Score`.

    Raises:
        ValueError: if `tokens` is not 1-D, not of integers, too short for the rows, or holds an
            id outside the model's vocabulary.

    Example:

    >>> import numpy as np
    >>> from awd_keras.evaluation import perplexity
    >>> from awd_keras.models import AWDLSTM
    >>> model = AWDLSTM(vocabulary_size=16, embedding_dim=8, hidden_units=12, num_layers=2)
    >>> model.build((1, None))
    >>> model.set_weights([0 * weight for weight in model.get_weights()])  # It knows nothing.
    >>> score = perplexity(model, np.arange(101) % 16)
    >>> round(score.perplexity, 3), round(score.bits_per_token, 3), score.tokens
    (16.0, 4.0, 100)
    """
    tokens = check_tokens(tokens, model)
    dataset = BPTTDataset(tokens, batch_size, bptt=bptt, variable=False)
    start = time.perf_counter()
    nats = read_nats(model, dataset)
    seconds = time.perf_counter() - start
    unknown_tokens = count_unknown(vocabulary, tokens, nats.size)
    return Score.of(float(np.mean(nats, dtype="float64")), nats.size, seconds, unknown_tokens)
