"""AWD-LSTM against Keras's own LSTM: on the same text, with the same number of weights.

    KERAS_BACKEND=jax python examples/against_keras.py --output pictures

Four language models learn the text of Python's language reference, which every Python carries. Three are made only of
Keras's layers. All have the same number of weights, to within two percent. Each keeps the weights of its best epoch by
validation, and reads the test text once, from its beginning to its end.

The settings below were found by `experiments/search_against_keras.py`, in two searches. Each model had the same number
of random trials, and validation alone decided. docs/results/against_keras.md has the results, over five seeds.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from awd_keras import callbacks, data, evaluation, models, optimizers

EPOCHS, PATIENCE = 80, 10  # at most 80 epochs; training stops after 10 without improvement


class Sizes(NamedTuple):
    """Sizes of models with about as many weights.

    Attributes:
        keras: for each shape of the Keras models: the size of the embedding, the size of each LSTM, and whether the
            logits are made by the embedding or by a `Dense` layer.
        ours: for each number of AWD-LSTM's layers: the size of its embedding, and of the layers except the last.
    """

    keras: dict[str, tuple[int, tuple[int, ...], bool]]
    ours: dict[int, dict[str, int]]


# 0.9 million weights each.
SIZES = Sizes(
    keras={"tied": (128, (256, 128), True), "untied": (64, (320, 64), False), "one layer": (128, (166,), False)},
    ours={1: {"embedding_dim": 216}, 2: {"embedding_dim": 128, "hidden_units": 256}},
)

# The settings that `experiments/search_against_keras.py` has chosen.
SETTINGS: dict[str, dict] = {
    "keras-adam": {
        "learning_rate": 0.00396,
        "weight_decay": 0.298,
        "batch_size": 5,
        "shape": "tied",
        "window": 70,
        "halve_on_plateau": True,
    },
    "keras-dropout": {
        "shape": "one layer",
        "window": 35,
        "halve_on_plateau": True,
        "learning_rate": 0.00542,
        "weight_decay": 0.00792,
        "batch_size": 10,
        "dropout": 0.221,
        "recurrent_dropout": 0.365,
    },
    "keras-sgd": {
        "learning_rate": 51.5,
        "weight_decay": 8.16e-05,
        "batch_size": 10,
        "shape": "one layer",
        "window": 70,
        "halve_on_plateau": True,
        "dropout": 0.487,
        "recurrent_dropout": 0.162,
    },
    "awd-lstm": {
        "learning_rate": 11.3,
        "weight_decay": 2.46e-05,
        "batch_size": 10,
        "interval": 2,
        "num_layers": 1,
        "bptt": 35,
        "embedding_dropout": 0.13,
        "input_dropout": 0.367,
        "hidden_dropout": 0.245,
        "output_dropout": 0.531,
        "weight_drop": 0.317,
        "alpha": 0.5,
        "beta": 0.5,
    },
}
NAMES = {
    "keras-adam": "Keras's LSTM, Adam",
    "keras-dropout": "Keras's LSTM, Adam, dropout",
    "keras-sgd": "Keras's LSTM, clipped SGD, dropout",
    "awd-lstm": "AWD-LSTM",
}


def keras_lstm(vocabulary_size, sizes, dropout=0.0, recurrent_dropout=0.0):
    """The language model made of Keras's own layers."""
    size, units, tied = sizes
    words = keras.Input((None,), dtype="int32")
    kind = keras.layers.ReversibleEmbedding if tied else keras.layers.Embedding
    embedding = kind(vocabulary_size, size)
    x = keras.layers.Dropout(dropout)(embedding(words))
    for count in units:
        x = keras.layers.LSTM(count, recurrent_dropout=recurrent_dropout, return_sequences=True)(x)
        x = keras.layers.Dropout(dropout)(x)
    return keras.Model(words, embedding(x, reverse=True) if tied else keras.layers.Dense(vocabulary_size)(x))


def in_rows(tokens, rows):
    """The text in rows of equal length, and their targets, the next words."""
    length = (len(tokens) - 1) // rows
    return tokens[: rows * length].reshape(rows, length), tokens[1 : rows * length + 1].reshape(rows, length)


def train_keras(
    corpus,
    optimizer,
    shape,
    batch_size,
    window,
    dropout=0.0,
    recurrent_dropout=0.0,
    halve_on_plateau=False,
    sizes=SIZES,
    epochs=EPOCHS,
    patience=PATIENCE,
    more_callbacks=(),
):
    """Trains on windows of the text in random order, as is usual. Returns the model and its perplexities."""
    model = keras_lstm(len(corpus.vocabulary), sizes.keras[shape], dropout, recurrent_dropout)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    own = [keras.callbacks.EarlyStopping(monitor="val_loss", patience=patience, restore_best_weights=True)]
    if halve_on_plateau:
        own.append(keras.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.5, patience=2))
    history = model.fit(
        *in_rows(corpus.train, (len(corpus.train) - 1) // window),
        batch_size=batch_size,
        epochs=epochs,
        validation_data=in_rows(corpus.valid, 10),
        callbacks=[*own, *more_callbacks],
        verbose=0,
    )
    curves = {"train": np.exp(history.history["loss"]), "valid": np.exp(history.history["val_loss"])}
    return model, {name: curve.tolist() for name, curve in curves.items()}


def train_awd_lstm(
    corpus,
    learning_rate,
    batch_size,
    bptt,
    interval=5,
    num_layers=2,
    variable=True,
    weight_decay=1.2e-6,
    sizes=SIZES,
    epochs=EPOCHS,
    patience=PATIENCE,
    seed=0,
    more_callbacks=(),
    **model_settings,
):
    """Trains as the paper does. Returns the model and its perplexities."""
    model_settings = {**sizes.ours[num_layers], **model_settings}
    model = models.AWDLSTM(len(corpus.vocabulary), num_layers=num_layers, seed=seed, **model_settings)
    model.compile(optimizers.NTASGD(learning_rate, non_monotone_interval=interval, weight_decay=weight_decay))
    multiple = model.length_multiple(bptt) if variable else 1
    train = data.BPTTDataset(corpus.train, batch_size, bptt, variable, seed=seed, length_multiple=multiple)
    best = keras.callbacks.EarlyStopping(
        monitor="val_perplexity", mode="min", patience=patience, restore_best_weights=True
    )
    history = model.fit(
        train,
        epochs=epochs,
        validation_data=data.BPTTDataset(corpus.valid, batch_size=10, bptt=bptt, variable=False),
        callbacks=[*callbacks.awd_lstm(train), best, *more_callbacks],
        verbose=0,
    )
    return model, {"train": history.history["perplexity"], "valid": history.history["val_perplexity"]}


def train(name, corpus, settings, seed=0, **arguments):
    """Trains one of the four models with its settings. Returns the model and its perplexities after each epoch."""
    keras.utils.set_random_seed(seed)
    if name == "awd-lstm":
        return train_awd_lstm(corpus, **settings, seed=seed, **arguments)
    others = {key: value for key, value in settings.items() if key not in ("learning_rate", "weight_decay")}
    own = {"learning_rate": settings["learning_rate"], "weight_decay": settings["weight_decay"]}
    sgd = name == "keras-sgd"
    optimizer = keras.optimizers.SGD(**own, global_clipnorm=0.25) if sgd else keras.optimizers.Adam(**own)
    return train_keras(corpus, optimizer, **others, **arguments)


def perplexity(model, tokens):
    """The perplexity of a text that is read as one stream, from its beginning to its end."""
    if isinstance(model, models.AWDLSTM):
        return evaluation.perplexity(model, tokens).perplexity
    return float(np.exp(model.evaluate(*in_rows(tokens, 1), verbose=0)))


class Progress(keras.callbacks.Callback):
    """Prints a line after each epoch, over the previous one."""

    def __init__(self, name):
        super().__init__()
        self.name = name

    def on_epoch_end(self, epoch, logs=None):
        valid = logs.get("val_perplexity") or np.exp(logs["val_loss"])
        print(f"\r{self.name}: epoch {epoch + 1}, valid perplexity {valid:.1f}   ", end="", file=sys.stderr, flush=True)


def train_each(corpus, settings, seed, epochs, sizes=SIZES, digits=1):
    """Trains the models one after the other, and prints a table. Yields each model's name, the model and its curves."""
    print(f"{'perplexity':36}{'epoch':>6}{'train':>8}{'valid':>8}{'test':>8}{'seconds':>9}")
    for name, of_model in settings.items():
        began = time.perf_counter()
        print(f"{NAMES[name]}: compiling", end="", file=sys.stderr, flush=True)
        progress = [Progress(NAMES[name])]
        model, curves = train(name, corpus, of_model, seed, sizes=sizes, epochs=epochs, more_callbacks=progress)
        best = int(np.argmin(curves["valid"]))
        found = curves["train"][best], curves["valid"][best], perplexity(model, corpus.test)
        seconds = time.perf_counter() - began
        print(file=sys.stderr)
        print(f"{NAMES[name]:36}{best + 1:6}" + "".join(f"{value:8.{digits}f}" for value in found) + f"{seconds:9.0f}")
        yield name, model, curves


def draw(curves, path):
    """Draws training and validation perplexity of each model by epoch."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = Figure(figsize=(6, 3.8), layout="constrained")
    axes = figure.subplots()
    for (name, curve), color in zip(curves.items(), ("#999999", "#e69f00", "#009e73", "#0072b2"), strict=True):
        epochs = range(1, len(curve["valid"]) + 1)
        axes.plot(epochs, curve["valid"], color=color, linewidth=2, label=NAMES[name])
        axes.plot(epochs, curve["train"], color=color, linewidth=1, linestyle=":")
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    # The first epochs with a high learning rate are outside of the picture.
    axes.set_ylim(top=8 * min(min(curve["valid"]) for curve in curves.values()))
    axes.set_xlabel("epoch (logarithmic)")
    axes.set_ylabel("perplexity (logarithmic)")
    axes.set_title("Validation (lines) and training (dots)", fontsize="medium")
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=160)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=EPOCHS, metavar="N", help="at most (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(default: 0)")
    parser.add_argument("--output", type=Path, default=Path(), metavar="DIR", help="where the picture goes")
    options = parser.parse_args()
    trained = train_each(data.Corpus.python_docs(), SETTINGS, options.seed, options.epochs)
    curves = {name: of_model for name, _, of_model in trained}
    options.output.mkdir(parents=True, exist_ok=True)
    draw(curves, options.output / "against_keras.png")
    print(f"The curves: {options.output / 'against_keras.png'}")


if __name__ == "__main__":
    main()
