"""The same stack out of Keras's own layers: no weight drop, embedding dropout, AR, TAR or carried state."""

import keras
import numpy as np


def training(shape, steps):
    """As `ours.training`."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(shape.vocabulary_size, size=(2, steps * shape.batch_size, shape.bptt))
    layers = [
        keras.Input((shape.bptt,), dtype="int32"),
        keras.layers.Embedding(shape.vocabulary_size, shape.embedding_dim),
        keras.layers.SpatialDropout1D(shape.input_dropout),
    ]
    for _, units in shape.layers:
        layers.append(keras.layers.LSTM(units, return_sequences=True))
        layers.append(keras.layers.SpatialDropout1D(shape.hidden_dropout))
    layers.append(keras.layers.Dense(shape.vocabulary_size))
    model = keras.Sequential(layers)
    model.compile(
        keras.optimizers.SGD(1.0, weight_decay=1.2e-6, global_clipnorm=0.25),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )

    def run():
        model.fit(x, y, batch_size=shape.batch_size, verbose=0)

    return run
