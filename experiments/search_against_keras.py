"""AWD-LSTM against Keras's own LSTM, each at its best: `examples/against_keras.py`, searched and repeated.

    KERAS_BACKEND=jax python experiments/search_against_keras.py --output runs/against_keras
    KERAS_BACKEND=jax python experiments/search_against_keras.py --text tunes --output runs/tunes   # examples/tunes.py

Each model has eight trials of 24 epochs. The best three are trained to the end: 80 epochs, or fewer if validation
hasn't improved for 10. The best of these settings are trained with five seeds. There were two searches. The first
trial of the first search has settings chosen by hand, and the others are drawn from wide ranges. The first trial of the
second search, which is the default, has the settings that the first one chose, and the others are drawn around them.
With --only, several processes with different backends can share the work: Keras's own LSTM is fastest on JAX.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from study import (
    Contender,
    argument_parser,
    choice,
    final,
    finals,
    log_uniform,
    of_curves,
    pack,
    search,
    spreads,
    uniform,
)

sys.path.append(str(Path(__file__).parents[1] / "examples"))
import against_keras as example
import tunes

from awd_keras import data

RESULTS = Path(__file__).parents[1] / "docs" / "results"
SHORT, KEPT = 24, 3  # epochs of a trial, and how many of the trials go on
# Adam needs small batches here: with larger ones it rarely learns more than how frequent the words are.
ADAM = {
    "learning_rate": log_uniform(5e-4, 1e-2),
    "weight_decay": log_uniform(1e-3, 0.3),
    "batch_size": choice(5, 10, 20),
}
SGD = {
    "learning_rate": log_uniform(5, 30),
    "weight_decay": log_uniform(1e-6, 1e-4),
    "batch_size": choice(10, 20),
}
STOCK = {
    "shape": choice(*example.SIZES.keras),
    "window": choice(35, 70),
    "halve_on_plateau": choice(False, True),
}
DROPOUTS = {"dropout": uniform(0.2, 0.6), "recurrent_dropout": uniform(0.0, 0.5)}
SPACES = {
    "keras-adam": {**ADAM, **STOCK},
    "keras-dropout": {**ADAM, **STOCK, **DROPOUTS},
    "keras-sgd": {**SGD, **STOCK, **DROPOUTS},
    "awd-lstm": {
        **SGD,
        "interval": choice(1, 2, 5),
        "num_layers": choice(*example.SIZES.ours),
        "bptt": choice(35, 70),
        "embedding_dropout": uniform(0.0, 0.2),
        "input_dropout": uniform(0.2, 0.6),
        "hidden_dropout": uniform(0.1, 0.5),
        "output_dropout": uniform(0.2, 0.6),
        "weight_drop": uniform(0.1, 0.6),
    },
}

# Settings chosen by hand, the best of a few that were tried.
BY_HAND = {"shape": "one layer", "window": 35, "halve_on_plateau": True}
ADAM_BY_HAND = {**BY_HAND, "learning_rate": 3e-3, "weight_decay": 0.01, "batch_size": 10}
SGD_BY_HAND = {"learning_rate": 15.0, "weight_decay": 1e-5, "batch_size": 20}
FIRST = {
    "keras-adam": ADAM_BY_HAND,
    "keras-dropout": {**ADAM_BY_HAND, "dropout": 0.4, "recurrent_dropout": 0.2},
    "keras-sgd": {**BY_HAND, **SGD_BY_HAND, "dropout": 0.5, "recurrent_dropout": 0.2},
    "awd-lstm": {
        **SGD_BY_HAND,
        "batch_size": 10,
        "weight_decay": 3e-5,
        "interval": 2,
        "num_layers": 1,
        "bptt": 35,
        "embedding_dropout": 0.1,
        "input_dropout": 0.5,
        "hidden_dropout": 0.3,
        "output_dropout": 0.5,
        "weight_drop": 0.4,
    },
}

# The first search had AR and TAR fixed.
FIXED = {"awd-lstm": {"alpha": 2.0, "beta": 1.0}}
# AR, TAR and weight drop may be 0: with the settings of the first search, validation was better without them.
OPEN = {"alpha": choice(0.0, 0.5, 1.0, 2.0), "beta": choice(0.0, 0.5, 1.0), "weight_drop": uniform(0.0, 0.4)}


def around(settings, too_strong):
    """A space around settings: rates from half to twice their value, other settings unchanged.

    Dropouts are drawn within 0.2 of their value, or where they were too strong, from 0 to their value.
    """

    def draws(name, value):
        if name in ("learning_rate", "weight_decay"):
            return log_uniform(value / 2, value * 2)
        if "drop" not in name:
            return choice(value)
        return uniform(0.0, value) if too_strong else uniform(max(value - 0.2, 0.0), value + 0.2)

    space = {name: draws(name, value) for name, value in settings.items()}
    return {**space, **{name: draw for name, draw in OPEN.items() if name in space}}


class Text(NamedTuple):
    """A text, the sizes of its models, its folder of results, the digits of its perplexities, and whose dropouts were
    too strong.

    These are the models whose training perplexity, with dropout, ended the first search no better than validation's.
    """

    read: Callable
    sizes: example.Sizes
    results: str
    digits: int
    too_strong: tuple[str, ...] = ()


TEXTS = {
    "python-docs": Text(data.Corpus.python_docs, example.SIZES, "against_keras", digits=1),
    "tunes": Text(
        lambda: tunes.read_corpus(tunes.read_tunes(tunes.collection())),
        tunes.SIZES,
        "tunes",
        digits=2,
        too_strong=("awd-lstm",),
    ),
}


def chosen_first(name, text):
    """The settings that the first search has chosen for a model: those of its final runs."""
    runs = json.loads((RESULTS / text.results / "first.json").read_text(encoding="utf-8"))
    return {**runs[name]["seed-0"]["settings"], **FIXED.get(name, {})}


def contender(name, text, corpus, epochs, first_search):
    if first_search:
        tried = FIRST[name], SPACES[name]
    else:
        chosen = chosen_first(name, text)
        tried = chosen, around(chosen, name in text.too_strong)

    def run(settings, seed, epochs, tested):
        model, curves = example.train(name, corpus, settings, seed, sizes=text.sizes, epochs=epochs)
        result = of_curves(curves)
        if tested:
            result["test"] = example.perplexity(model, corpus.test)
        return {**result, "weights": model.count_params()}

    return Contender(name, *tried, run, epochs)


def report(output, digits=1):
    """The table of all finished runs. Also draws the curves of the first seed, once all models have finished it."""
    found = {name: list(finals(output, name).values()) for name in SPACES}
    found = {name: runs for name, runs in found.items() if runs}
    lines = [
        "| model | weights | epochs | train | valid | test |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, runs in found.items():
        epochs = ", ".join(str(run["best_epoch"]) for run in runs)
        figures = " | ".join(spreads(runs, digits))
        lines.append(f"| {example.NAMES[name]} | {runs[0]['weights']:,} | {epochs} | {figures} |")
    if len(found) == len(SPACES):
        example.draw({name: found[name][0]["curves"] for name in example.NAMES}, output / "curves.png")
    return "\n".join(lines) + "\n"


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--text", choices=TEXTS, default="python-docs", help="(default: %(default)s)")
    parser.add_argument(
        "--epochs", type=int, default=example.EPOCHS, metavar="N", help="at most (default: %(default)s)"
    )
    parser.add_argument("--first-search", action="store_true", help="default: the second")
    parser.add_argument("--only", nargs="+", choices=SPACES, default=list(SPACES), metavar="NAME")
    options = parser.parse_args()
    text = TEXTS[options.text]
    corpus = text.read()
    for name in options.only:
        one = contender(name, text, corpus, options.epochs, options.first_search)
        final(options.output, one, search(options.output, one, options.trials, SHORT, KEPT), options.seeds)
        print(report(options.output, text.digits))
    pack(options.output, SPACES)


if __name__ == "__main__":
    main()
