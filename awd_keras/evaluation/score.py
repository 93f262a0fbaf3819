"""What scoring a model gives."""

import math
from typing import NamedTuple

import numpy as np

from awd_keras.data import Vocabulary


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
