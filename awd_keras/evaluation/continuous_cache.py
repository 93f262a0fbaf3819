"""The continuous cache: a distribution over the words that followed states like the current one."""

import keras
import numpy as np
from keras import ops

from awd_keras import backend


class ContinuousCache(keras.Model):
    """The last hidden states and the words that followed them, each state with a word an entry.

    With `h[i], w[i + 1]` the entries of the last `window` tokens before `t`, the cache gives the word `w`

        p(w) = sum_i exp(theta * h[t] . h[i]) [w[i + 1] = w] / sum_i exp(theta * h[t] . h[i])

    Only the word that came is looked up, so that nothing is as wide as the vocabulary. Each window of the text is one
    product with all states that any of its tokens can see, (time, window + time), in which each token is kept to its
    own.

    Source: section 3 of Grave, Joulin, Usunier (2016), arXiv 1612.04426.

    Args:
        window: positive integer, the number of entries.
        theta: float of at least 0; the larger, the more the likest states count.
        hidden_size: positive integer, the size of a state.
    """

    def __init__(self, window, theta, hidden_size):
        super().__init__(name="continuous_cache", dtype="float32")
        self.window = window
        self.theta = theta
        self.hidden_states = self.add_weight(
            shape=(window, hidden_size), initializer="zeros", trainable=False, name="hidden_states"
        )
        # -1, which no word is, where there is no entry yet.
        self.words = self.add_weight(
            shape=(window,), initializer=keras.initializers.Constant(-1), dtype="int32", trainable=False, name="words"
        )
        self.built = True
        self.compile(jit_compile=backend.jit_compile())

    def call(self, inputs):
        states, words = inputs
        all_states = ops.concatenate([ops.convert_to_tensor(self.hidden_states), states], axis=0)
        all_words = ops.concatenate([ops.convert_to_tensor(self.words), words], axis=0)
        scores = ops.multiply(self.theta, ops.matmul(states, ops.transpose(all_states)))
        # Entry t + window is the token itself, whose next word it mustn't know.
        token = ops.expand_dims(ops.arange(ops.shape(states)[0], dtype="int32"), axis=1)
        entry = ops.expand_dims(ops.arange(ops.shape(all_states)[0], dtype="int32"), axis=0)
        seen = ops.logical_and(ops.greater_equal(entry, token), ops.less(entry, ops.add(token, self.window)))
        seen = ops.logical_and(seen, ops.greater_equal(all_words, 0))
        same = ops.logical_and(seen, ops.equal(ops.expand_dims(words, axis=1), all_words))
        self.hidden_states.assign(all_states[-self.window :])
        self.words.assign(all_words[-self.window :])
        # Two sums, each from its own largest term: with a large theta, the terms of the word would be 0 beside others.
        return ops.subtract(_log_sum(scores, same), _log_sum(scores, seen))

    def log_probabilities(self, window) -> np.ndarray:
        """Log-probabilities (time,) of the words of a `Window`, which become entries.

        The text's first token, before which there are no entries, has NaN.
        """
        return np.asarray(self.predict_on_batch((window.hidden_states, window.words)))


def _log_sum(scores, where):
    return ops.logsumexp(ops.where(where, scores, -np.inf), axis=1)
