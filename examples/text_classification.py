"""From a language model to a classifier: which of nine languages is a word from? 300 words have a label.

    pip install --no-deps pyspellchecker   # 7 MB: its lists of words are read, its code isn't used
    KERAS_BACKEND=torch python examples/text_classification.py

Two language models, one for each direction, read 60,000 words letter by letter, without labels. Their layers become two
classifiers, which are trained on 300 words with labels, and whose probabilities are averaged. The recipe is ULMFiT's
(Howard and Ruder 2018, arXiv 1801.06146). The search `experiments/few_labels.py` has chosen the settings, and may have
left out some of its steps. Three others learn from the same 300 words for comparison: the same network without the
language model, Keras's own LSTM, and naive Bayes on groups of letters.
"""

import argparse
import gzip
import importlib.util
import json
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from awd_keras import callbacks, data, models, optimizers

LANGUAGES = {
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "eu": "Basque",
    "fr": "French",
    "it": "Italian",
    "lv": "Latvian",
    "nl": "Dutch",
    "pt": "Portuguese",
}
LABELLED = 300


class Task(NamedTuple):
    """Texts of several classes: many for language models, a few of them with labels, others for validation and test.

    `labelled` are the places from which labels may be drawn, `read` the texts for language models, without the test's.
    """

    classes: list[str]
    texts: list[str]
    labels: np.ndarray
    labelled: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    read: list[str]
    vocabulary: data.Vocabulary

    def draw(self, seed):
        """The places of the texts whose labels are used. They depend only on the seed."""
        return np.random.default_rng(seed).permutation(self.labelled)[:LABELLED]

    def words(self, place):
        """A text's words, or letters, between two line ends, as language models of both directions read it."""
        return self.vocabulary.cut(f"\n{self.texts[place]}\n")


def split(classes, texts, labels, unit, more=(), min_count=1, valid=1000, test=3000):
    """A task whose validation and test are drawn from all texts. Language models also read the texts `more`."""
    order = np.random.default_rng(2026).permutation(len(texts))
    parts = {"test": order[:test], "valid": order[test : test + valid], "labelled": order[test + valid :]}
    read = [*(texts[place] for place in parts["labelled"]), *more]
    read = [read[place] for place in np.random.default_rng(1).permutation(len(read))]
    words = data.Vocabulary([data.UNK], unit=unit).cut("".join(map(as_line, read)))
    vocabulary = data.Vocabulary.from_words([*words, data.UNK], min_count, unit)
    return Task(classes, texts, np.array(labels), **parts, read=read, vocabulary=vocabulary)


def as_line(text):
    return f"{text}\n"


def word_lists(directory=None):
    """The languages' words, the most frequent first."""
    package = importlib.util.find_spec("spellchecker")
    if directory is None and package is None:
        raise SystemExit("text_classification.py needs pyspellchecker's words: pip install --no-deps pyspellchecker")
    directory = directory or Path(package.submodule_search_locations[0], "resources")
    lists = {}
    for code in LANGUAGES:
        counts = json.loads(gzip.decompress((directory / f"{code}.json.gz").read_bytes()))
        lists[code] = sorted(counts, key=lambda word: (-counts[word], word))
    return lists


def languages(lists, most=8000, **sizes):
    """Words of four letters or more that are frequent in only one language."""
    lists = {code: [word for word in words if len(word) > 3 and word.isalpha()] for code, words in lists.items()}
    lists = {code: words[: most * 3 // 2] for code, words in lists.items()}
    count = Counter(word for words in lists.values() for word in words)
    lists = {code: [word for word in words if count[word] == 1][:most] for code, words in lists.items()}
    texts = [word for words in lists.values() for word in words]
    labels = [label for label, words in enumerate(lists.values()) for _ in words]
    return split(list(LANGUAGES.values()), texts, labels, "character", **sizes)


# --- The language model.

READING = {
    "model": {
        "embedding_dim": 256,
        "num_layers": 1,
        "weight_drop": 0.2,
        "embedding_dropout": 0.0,
        "input_dropout": 0.1,
        "hidden_dropout": 0.1,
        "output_dropout": 0.2,
    },
    "learning_rate": 15.0,
    "batch_size": 20,
    "bptt": 70,
    "epochs": 10,
}


def language_model(task, reading, backwards=False):
    """Trains a language model on the task's texts, one on each line."""
    keras.utils.set_random_seed(1)
    model = models.AWDLSTM(len(task.vocabulary), **reading["model"], seed=1)
    model.compile(optimizers.NTASGD(reading["learning_rate"], non_monotone_interval=2))
    ids = task.vocabulary.encode(task.vocabulary.cut("".join(map(as_line, task.read))))
    held_out = len(ids) // 20
    batch, bptt = reading["batch_size"], reading["bptt"]
    multiple = model.length_multiple(bptt)
    dataset = data.BPTTDataset(ids[held_out:], batch, bptt, seed=1, length_multiple=multiple, backwards=backwards)
    valid = data.BPTTDataset(ids[:held_out], batch, bptt, variable=False, backwards=backwards)
    best = keras.callbacks.EarlyStopping("val_loss", patience=5, restore_best_weights=True)
    callback = [*callbacks.awd_lstm(dataset), best]
    model.fit(dataset, epochs=reading["epochs"], validation_data=valid, callbacks=callback)
    return model


# --- The classifiers. Each returns a function `probabilities`, by which they are compared.

# The settings that `experiments/few_labels.py` has chosen.
SETTINGS: dict[str, dict] = {
    "classifier": {"learning_rate": 3e-3, "epochs": 20, "dropout": 0.2, "hidden_units": [], "recipe": "ulmfit"},
    "scratch": {"learning_rate": 0.00446, "epochs": 80, "dropout": 0.247, "hidden_units": [], "recipe": "together"},
    "keras": {"learning_rate": 0.00472, "epochs": 80, "dropout": 0.313, "units": 256, "recurrent_dropout": 0.4},
    "naive bayes": {"longest": 3, "added": 0.109},
}
BATCH = 25


def of_places(task, places):
    """Padded ids (texts, time), and labels."""
    rows = [task.vocabulary.encode(task.words(place)) for place in places]
    ids = keras.utils.pad_sequences(rows, padding="post", value=-1)
    return ids, task.labels[places]


def fit(model, task, optimizer, epochs, seed, more_callbacks=()):
    """Trains on the labelled texts that the seed draws. Returns a function from places to probabilities."""
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))

    def show(epoch, logs):
        """Prints a line over the previous one."""
        print(f"\repoch {epoch + 1} of {epochs}, loss {logs['loss']:.2f}  ", end="", file=sys.stderr, flush=True)

    shown = [*more_callbacks, keras.callbacks.LambdaCallback(on_epoch_end=show)]
    model.fit(*of_places(task, task.draw(seed)), BATCH, epochs, callbacks=shown, verbose=0)
    print(f"\r{'':40}\r", end="", file=sys.stderr, flush=True)

    def probabilities(places):
        return keras.ops.softmax(model.predict(of_places(task, places)[0], batch_size=250, verbose=0)).numpy()

    return probabilities


def classifier(task, model, seed, learning_rate, epochs, dropout, hidden_units, recipe, backwards=False):
    """Trains a classifier on the layers of a language model."""
    keras.utils.set_random_seed(seed)
    on_top = models.TextClassifier(
        model, len(task.classes), dropout=dropout, hidden_units=hidden_units, backwards=backwards
    )
    optimizer = keras.optimizers.Adam(learning_rate)
    if recipe == "together":
        return fit(on_top, task, optimizer, epochs, seed)
    # As in ULMFiT, a lower layer has a smaller learning rate, and is unfrozen one epoch later than the layer above.
    optimizer = optimizers.LayerwiseLearningRate(optimizer, "ulmfit")
    optimizer.build(on_top.trainable_variables)
    groups = list(optimizer.multipliers)[::-1]
    unfreezing = callbacks.GradualUnfreezing(groups, epochs if recipe == "head alone" else 1)
    return fit(on_top, task, optimizer, epochs, seed, [unfreezing])


def from_scratch(task, seed, model, **settings):
    """Trains the same network from random weights, without a language model's."""
    return classifier(task, models.AWDLSTM(len(task.vocabulary), **model, seed=seed), seed, **settings)


def keras_lstm(task, seed, learning_rate, epochs, dropout, units, recurrent_dropout):
    keras.utils.set_random_seed(seed)
    ids = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(len(task.vocabulary) + 1, units // 2, mask_zero=True)(ids + 1)
    lstm = keras.layers.LSTM(units, recurrent_dropout=recurrent_dropout)
    x = keras.layers.Dropout(dropout)(keras.layers.Bidirectional(lstm)(keras.layers.Dropout(dropout)(x)))
    model = keras.Model(ids, keras.layers.Dense(len(task.classes))(x))
    return fit(model, task, keras.optimizers.Adam(learning_rate), epochs, seed)


def groups_of(words, longest):
    """All groups of up to `longest` consecutive words, or letters."""
    return [tuple(words[i : i + n]) for n in range(1, longest + 1) for i in range(len(words) - n + 1)]


def naive_bayes(task, seed, longest, added):
    """Naive Bayes: each group of letters is counted separately."""

    def cut(place):
        return groups_of(task.words(place), longest)

    learned = task.draw(seed)
    ids = {group: number for number, group in enumerate(sorted({group for place in learned for group in cut(place)}))}

    def counted(places):
        counts = np.zeros((len(places), len(ids)))
        for row, place in enumerate(places):
            np.add.at(counts[row], [ids[group] for group in cut(place) if group in ids], 1)
        return counts

    one_hot = np.eye(len(task.classes))[task.labels[learned]]
    counts = one_hot.T @ counted(learned) + added
    log_p = np.log(counts / counts.sum(axis=1, keepdims=True))
    prior = np.log((one_hot.sum(axis=0) + 1) / (len(learned) + len(task.classes)))

    def probabilities(places):
        logits = counted(places) @ log_p.T + prior
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        return p / p.sum(axis=1, keepdims=True)

    return probabilities


def accuracy(probabilities, labels):
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="which words have a label (default: 0)")
    parser.add_argument("--epochs", type=int, metavar="N", help="of the language models (default: %(default)s)")
    parser.set_defaults(epochs=READING["epochs"])
    options = parser.parse_args()
    task, seed = languages(word_lists()), options.seed
    print(f"{len(task.read):,} words to read, {LABELLED} of them with a label; {len(task.test):,} others to tell")
    ahead, back = (
        language_model(task, {**READING, "epochs": options.epochs}, backwards) for backwards in (False, True)
    )
    settings = SETTINGS["classifier"]
    print("Of the others are right:")

    def show(name, probabilities):
        print(f"  {name:36} {accuracy(probabilities(task.test), task.labels[task.test]):.3f}", flush=True)
        return probabilities

    show("naive Bayes on groups of letters", naive_bayes(task, seed, **SETTINGS["naive bayes"]))
    show("an LSTM of Keras's, both ways", keras_lstm(task, seed, **SETTINGS["keras"]))
    show("the same network from scratch", from_scratch(task, seed, READING["model"], **SETTINGS["scratch"]))
    forward = show("from a language model", classifier(task, ahead, seed, **settings))
    backward = classifier(task, back, seed, **settings, backwards=True)
    show("from two, one for each direction", lambda places: (forward(places) + backward(places)) / 2)


if __name__ == "__main__":
    main()
