"""Optimizers."""

from awd_keras.optimizers.ntasgd import NTASGD

__all__ = ["NTASGD"]
