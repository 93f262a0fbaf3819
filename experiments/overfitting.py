"""What stops a small text classifier from overfitting? One part of AWD-LSTM at a time, with five seeds each.

    KERAS_BACKEND=torch python experiments/overfitting.py --output DIR

The texts are docstrings of six packages of this Python's standard library, and the model tells the package of each.
Each model learns from 600 of them for 20 epochs; `docs/guides/overfitting.md` shows the results.
"""

import argparse
import ast
import json
import re
import sysconfig
from collections import Counter
from pathlib import Path

import keras
import numpy as np

from awd_keras import callbacks, layers, optimizers, regularizers

PACKAGES = ("asyncio", "email", "http", "logging", "unittest", "xml")
TRAIN, VALID, LENGTH, UNITS = 600, 250, 30, 48


def docstrings(path):
    """The docstrings of a file that have at least 8 words, as lists of words."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            words = re.findall(r"\w+|[^\w\s]", (ast.get_docstring(node) or "").lower())
            if len(words) >= 8:
                # Without the packages' names, which would give the answer.
                yield tuple(word for word in words if word not in PACKAGES)


def read():
    """The ids (texts, LENGTH), with zeros before a short text, and the labels, always in the same order."""
    library = Path(sysconfig.get_path("stdlib"))
    found = {
        words: label
        for label, package in enumerate(PACKAGES)
        for path in sorted((library / package).rglob("*.py"))
        for words in docstrings(path)
    }
    texts, labels = list(found), np.array(list(found.values()))
    order = np.random.default_rng(0).permutation(len(texts))
    counts = Counter(word for index in order[:TRAIN] for word in texts[index])
    # 0 is padding, 1 an unknown word.
    ids = {word: number for number, (word, count) in enumerate(counts.most_common(), start=2) if count > 1}
    rows = np.zeros((len(texts), LENGTH), "int32")
    for row, index in enumerate(order):
        numbers = [ids.get(word, 1) for word in texts[index][:LENGTH]]
        rows[row, LENGTH - len(numbers) :] = numbers
    return rows, labels[order], len(ids) + 2


def classifier(words, *, embedding=None, dropout=None, lstm=None, penalties=False):
    """A classifier from the last output of an LSTM, made of Keras's layers unless others are given."""
    ids = keras.Input((LENGTH,), dtype="int32")
    x = (embedding or keras.layers.Embedding)(words, UNITS)(ids)
    x = dropout(0.4)(x) if dropout else x
    tar = regularizers.TemporalActivationRegularizer(1.0) if penalties else None
    ar = regularizers.ActivationRegularizer(2.0) if penalties else None
    x = (lstm or keras.layers.LSTM)(UNITS, return_sequences=True, activity_regularizer=tar)(x)
    x = dropout(0.4, activity_regularizer=ar)(x) if dropout else x
    return keras.Model(ids, keras.layers.Dense(len(PACKAGES))(x[:, -1]))


def weight_drop(units, **arguments):
    return layers.WeightDropLSTM(units, weight_drop=0.5, **arguments)


def word_drop(words, size):
    return layers.EmbeddingDropout(words, size, rate=0.1, use_bias=False)


ALL = {"lstm": weight_drop, "dropout": layers.LockedDropout, "embedding": word_drop}
MODELS = {
    "LSTM": {},
    "Dropout": {"dropout": keras.layers.Dropout},
    "LockedDropout": {"dropout": layers.LockedDropout},
    "WeightDropLSTM": {"lstm": weight_drop},
    "all three": ALL,
    "all three, AR and TAR": {**ALL, "penalties": True},
}


def train(model, rows, labels, optimizer, epochs, extra=()):
    """Trains, and returns the losses of every epoch and the accuracies after the last one."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    measure = keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="cross_entropy")
    accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    model.compile(optimizer, loss, metrics=[measure, accuracy])
    parts = np.split(np.arange(len(rows)), [TRAIN, TRAIN + VALID])
    valid = rows[parts[1]], labels[parts[1]]
    fitted = model.fit(
        rows[parts[0]],
        labels[parts[0]],
        validation_data=valid,
        batch_size=40,
        epochs=epochs,
        callbacks=list(extra),
        verbose=0,
    )
    scores = [model.evaluate(rows[part], labels[part], verbose=0, return_dict=True) for part in parts]
    return {
        "train_loss": fitted.history["cross_entropy"],
        "valid_loss": fitted.history["val_cross_entropy"],
        **{
            f"{name}_accuracy": score["accuracy"]
            for name, score in zip(("train", "valid", "test"), scores, strict=True)
        },
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=range(5))
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    rows, labels, words = read()
    averaging = [callbacks.NonMonotonicTrigger("val_cross_entropy"), callbacks.SwapAveragedWeights()]
    versions = {"backend": keras.backend.backend(), "keras": keras.__version__}
    facts = {"texts": len(rows), "words": words, "epochs": options.epochs, **versions}
    options.output.mkdir(parents=True, exist_ok=True)
    runs = {}

    def note(name, seed, result):
        runs.setdefault(name, []).append({"seed": seed, **result})
        print(f"{name:42} {seed} {result['train_accuracy']:.3f} {result['test_accuracy']:.3f}", flush=True)
        (options.output / "overfitting.json").write_text(
            f"{json.dumps({**facts, 'runs': runs}, indent=1)}\n", encoding="utf-8"
        )

    for seed in options.seeds:
        for name, settings in MODELS.items():
            keras.utils.set_random_seed(seed)
            model = classifier(words, **settings)
            note(name, seed, train(model, rows, labels, keras.optimizers.Adam(0.003), options.epochs))
        keras.utils.set_random_seed(seed)
        model = classifier(words, **ALL)
        note("all three, NTASGD()", seed, train(model, rows, labels, optimizers.NTASGD(), options.epochs, averaging))


if __name__ == "__main__":
    main()
