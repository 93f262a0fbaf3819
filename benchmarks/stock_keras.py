"""The same model made of Keras's own layers: no weight drop, embedding dropout, AR, TAR or carried state."""

import keras
import numpy as np

from awd_keras.data import BPTTDataset


def training(shape, steps):
    """Like `ours.training`."""
    tokens = np.random.default_rng(0).integers(shape.vocabulary_size, size=shape.tokens * steps + 1)
    # Not arrays: on TensorFlow, Keras would wait for some seconds at the end of each `fit` (see
    # `keras_private.InOrder`).
    dataset = BPTTDataset(tokens, shape.batch_size, shape.bptt, variable=False)
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
        model.fit(dataset, verbose=0)

    return run
