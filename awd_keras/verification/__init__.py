"""Whether the regularization is really on: the checks behind `awd-keras verify`."""

from awd_keras.verification.check import Check
from awd_keras.verification.verify import verify

__all__ = ["Check", "verify"]
