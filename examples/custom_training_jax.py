"""A training loop in plain JAX, with awd_keras's layers and its optimizer.

    python examples/custom_training_jax.py

An argument gives the number of epochs; the default is 3.
"""

import os
import sys

# Set before Keras is imported: its default backend is TensorFlow.
os.environ["KERAS_BACKEND"] = "jax"

import jax

from awd_keras.data import BPTTDataset, Corpus
from awd_keras.evaluation import perplexity
from awd_keras.models import AWDLSTM, PRESETS
from awd_keras.optimizers import NTASGD

corpus = Corpus.python_docs()
settings = PRESETS["tiny"]

# It is built for the largest batch that it will read.
model = AWDLSTM.from_preset("tiny", len(corpus.vocabulary))
train = BPTTDataset(
    corpus.train,
    settings.batch_size,
    bptt=settings.bptt,
    length_multiple=model.length_multiple(settings.bptt),
)
model.build((settings.batch_size, None))
optimizer = NTASGD(**settings.optimizer)
optimizer.build(model.trainable_variables)


def loss_of(trainable, non_trainable, x, y):
    """The loss with AR and TAR, and variables that a call changes: states and seeds."""
    logits, non_trainable, penalties = model.stateless_call(
        trainable, non_trainable, x, training=True, return_losses=True
    )
    chosen = jax.numpy.take_along_axis(
        jax.nn.log_softmax(logits), y[..., None], axis=-1
    )
    return sum(penalties) - chosen.mean(), non_trainable


# JAX compiles a program for each length of window. There are at most five.
@jax.jit
def step(trainable, non_trainable, of_optimizer, x, y):
    (loss, non_trainable), gradients = jax.value_and_grad(loss_of, has_aux=True)(
        trainable, non_trainable, x, y
    )
    trainable, of_optimizer = optimizer.stateless_apply(
        of_optimizer, gradients, trainable
    )
    return loss, (trainable, non_trainable, of_optimizer)


variables = (
    model.trainable_variables,
    model.non_trainable_variables,
    optimizer.variables,
)
epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
for epoch in range(epochs):
    train.set_epoch(epoch)
    for lstm in model.lstms:
        lstm.reset_training_state()  # The text begins again.
    for index in range(len(train)):
        x, y = train[index]
        # A window has a learning rate in proportion to its length.
        optimizer.learning_rate = (
            settings.optimizer["learning_rate"] * x.shape[1] / settings.bptt
        )
        loss, new = step(
            *([variable.value for variable in group] for group in variables), x, y
        )
        for group, values in zip(variables, new, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)
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
