"""A model that learns as it reads."""

from awd_keras import backend
from awd_keras.evaluation.scorer import Scorer
from awd_keras.evaluation.unchanged import unchanged
from awd_keras.losses import TokenCrossEntropy
from awd_keras.metrics import MeanCrossEntropy


class Adapter(Scorer):
    """Takes the gradients of the cross-entropy alone, with nothing dropped, and hands them to an optimizer.

    Args:
        model: a model from ids to logits, or to `[logits, hidden states]`.
        optimizer: the Keras optimizer.
    """

    def __init__(self, model, optimizer):
        super().__init__(model)
        self.compile(optimizer=optimizer, metrics=[MeanCrossEntropy()], jit_compile=backend.jit_compile())

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return TokenCrossEntropy(dtype="float32")(y, y_pred)

    def read(self, dataset, verbose):
        """Reads a `BPTTDataset` once, with an optimizer's step after each window.

        All of the model's variables are then put back as they were.

        Returns:
            The mean cross-entropy, each token's before the step that it has a part in.
        """
        if not self.scored.built:
            self(dataset[0][0])
        with unchanged(self.scored):
            self.begin_text()
            self.optimizer.build(self.scored.trainable_variables)
            history = self.fit(dataset, verbose=verbose)
        return history.history["cross_entropy"][0]
