"""The library's training, as users run it: `fit` with `callbacks.awd_lstm`."""

import math

import keras
import numpy as np
from keras import ops

from awd_keras import callbacks, data, models, optimizers
from backends_tests.parity.trace import Trace


def new_model(recipe):
    model = models.AWDLSTM(
        recipe.vocabulary_size,
        embedding_dim=recipe.embedding_dim,
        hidden_units=recipe.hidden_units,
        num_layers=recipe.num_layers,
        embedding_dropout=recipe.embedding_dropout,
        input_dropout=recipe.input_dropout,
        hidden_dropout=recipe.hidden_dropout,
        output_dropout=recipe.output_dropout,
        weight_drop=recipe.weight_drop,
        alpha=recipe.alpha,
        beta=recipe.beta,
        seed=recipe.seed,
    )
    model.build((recipe.batch_size, recipe.bptt))
    rng = np.random.default_rng(recipe.seed)
    for variable in variables(model).values():
        variable.assign(rng.normal(0, recipe.deviation, variable.shape))
    return model


def train_dataset(recipe):
    tokens, _ = recipe.texts()
    return data.BPTTDataset(
        tokens, recipe.batch_size, bptt=recipe.bptt, seed=recipe.seed, length_multiple=recipe.length_multiple
    )


def variables(model) -> dict[str, keras.Variable]:
    found = {"embeddings": model.embedding.embeddings, "bias": model.embedding.bias}
    for lstm in model.lstms:
        for part in ("kernel", "recurrent_kernel", "bias"):
            found[f"{lstm.name}_{part}"] = getattr(lstm.cell, part)
    assert len(found) == len(model.trainable_variables)
    return found


def weights(model) -> dict[str, np.ndarray]:
    return {name: ops.convert_to_numpy(variable).astype("float64") for name, variable in variables(model).items()}


class Recorder(keras.callbacks.Callback):
    """Records the loss of each step. Keras shows means since the epoch's beginning."""

    def __init__(self, trace):
        super().__init__()
        self.trace = trace

    def on_train_batch_begin(self, batch, logs=None):
        self.model.reset_metrics()

    def on_train_batch_end(self, batch, logs):
        self.trace.losses.append(float(logs["loss"]))
        self.trace.cross_entropies.append(math.log(logs["perplexity"]))

    def on_epoch_end(self, epoch, logs):
        self.trace.perplexities.append(float(logs["val_perplexity"]))
        if self.model.optimizer.averaging and self.trace.averaging_from is None:
            self.trace.averaging_from = epoch + 1


def train(recipe, model) -> Trace:
    dataset = train_dataset(recipe)
    _, tokens = recipe.texts()
    valid = data.BPTTDataset(tokens, recipe.valid_batch_size, bptt=recipe.valid_bptt, variable=False)
    model.compile(
        optimizers.NTASGD(
            learning_rate=recipe.learning_rate,
            non_monotone_interval=recipe.non_monotone_interval,
            weight_decay=recipe.weight_decay,
            global_clipnorm=recipe.global_clipnorm,
        )
    )
    trace = Trace()
    model.fit(
        dataset,
        validation_data=valid,
        epochs=recipe.epochs,
        callbacks=[*callbacks.awd_lstm(dataset), Recorder(trace)],
        verbose=0,
    )
    trace.average = weights(model)
    model.optimizer.use_iterates()
    trace.iterate = weights(model)
    return trace
