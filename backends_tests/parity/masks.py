"""Finds the masks that a model is going to draw, without looking into the model.

A mask is a function of a layer's seed and of how often the layer was called in training. So a second layer, made from
the first one's `get_config()`, draws the same masks in the same order, whatever its weights are. With suitable weights
and inputs, its output shows the masks. So the library needs no hook, and no mask is taken from the model that trains:
if these were other masks, no step would agree.
"""

import numpy as np
from keras import ops


def masks(model, batch_size):
    """Yields, for each training step, a dictionary of the layers' masks by name, which are True where values are kept.

    Their shapes are `(words,)` for the embedding, `(batch, features)` for locked dropout, `(units, 4 * units)` for an
    LSTM.
    """
    draws = {model.embedding.name: _words(model.embedding)}
    features = model.embedding_dim
    draws[model.input_locked_dropout.name] = _features(model.input_locked_dropout, batch_size, features)
    for lstm, dropout in zip(model.lstms, model.locked_dropouts, strict=True):
        draws[lstm.name] = _recurrent_weights(lstm)
        draws[dropout.name] = _features(dropout, batch_size, lstm.units)
    while True:
        yield {name: next(draw) for name, draw in draws.items()}


def _copy(layer, **changes):
    return type(layer).from_config({**layer.get_config(), **changes})


def _words(layer):
    """The mask of words: every word is looked up in a table of ones."""
    copy = _copy(layer, embeddings_initializer="ones")
    ids = np.arange(layer.input_dim)
    while True:
        yield ops.convert_to_numpy(copy(ids, training=True))[:, 0] > 0


def _features(layer, batch_size, features):
    copy = _copy(layer)
    ones = np.ones((batch_size, 1, features), "float32")
    while True:
        yield ops.convert_to_numpy(copy(ones, training=True))[:, 0] > 0


def _recurrent_weights(layer):
    """The mask of recurrent weights, from one linear time step with c = 10 and, in row r, an h that is 1 at r only.

    The recurrent weights are such that a weight that is kept adds 1. With the bits m of row r, the gates are then

        i = 1 + m_i,  f = m_f,  content = 2 + m_c,  o = 1 + m_o

    and the four bits follow from `c' = 10 f + i * content`, where `i * content` is 2, 3, 4 or 6, and `h' = o * c'`.
    """
    units = layer.units
    copy = _copy(
        layer,
        activation="linear",
        recurrent_activation="linear",
        activity_regularizer=None,
        stateful=False,
        return_state=True,
    )
    copy.build((units, 1, 1))
    weight = np.full((units, 4 * units), 1 - layer.weight_drop)
    copy.set_weights([np.zeros((1, 4 * units)), weight, np.repeat([1.0, 0.0, 2.0, 1.0], units)])
    nothing = np.zeros((units, 1, 1), "float32")
    state = [np.eye(units, dtype="float32"), np.full((units, units), 10, "float32")]
    while True:
        _, h, c = copy(nothing, initial_state=state, training=True)
        h, c = (ops.convert_to_numpy(part) for part in (h, c))
        o = np.rint(h / c) - 1
        f, product = np.divmod(np.rint(c), 10)
        i = product > 3
        content = product / (1 + i) - 2
        bits = np.concatenate([i, f, content, o], axis=-1)
        # Values other than 0 and 1 would mean that the layer doesn't compute the equations above.
        assert set(np.unique(bits)) == {0, 1}
        assert np.abs(c - np.rint(c)).max() < 1e-4
        yield bits.astype(bool)
