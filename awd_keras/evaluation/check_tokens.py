"""The check of a text that a model is to read."""

import numpy as np


def check_tokens(tokens, model):
    """Raises ValueError unless these are token ids of the model's vocabulary; returns them as an array."""
    tokens = np.asarray(tokens)
    if tokens.ndim != 1 or not np.issubdtype(tokens.dtype, np.integer):
        raise ValueError(
            "Argument `tokens` must be a 1-D array of integer token ids. "
            f"Received: an array of shape {tokens.shape} and dtype {tokens.dtype}"
        )
    vocabulary_size = getattr(model, "vocabulary_size", None)
    if vocabulary_size is not None and tokens.size:
        low, high = int(tokens.min()), int(tokens.max())
        if low < 0 or high >= vocabulary_size:
            raise ValueError(
                f"Argument `tokens` must hold ids in [0, {vocabulary_size}), the model's "
                f"vocabulary. Received: ids from {low} to {high}"
            )
    return tokens
