"""What both sides train: sizes, rates, texts. Numbers only, so that the two share nothing else."""

import dataclasses
import itertools

import numpy as np


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Every part of AWD-LSTM is on, and strong enough to be missed within 50 steps."""

    vocabulary_size: int = 50
    embedding_dim: int = 8
    hidden_units: int = 12
    num_layers: int = 2
    embedding_dropout: float = 0.1
    input_dropout: float = 0.2
    hidden_dropout: float = 0.15
    output_dropout: float = 0.25
    weight_drop: float = 0.3
    alpha: float = 2.0
    beta: float = 1.0
    learning_rate: float = 6.0
    weight_decay: float = 5e-4
    global_clipnorm: float = 0.2
    non_monotone_interval: int = 2
    batch_size: int = 4
    bptt: int = 10
    # JAX compiles each length of window: this leaves it five at most.
    length_multiple: int = 5
    tokens_per_row: int = 80
    epochs: int = 8
    valid_batch_size: int = 2
    valid_tokens_per_row: int = 60
    # The last window is shorter than the others, so that it matters whether tokens count the same or windows do.
    valid_bptt: int = 16
    seed: int = 4

    # Of the weights to begin with: so large that the LSTMs matter in a text that is this short.
    deviation: float = 0.7

    @property
    def layer_sizes(self) -> list[tuple[int, int]]:
        """Features and units of each LSTM."""
        sizes = [self.embedding_dim, *[self.hidden_units] * (self.num_layers - 1), self.embedding_dim]
        return list(itertools.pairwise(sizes))

    def texts(self) -> tuple[np.ndarray, np.ndarray]:
        """Tokens to train with and to validate with.

        A few words are frequent, and others in validation than in training: the better the model knows the one text,
        the less it expects the other, which is what sets off averaging after the first epochs.
        """
        rng = np.random.default_rng(self.seed)
        p = 1 / np.arange(1, self.vocabulary_size + 1)
        p /= p.sum()
        train = rng.choice(self.vocabulary_size, self.batch_size * self.tokens_per_row + 1, p=p)
        q = 0.7 * p + 0.3 * p[::-1]
        valid = rng.choice(self.vocabulary_size, self.valid_batch_size * self.valid_tokens_per_row + 1, p=q)
        return train, valid
