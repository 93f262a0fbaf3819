"""The loss of language models."""

from awd_keras.losses.token_cross_entropy import TokenCrossEntropy

__all__ = ["TokenCrossEntropy"]
