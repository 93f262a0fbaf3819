"""The perplexity of a model on a stream of tokens."""

import math
import time
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from awd_keras import backend
from awd_keras.callbacks import ResetStates
from awd_keras.data import BPTTDataset
from awd_keras.metrics import MeanCrossEntropy


class Score(NamedTuple):
    """How well a model predicts a stream of tokens.

    Attributes:
        loss: mean cross-entropy in nats a predicted token, penalties excluded.
        perplexity: `exp(loss)`.
        bits_per_token: `loss / log(2)`.
        tokens: number of predicted tokens that the mean is over.
        seconds: wall-clock time of the scoring, compilation included.
    """

    loss: float
    perplexity: float
    bits_per_token: float
    tokens: int
    seconds: float


class _Scorer(keras.Model):
    """Runs a model at inference under a compile state of its own."""

    def __init__(self, model):
        super().__init__(name="scorer")  # TensorFlow takes no name with a leading underscore.
        self.scored = model

    def call(self, inputs):
        return self.scored(inputs, training=False)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=False):
        # Keras averages the loss over batches and adds the penalties to it. The metric, which
        # counts every token once and knows no penalty, is the score.
        return ops.zeros(())


def perplexity(model: keras.Model, tokens, batch_size: int = 1, bptt: int = 70) -> Score:
    """Perplexity of a language model on a stream of tokens.

    The stream is cut into `batch_size` rows, each read from left to right in windows of `bptt`
    tokens with the state carried from one to the next, from a zero state at the rows' start:

    `perplexity = exp(-1/N * sum_t log p(w[t] | w[1], ..., w[t - 1]))`

    over the `N` predicted tokens. AR, TAR and other penalties are excluded, every token counts
    the same, and `bptt` changes speed and memory alone. The model's weights, optimizer, metrics
    and training state stay as they are. See section 5 of Merity, Keskar, Socher (2017),
    arXiv 1708.02182; its test perplexities are of `batch_size=1`.

    Args:
        model: a model from integer ids `(batch, time)` to logits `(batch, time, vocabulary)`.
        tokens: 1-D integer array of token ids.
        batch_size: number of rows, at most the batch size that the model was built for. The
            tokens that do not fill a column of rows are dropped, at most `batch_size` of them.
        bptt: tokens in a window.

    Returns:
        A `Score`.

    Raises:
        ValueError: if `tokens` is not 1-D, not of integers, too short for the rows, or holds an
            id outside the model's vocabulary.

    Example:

    >>> import numpy as np
    >>> from awd_keras.evaluation import perplexity
    >>> from awd_keras.models import AWDLSTM
    >>> model = AWDLSTM(vocabulary_size=16, embedding_dim=8, hidden_units=12, num_layers=2)
    >>> model.build((1, None))
    >>> model.set_weights([0 * weight for weight in model.get_weights()])  # It knows nothing.
    >>> score = perplexity(model, np.arange(101) % 16)
    >>> round(score.perplexity, 3), round(score.bits_per_token, 3), score.tokens
    (16.0, 4.0, 100)
    """
    tokens = _check_tokens(tokens, getattr(model, "vocabulary_size", None))
    dataset = BPTTDataset(tokens, batch_size, bptt=bptt, variable=False)
    scorer = _Scorer(model)
    scorer.compile(metrics=[MeanCrossEntropy()], jit_compile=backend.jit_compile())
    start = time.perf_counter()
    logs = scorer.evaluate(dataset, callbacks=[ResetStates()], verbose=0, return_dict=True)
    seconds = time.perf_counter() - start
    loss = float(logs["cross_entropy"])
    # exp overflows a double above 709 nats: a diverged model.
    return Score(
        loss=loss,
        perplexity=math.exp(loss) if not loss > 709.0 else math.inf,
        bits_per_token=loss / math.log(2.0),
        tokens=int(batch_size * np.sum(dataset.window_lengths())),
        seconds=seconds,
    )


def _check_tokens(tokens, vocabulary_size):
    tokens = np.asarray(tokens)
    if tokens.ndim != 1 or not np.issubdtype(tokens.dtype, np.integer):
        raise ValueError(
            "Argument `tokens` must be a 1-D array of integer token ids. "
            f"Received: an array of shape {tokens.shape} and dtype {tokens.dtype}"
        )
    if vocabulary_size is not None and tokens.size:
        low, high = int(tokens.min()), int(tokens.max())
        if low < 0 or high >= vocabulary_size:
            raise ValueError(
                f"Argument `tokens` must hold ids in [0, {vocabulary_size}), the model's "
                f"vocabulary. Received: ids from {low} to {high}"
            )
    return tokens
