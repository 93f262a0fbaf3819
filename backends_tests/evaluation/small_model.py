"""The models and the text for the tests of evaluation and of generation."""

import keras
import numpy as np
from keras import ops

from awd_keras.models import AWDLSTM
from backends_tests.helpers import draw_weights

WORDS = 30


def make_model(batch_size=4, vocabulary_size=WORDS, **settings):
    # With regularization, so that a test sees if something is left on at inference.
    model = AWDLSTM(vocabulary_size, embedding_dim=12, hidden_units=16, num_layers=1, seed=3, **settings)
    model.build((batch_size, None))
    # Large weights: with the initial ones, all words would have about the same probability.
    rng = np.random.default_rng(5)
    draw_weights(model, rng, 0.7)
    return model


class Counted(AWDLSTM):
    """Counts how often Python runs it: once for each program if compiled, else once for each window."""

    runs = 0

    def call(self, inputs, training=False, return_hidden_states=False):
        self.runs += 1
        return super().call(inputs, training=training, return_hidden_states=return_hidden_states)


def make_bigrams(rng):
    """A user's model with two outputs. A word's row of a table is the next word's logits and the hidden state."""
    ids = keras.Input((None,), dtype="int32")
    rows = keras.layers.Embedding(WORDS, WORDS)(ids)
    model = keras.Model(ids, [rows, rows])
    model.set_weights([rng.normal(size=(WORDS, WORDS))])
    return model


def same_logits(logits):
    """A model that gives the same logits after every word, so that the words are independent draws."""
    model = keras.Sequential([keras.layers.Embedding(len(logits), len(logits))])
    model.build((1, 1))
    model.set_weights([np.tile(np.array(logits, "float32"), (len(logits), 1))])
    return model


def make_text(length):
    """A text in which a word is mostly followed by the same one, from which a cache and an adapting model gain."""
    rng = np.random.default_rng(7)
    text = np.tile(rng.integers(WORDS, size=9), length // 9 + 1)[:length]
    return np.where(rng.random(length) < 0.3, rng.integers(WORDS, size=length), text).astype("int32")


def values(variables):
    return [ops.convert_to_numpy(variable).copy() for variable in variables]


def everything(model):
    """All that scoring must not change in a trained model: weights, seeds, training states, optimizer, metrics."""
    states = [id(part) for lstm in model.lstms for part in lstm.inference_state]
    kept = [variable for variable in model.variables if id(variable) not in states]
    return values([*kept, *model.optimizer.variables, *model.optimizer._iterates, *model.metrics_variables])
