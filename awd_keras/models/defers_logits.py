"""A model whose training and test steps can do without the logits."""

import contextlib

import keras

from awd_keras.deferred_logits import deferring
from awd_keras.losses import TokenCrossEntropy
from awd_keras.metrics import MeanCrossEntropy

# From here on it's the default. The logits of the paper's windows, of 80 rows and 70 tokens, then take 700 MiB.
LARGE_VOCABULARY = 2**15


class DefersLogits(keras.Model):
    """A `keras.Model` that gives `DeferredLogits` where `defers_logits()` says so.

    That's in its own `fit` and `evaluate`, where these don't want more than the cross-entropy, and where somebody else
    who doesn't says so by `deferring_logits`. Elsewhere the model gives its logits.

    The model has the attributes `chunked_cross_entropy`, a boolean or None, and `vocabulary_size`.
    """

    @contextlib.contextmanager
    def deferring_logits(self):
        """A context in which the model may give, for its logits, what only knows their cross-entropy."""
        # Not an attribute of the model: TensorFlow's replicas are threads, each in the middle of its own step.
        before = deferring.set(self)
        try:
            yield
        finally:
            deferring.reset(before)

    def defers_logits(self):
        chunked = self.chunked_cross_entropy
        large = self.vocabulary_size > LARGE_VOCABULARY
        return deferring.get() is self and (large if chunked is None else chunked)

    def compile(self, *, loss, metrics, weighted_metrics=None, **kwargs):
        asking = [
            one
            for one in keras.tree.flatten([metrics, weighted_metrics])
            if one is not None and not isinstance(one, MeanCrossEntropy)
        ]
        if not isinstance(loss, TokenCrossEntropy) or loss.reduction in (None, "none"):
            asking.append(loss)
        if type(self).compute_loss is not keras.Model.compute_loss:  # whose targets may not be those of the metrics
            asking.append("compute_loss")
        if asking and self.chunked_cross_entropy:
            raise ValueError(
                "Argument `chunked_cross_entropy` must not be True where `compile` is given another loss than a "
                "reduced `TokenCrossEntropy`, other metrics than this library's or a `compute_loss` of its own. "
                f"Received: {asking[0]!r}"
            )
        self._only_cross_entropy = not asking
        super().compile(loss=loss, metrics=metrics, weighted_metrics=weighted_metrics, **kwargs)

    def train_step(self, *args):
        with self._own_step():
            return super().train_step(*args)

    def test_step(self, *args):
        with self._own_step():
            return super().test_step(*args)

    def _own_step(self):
        return self.deferring_logits() if self._only_cross_entropy else contextlib.nullcontext()
