"""The text for the benchmark of the cache."""

import numpy as np


def draw(shape, tokens):
    """Hidden states (tokens, embedding_dim) and the words (tokens,) after them. Shorter texts are prefixes."""
    states = np.random.default_rng(0).uniform(-0.3, 0.3, size=(tokens, shape.embedding_dim)).astype("float32")
    return states, np.random.default_rng(1).integers(shape.vocabulary_size, size=tokens).astype("int32")
