"""All that differs between frameworks, under the same few names in each file.

The functions are taken from the file of the framework that Keras runs on, and from `generic` for any other. The masks
of tensors are Keras's own, the same everywhere, but not public.
"""

import keras
from keras.src.backend import get_keras_mask, set_keras_mask

from awd_keras.backend.generic import lstm as generic_lstm

match keras.config.backend():
    case "jax":
        from awd_keras.backend.jax import (
            jit_compile,
            keep_mask,
            length_multiple,
            lstm,
            lstm_supports_jit,
        )
    case "tensorflow":
        from awd_keras.backend.tensorflow import (
            jit_compile,
            keep_mask,
            length_multiple,
            lstm,
            lstm_supports_jit,
        )
    case "torch":
        from awd_keras.backend.torch import (
            jit_compile,
            keep_mask,
            length_multiple,
            lstm,
            lstm_supports_jit,
        )
    case _:
        from awd_keras.backend.generic import (
            jit_compile,
            keep_mask,
            length_multiple,
            lstm,
            lstm_supports_jit,
        )

__all__ = [
    "generic_lstm",
    "get_keras_mask",
    "jit_compile",
    "keep_mask",
    "length_multiple",
    "lstm",
    "lstm_supports_jit",
    "set_keras_mask",
]
