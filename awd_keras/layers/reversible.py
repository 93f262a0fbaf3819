"""Layers that are embeddings, and turn around to say how likely each word is."""

from typing import Any

import keras

from awd_keras.checks import check_floats, check_shape


class Reversible(keras.layers.Layer):
    """A layer from ids (...,) to embeddings (..., output_dim), and called with `reverse=True` from these to words.

    A class of these has the attributes `input_dim`, the number of words, and `output_dim`, and the methods
    `_check_ids(inputs)` and `_words_dtype()`, which gives the dtype of what comes in reverse, (..., input_dim). To be
    put before one of Keras's layers in the list of bases.
    """

    def _check_ids(self, inputs):
        raise NotImplementedError

    def _words_dtype(self):
        raise NotImplementedError

    def _check_states(self, inputs):
        check_floats("inputs", inputs)
        check_shape("inputs", inputs, (*inputs.shape[:-1], self.output_dim))

    def compute_output_shape(self, input_shape: Any, reverse: bool = False) -> tuple:
        return (*input_shape[:-1], self.input_dim) if reverse else (*input_shape, self.output_dim)

    def compute_output_spec(self, inputs: Any, reverse: bool = False, training: bool = False) -> keras.KerasTensor:
        # As in a call, of the flat values where they are ragged.
        flat = keras.KerasTensor(inputs.shape, dtype=inputs.dtype)
        (self._check_states if reverse else self._check_ids)(flat)
        return keras.KerasTensor(
            self.compute_output_shape(inputs.shape, reverse=reverse),
            dtype=self._words_dtype() if reverse else self.compute_dtype,
            ragged=getattr(inputs, "ragged", False),
        )
