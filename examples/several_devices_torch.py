"""Training on all devices of PyTorch. Each has a process with some of a batch's rows.

    KERAS_BACKEND=torch torchrun --nproc-per-node 2 examples/several_devices_torch.py

On several hosts, run it on each with
`--nnodes 2 --rdzv-backend c10d --rdzv-endpoint HOST:PORT`. An argument gives the number
of epochs; the default is 3.
"""

import os
import sys

import torch
from torch import distributed

from awd_keras import callbacks, data, models

on_gpu = torch.cuda.is_available()
if on_gpu:
    torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
distributed.init_process_group("nccl" if on_gpu else "gloo")
count, rank = distributed.get_world_size(), distributed.get_rank()
corpus = data.Corpus.python_docs()
train = data.BPTTDataset(corpus.train, batch_size=48, variable=False).shard(count, rank)
valid = data.BPTTDataset(
    corpus.valid, batch_size=48, variable=False
)  # each process validates on the whole split
model = models.AWDLSTM.from_preset("tiny", len(corpus.vocabulary))
model.build((48, None))
model.compile()
epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
history = model.fit(
    train,
    validation_data=valid,
    epochs=epochs,
    callbacks=callbacks.awd_lstm(train),
    verbose=0,
)
if rank == 0:
    print(
        f"{count} devices, valid perplexity {history.history['val_perplexity'][-1]:.1f}"
    )
    model.save("model.keras")
distributed.destroy_process_group()
