"""The perplexity of a model on a stream of tokens."""

import time

import keras
import numpy as np

from awd_keras import backend
from awd_keras.callbacks import ResetStates
from awd_keras.data import BPTTDataset, Vocabulary
from awd_keras.evaluation.check_tokens import check_tokens
from awd_keras.evaluation.score import Score, count_unknown
from awd_keras.evaluation.scorer import Scorer
from awd_keras.metrics import MeanCrossEntropy


def perplexity(
    model: keras.Model,
    tokens: np.ndarray,
    batch_size: int = 1,
    bptt: int = 70,
    vocabulary: Vocabulary | None = None,
) -> Score:
    """Perplexity of a language model on a stream of tokens.

    The stream is cut into `batch_size` rows, each read from left to right in windows of `bptt`
    tokens with the state carried from one to the next, from a zero state at the rows' start:

    `perplexity = exp(-1/N * sum_t log p(w[t] | w[1], ..., w[t - 1]))`

    over the `N` predicted tokens. AR, TAR and other penalties are excluded, every token counts
    the same, and `bptt` changes speed and memory alone. The model's weights, optimizer, metrics
    and training state stay as they are. See section 5 of Merity, Keskar, Socher (2017),
    arXiv 1708.02182; its test perplexities are of `batch_size=1`.

    Args:
        model: a model from integer ids `(batch, time)` to logits `(batch, time, vocabulary)`, or to two outputs, of
            which the logits are the first.
        tokens: 1-D integer array of token ids.
        batch_size: number of rows, at most the batch size that the model was built for. The
            tokens that do not fill a column of rows are dropped, at most `batch_size` of them.
        bptt: tokens in a window.
        vocabulary: the `Vocabulary` of the model, or None. With it, the score tells how many tokens are `<unk>`.

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
    tokens = check_tokens(tokens, model)
    dataset = BPTTDataset(tokens, batch_size, bptt=bptt, variable=False)
    scorer = Scorer(model)
    scorer.compile(metrics=[MeanCrossEntropy()], jit_compile=backend.jit_compile())
    start = time.perf_counter()
    logs = scorer.evaluate(dataset, callbacks=[ResetStates()], verbose=0, return_dict=True)
    seconds = time.perf_counter() - start
    count = int(batch_size * np.sum(dataset.window_lengths()))
    return Score.of(float(logs["cross_entropy"]), count, seconds, count_unknown(vocabulary, tokens, count))
