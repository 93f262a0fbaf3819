"""The layers in your own functional model, which tags the parts of speech of an artificial language.

Any Keras model can use the layers. Run it with any backend:

    KERAS_BACKEND=torch python examples/functional_model.py

An argument gives the number of epochs; the default is 6.
"""

import sys
import tempfile
from pathlib import Path

import keras
import numpy as np

from awd_keras.layers import LockedDropout, WeightDropLSTM
from awd_keras.regularizers import ActivationRegularizer, TemporalActivationRegularizer

keras.utils.set_random_seed(1)
rng = np.random.default_rng(1)

# A language in which most words are nouns or verbs, depending on the words around them: after an article or an
# adjective comes a noun, after a noun a verb. 0 is padding, which the embedding's mask hides.
ARTICLE, ADJECTIVE, NOUN, VERB, ADVERB = range(5)
WORDS = {ARTICLE: (1, 4), ADJECTIVE: (4, 20), NOUN: (20, 220), VERB: (20, 220), ADVERB: (220, 240)}
LENGTH = 24


def sentence():
    tags = []
    while len(tags) < LENGTH - 6:
        tags += [ARTICLE, *[ADJECTIVE] * rng.integers(3), NOUN, VERB, *[ADVERB] * rng.integers(2)]
        if rng.random() < 0.3:
            break
    words = [rng.integers(*WORDS[tag]) for tag in tags]
    padding = [0] * (LENGTH - len(tags))
    return words + padding, tags + padding


def sentences(count):
    words, tags = zip(*(sentence() for _ in range(count)), strict=True)
    return np.array(words, "int32"), np.array(tags, "int32")


train, test = sentences(300), sentences(1000)

# For comparison: each word's most frequent tag in the training sentences.
counts = np.zeros((240, 5))
np.add.at(counts, train, 1)
seen = test[0] > 0
alone = np.mean(counts.argmax(axis=1)[test[0]][seen] == test[1][seen])

# The mask of padding passes through LockedDropout and Bidirectional as through Keras's own layers. With a mask, Keras's
# loop runs instead of the faster, fused one.
words = keras.Input((LENGTH,), dtype="int32")
x = keras.layers.Embedding(240, 16, mask_zero=True)(words)
x = LockedDropout(0.2)(x)
tar = TemporalActivationRegularizer(0.5)
x = keras.layers.Bidirectional(WeightDropLSTM(24, weight_drop=0.3, return_sequences=True, activity_regularizer=tar))(x)
x = LockedDropout(0.2, activity_regularizer=ActivationRegularizer(0.5))(x)
tags = keras.layers.Dense(5)(x)
model = keras.Model(words, tags)
model.summary()

model.compile(
    keras.optimizers.Adam(0.01),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    weighted_metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
)
epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 6
model.fit(*train, epochs=epochs, batch_size=20, verbose=2)

_, accuracy = model.evaluate(*test, verbose=0)
print(f"test accuracy {accuracy:.3f}; by each word's most frequent tag {alone:.3f}")

# It is saved and loaded as every Keras model is.
with tempfile.TemporaryDirectory() as directory:
    path = Path(directory) / "model.keras"
    model.save(path)
    loaded = keras.saving.load_model(path)
np.testing.assert_allclose(loaded.predict(test[0], verbose=0), model.predict(test[0], verbose=0), rtol=1e-4, atol=1e-5)
print("The loaded model says the same.")
