"""The masks that a model is going to draw, seen from outside.

A mask is a function of a layer's seed and of how often the layer was called in training. So a second layer, made of the
first one's `get_config()`, draws the same masks one after the other, whatever its weights are; and with weights and
inputs that are chosen for it, its output shows them. The product needs no hook for that, and no mask is taken from the
model that trains: were these not the masks that it draws, no step would agree.
"""

import numpy as np
from keras import ops


def masks(model, batch_size):
    """Yields, for one training step after the other, the masks of each layer by its name, True where kept.

    `(words,)` of the embedding, `(batch, features)` of locked dropout, `(units, 4 * units)` of an LSTM.
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
    """A table of ones, of which every word is looked up."""
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
    """One linear time step from c = 10 and, in row r of the batch, an h that is 1 at r and 0 elsewhere.

    All recurrent weights are such that one that is kept counts 1. With the bits m of row r, the gates are then

        i = 1 + m_i,  f = m_f,  content = 2 + m_c,  o = 1 + m_o

    and `c' = 10 f + i * content`, where `i * content` is 2, 3, 4 or 6, and `h' = o * c'` give the four bits away.
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
        # Anything else than 0 and 1 would mean that the layer computes something else than is said above.
        assert set(np.unique(bits)) == {0, 1}
        assert np.abs(c - np.rint(c)).max() < 1e-4
        yield bits.astype(bool)
