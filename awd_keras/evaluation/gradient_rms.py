"""How large the gradients of each weight are on the training set."""

import keras
import numpy as np
from keras import ops

from awd_keras.checks import check_positive_integer
from awd_keras.data import BPTTDataset
from awd_keras.evaluation.adapter import Adapter
from awd_keras.evaluation.check_tokens import check_tokens


class _SquaredGradients(keras.optimizers.Optimizer):
    """Changes no weight and adds up the squares of its gradients."""

    def build(self, variables):
        super().build(variables)
        self.sums = [self.add_variable_from_reference(variable, name="sum") for variable in variables]

    def update_step(self, gradient, variable, learning_rate):
        # On TensorFlow an embedding's gradient is a list of rows, in which a word that occurs twice has two.
        gradient = ops.reshape(gradient, variable.shape)
        self.assign_add(self.sums[self._get_variable_index(variable)], ops.square(gradient))


def gradient_rms(
    model: keras.Model, tokens: np.ndarray, batch_size: int = 20, bptt: int = 5, verbose: int | str = 0
) -> list[np.ndarray]:
    """Root mean squares of a model's gradients on its training set, which dynamic evaluation scales its steps by.

    For the gradients `g_k` of the mean cross-entropy of the windows `k = 1, ..., N` of the text, with nothing dropped,
    no penalties, and the weights as they are:

        rms = sqrt(1/N * sum_k g_k^2)

    The model stays as it is.

    Source: Krause, Kahembwe, Murray, Renals (2017), arXiv 1709.07432, section 5, with 100 rows.

    Args:
        model: a model from integer ids `(batch, time)` to logits `(batch, time, vocabulary)`, or to two outputs, of
            which the logits are the first.
        tokens: 1-D integer array of token ids, of the training set.
        batch_size: number of rows, at most the batch size that the model was built for. Gradients of more rows are
            smaller, and steps with `dynamic_perplexity` therefore larger.
        bptt: tokens in a window, as many as `dynamic_perplexity` has.
        verbose: Keras's; 1 shows the progress.

    Returns:
        A list of arrays, of the shapes of `model.trainable_variables`.

    Raises:
        ValueError: if an argument is out of its range, or the tokens aren't right for the model.

    Example:

    >>> import numpy as np
    >>> from awd_keras.evaluation import gradient_rms
    >>> from awd_keras.models import AWDLSTM
    >>> model = AWDLSTM(vocabulary_size=16, embedding_dim=8, hidden_units=12, num_layers=2)
    >>> rms = gradient_rms(model, np.arange(101) % 16, batch_size=4)
    >>> [array.shape for array in rms] == [tuple(w.shape) for w in model.trainable_variables]
    True
    """
    check_positive_integer("batch_size", batch_size)
    check_positive_integer("bptt", bptt)
    dataset = BPTTDataset(check_tokens(tokens, model), batch_size, bptt=bptt, variable=False)
    optimizer = _SquaredGradients(learning_rate=1.0, name="squared_gradients")
    Adapter(model, optimizer).read(dataset, verbose)
    return [np.sqrt(ops.convert_to_numpy(total) / len(dataset)) for total in optimizer.sums]
