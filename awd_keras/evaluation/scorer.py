"""A model at inference, under a compile state of its own."""

import contextlib

import keras
from keras import ops

from awd_keras.callbacks import ResetStates


class Scorer(keras.Model):
    """Runs a model at inference under a compile state of its own.

    Args:
        model: a model from ids to logits, or to `[logits, hidden states]`.
    """

    def __init__(self, model):
        super().__init__(name="scorer")  # TensorFlow takes no name with a leading underscore.
        self.scored = model
        # Nothing is left to build. Keras's NumPy backend would do it by a call on ids that are no ids.
        self.built = True

    def call(self, inputs):
        # All that is asked of the logits is a cross-entropy.
        with getattr(self.scored, "deferring_logits", contextlib.nullcontext)():
            outputs = self.scored(inputs, training=False)
        return outputs[0] if isinstance(outputs, (list, tuple)) else outputs

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=False):
        # Keras averages the loss over batches and adds the penalties to it. The metric, which
        # counts every token once and knows no penalty, is the score.
        return ops.zeros(())

    def begin_text(self):
        """Zeroes the state that the model carries at inference; `evaluate` and `predict` take the callback instead."""
        reset = ResetStates()
        reset.set_model(self)
        reset.on_test_begin()
