"""What scoring a model gives."""

import math
from typing import NamedTuple


class Score(NamedTuple):
    """How well a model predicts a stream of tokens.

    Attributes:
        loss: mean cross-entropy in nats a predicted token, penalties excluded.
        perplexity: `exp(loss)`.
        bits_per_token: `loss / log(2)`.
        tokens: number of predicted tokens that the mean is over.
        seconds: wall-clock time of the scoring, compilation included.
    """

    loss: float
    perplexity: float
    bits_per_token: float
    tokens: int
    seconds: float

    @classmethod
    def of(cls, loss: float, tokens: int, seconds: float) -> "Score":
        """The score of a mean cross-entropy in nats."""
        return cls(
            loss=loss,
            # exp overflows a double above 709 nats: a diverged model.
            perplexity=math.exp(loss) if not loss > 709.0 else math.inf,
            bits_per_token=loss / math.log(2.0),
            tokens=tokens,
            seconds=seconds,
        )
