"""The sizes, rates and texts of both trainings. These are only numbers, so that the trainings share no code."""

import dataclasses
import itertools

import numpy as np


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All parts of AWD-LSTM are on, and so strong that 50 steps show if one is missing."""

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
    # JAX compiles each length of window. This leaves at most five.
    length_multiple: int = 5
    tokens_per_row: int = 80
    epochs: int = 8
    valid_batch_size: int = 2
    valid_tokens_per_row: int = 60
    # The last window is shorter than the others, so that a mean over tokens differs from a mean over windows.
    valid_bptt: int = 16
    seed: int = 4

    # The standard deviation of the initial weights, so large that the LSTMs matter in such a short text.
    deviation: float = 0.7

    @property
    def layer_sizes(self) -> list[tuple[int, int]]:
        """Features and units of each LSTM."""
        sizes = [self.embedding_dim, *[self.hidden_units] * (self.num_layers - 1), self.embedding_dim]
        return list(itertools.pairwise(sizes))

    def texts(self) -> tuple[np.ndarray, np.ndarray]:
        """The tokens for training and for validation.

        A few words are frequent, but not the same ones in validation as in training. So the better the model knows the
        training text, the worse it predicts the other, which starts averaging after the first epochs.
        """
        rng = np.random.default_rng(self.seed)
        p = 1 / np.arange(1, self.vocabulary_size + 1)
        p /= p.sum()
        train = rng.choice(self.vocabulary_size, self.batch_size * self.tokens_per_row + 1, p=p)
        q = 0.7 * p + 0.3 * p[::-1]
        valid = rng.choice(self.vocabulary_size, self.valid_batch_size * self.valid_tokens_per_row + 1, p=q)
        return train, valid
