"""Training on all devices of JAX, between which the rows of each batch are split.

    KERAS_BACKEND=jax python examples/several_devices_jax.py

On several hosts, run it on each, with KERAS_DISTRIBUTION_JOB_ADDRESSES=HOST:PORT (the
first one's), KERAS_DISTRIBUTION_NUM_PROCESSES and KERAS_DISTRIBUTION_PROCESS_ID in the
environment. An argument gives the number of epochs; the default is 3.
"""

import os
import sys

import jax
import keras

from awd_keras import callbacks, data, models

if "KERAS_DISTRIBUTION_NUM_PROCESSES" in os.environ:
    keras.distribution.initialize()
keras.distribution.set_distribution(
    keras.distribution.DataParallel(auto_shard_dataset=False)
)
hosts, host = jax.process_count(), jax.process_index()
corpus = data.Corpus.python_docs()
train = data.BPTTDataset(corpus.train, batch_size=48, variable=False).shard(hosts, host)
valid = data.BPTTDataset(corpus.valid, batch_size=48, variable=False).shard(hosts, host)
model = models.AWDLSTM.from_preset("tiny", len(corpus.vocabulary))
model.compile()
epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
history = model.fit(
    train,
    validation_data=valid,
    epochs=epochs,
    callbacks=callbacks.awd_lstm(train),
    verbose=0,
)
measure = history.history["val_perplexity"][-1]
print(f"{jax.device_count()} devices, valid perplexity {measure:.1f}")
# Every process must call this, as all of them take part in reading the arrays.
model.save(f"model-{host}.keras")
