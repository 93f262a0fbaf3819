"""Training on all devices of TensorFlow; the rows of each batch are split between them.

    KERAS_BACKEND=tensorflow python examples/several_devices_tensorflow.py

On several hosts, run it on each, with TF_CONFIG in the environment. An argument gives
the number of epochs; the default is 3.
"""

import os
import sys

import tensorflow as tf

from awd_keras import callbacks, data, models

several_hosts = "TF_CONFIG" in os.environ
strategy = (
    tf.distribute.MultiWorkerMirroredStrategy()
    if several_hosts
    else tf.distribute.MirroredStrategy()
)
corpus = data.Corpus.python_docs()
train = data.BPTTDataset(corpus.train, batch_size=48, variable=False)
valid = data.BPTTDataset(corpus.valid, batch_size=48, variable=False)
epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
with strategy.scope():
    model = models.AWDLSTM.from_preset("tiny", len(corpus.vocabulary))
    model.build((48, None))
    model.compile()
    history = model.fit(
        train,
        validation_data=valid,
        epochs=epochs,
        callbacks=callbacks.awd_lstm(train),
        verbose=0,
    )
measure = history.history["val_perplexity"][-1]
print(f"{strategy.num_replicas_in_sync} devices, valid perplexity {measure:.1f}")
model.save("model.keras")
