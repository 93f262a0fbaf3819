"""A language model of Python's own documentation, in about a minute.

Run it with any backend:

    KERAS_BACKEND=jax python examples/language_model.py

An argument gives the number of epochs; the default is 3.
"""

import sys
import tempfile
from pathlib import Path

import keras

from awd_keras.callbacks import awd_lstm
from awd_keras.data import BPTTDataset, Corpus
from awd_keras.evaluation import perplexity
from awd_keras.generation import generate
from awd_keras.models import AWDLSTM, PRESETS
from awd_keras.optimizers import NTASGD

# The same seed gives the same weights, masks and windows.
keras.utils.set_random_seed(1)

# Every CPython carries the language reference, so there is nothing to download. Your own corpus is a
# directory with train.txt, valid.txt and test.txt: Corpus.from_directory("path").
corpus = Corpus.python_docs()
print(corpus)

# An AWD-LSTM of a laptop's size. AWDLSTM.from_preset("ptb", ...) is the paper's.
settings = PRESETS["tiny"]
model = AWDLSTM.from_preset("tiny", len(corpus.vocabulary), seed=1)
model.compile(optimizer=NTASGD(**settings.optimizer))

# The text is cut into 20 rows, which are read in parallel, one window at a time. Windows have random
# lengths, so that no word is always where backpropagation ends; validation doesn't need that. If
# every length is compiled, as on JAX, length_multiple leaves only a few lengths.
train = BPTTDataset(
    corpus.train,
    settings.batch_size,
    bptt=settings.bptt,
    seed=1,
    length_multiple=model.length_multiple(settings.bptt),
)
valid = BPTTDataset(corpus.valid, settings.valid_batch_size, bptt=settings.bptt, variable=False)
print(f"{len(train)} windows an epoch, the first of {train.window_lengths()[:8].tolist()} words")

# The callbacks add the paper's training to fit: a learning rate proportional to the window, a
# carried state that is zeroed at the beginning of the text, averaging once validation stops
# improving, and evaluation of the average.
epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
history = model.fit(train, epochs=epochs, validation_data=valid, callbacks=awd_lstm(train))
model.summary()
print("LSTM implementation:", model.lstms[0].computed_by)

# The perplexity that papers report: the text in one row, every word predicted from all earlier words.
score = perplexity(model, corpus.test, batch_size=1, bptt=settings.bptt)
print(f"test perplexity {score.perplexity:.1f}, {score.tokens} words in {score.seconds:.1f} s")
assert score.perplexity < len(corpus.vocabulary) / 2, "No better than guessing."

# A model is saved and loaded as every Keras model is, under the same backend or another one.
with tempfile.TemporaryDirectory() as directory:
    path = Path(directory) / "model.keras"
    model.save(path)
    loaded = keras.saving.load_model(path, compile=False)

print(generate(loaded, corpus.vocabulary, "The value of", max_words=40, temperature=0.7, seed=1))
