"""A training loop in plain PyTorch, with awd_keras's layers and its optimizer.

    python examples/custom_training_torch.py

An argument gives the number of epochs; the default is 3.
"""

import os
import sys

# Set before Keras is imported: its default backend is TensorFlow.
os.environ["KERAS_BACKEND"] = "torch"

import torch

from awd_keras.data import BPTTDataset, Corpus
from awd_keras.evaluation import perplexity
from awd_keras.models import AWDLSTM, PRESETS
from awd_keras.optimizers import NTASGD

corpus = Corpus.python_docs()
settings = PRESETS["tiny"]
train = BPTTDataset(corpus.train, settings.batch_size, bptt=settings.bptt)

# Under the PyTorch backend a Keras model is a torch.nn.Module. It is built for the
# largest batch that it will read.
model = AWDLSTM.from_preset("tiny", len(corpus.vocabulary))
model.build((settings.batch_size, None))
optimizer = NTASGD(**settings.optimizer)
optimizer.build(model.trainable_variables)
weights = [variable.value for variable in model.trainable_variables]

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
for epoch in range(epochs):
    train.set_epoch(epoch)
    for lstm in model.lstms:
        lstm.reset_training_state()  # The text begins again.
    for index in range(len(train)):
        x, y = (torch.from_numpy(part) for part in train[index])
        model.zero_grad()
        logits = model(x, training=True)
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), y.flatten().long()
        )
        (loss + sum(model.losses)).backward()  # model.losses are AR and TAR.
        # A window has a learning rate in proportion to its length.
        optimizer.learning_rate = (
            settings.optimizer["learning_rate"] * x.shape[1] / settings.bptt
        )
        with torch.no_grad():
            optimizer.apply(
                [weight.grad for weight in weights], model.trainable_variables
            )
    measure = perplexity(
        model, corpus.valid, settings.valid_batch_size, settings.bptt
    ).perplexity
    # The non-monotone criterion. To evaluate at the average: use_averages, then
    # use_iterates.
    was_averaging = optimizer.averaging
    optimizer.update_trigger(measure)
    begins = optimizer.averaging and not was_averaging
    remark = ", averaging begins" if begins else ""
    print(f"epoch {epoch + 1}: valid perplexity {measure:.1f}{remark}")

optimizer.use_averages()
score = perplexity(model, corpus.test, bptt=settings.bptt)
print(f"test perplexity {score.perplexity:.1f}")
