"""Which cell is best in an AWD-LSTM: LSTM, GRU, QRNN or Mogrifier, with the same number of weights and epochs?

    KERAS_BACKEND=jax python experiments/four_cells.py --output runs/cells

Each cell has eight trials of 16 epochs on Python's language reference. The first trial has the settings that an earlier
search chose for an LSTM of this size, the others have random rates. The best four are trained to the end, and the best
of these, by validation, with five seeds. If the command is killed, the same command continues.
"""

import sys
from pathlib import Path

import numpy as np
from study import (
    Contender,
    argument_parser,
    chance,
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

from awd_keras import data

# Units of the first of two layers: the models then have 303,000 weights each. The second has the embedding's size.
HIDDEN_UNITS = {"lstm": 128, "gru": 157, "qrnn": 256, "mogrifier": 88}
NAMES = {"lstm": "LSTM", "gru": "GRU", "qrnn": "QRNN", "mogrifier": "Mogrifier LSTM"}
COLORS = {"lstm": "#0072b2", "gru": "#e69f00", "qrnn": "#009e73", "mogrifier": "#cc79a7"}
EMBEDDING_DIM, EPOCHS, SHORT, KEPT = 64, 60, 16, 4
FIXED = {"batch_size": 10, "bptt": 35, "interval": 2, "alpha": 1.0, "beta": 0.5}
FIRST = {
    "learning_rate": 10.8,
    "embedding_dropout": 0.049,
    "input_dropout": 0.297,
    "hidden_dropout": 0.373,
    "output_dropout": 0.231,
    "weight_drop": 0.164,
}
SPACE = {
    "learning_rate": log_uniform(5, 30),
    "embedding_dropout": uniform(0.0, 0.15),
    "input_dropout": uniform(0.1, 0.4),
    "hidden_dropout": uniform(0.1, 0.4),
    "output_dropout": uniform(0.1, 0.4),
    "weight_drop": uniform(0.0, 0.4),
}


def contender(cell, corpus):
    sizes = example.Sizes({}, {2: {"embedding_dim": EMBEDDING_DIM, "hidden_units": HIDDEN_UNITS[cell]}})

    def run(settings, seed, epochs, tested):
        model, curves = example.train_awd_lstm(
            corpus, **FIXED, **settings, cell=cell, sizes=sizes, epochs=epochs, patience=epochs, seed=seed
        )
        result = of_curves(curves)
        if tested:
            result["test"] = example.perplexity(model, corpus.test)
        return {**result, "weights": model.count_params()}

    return Contender(cell, FIRST, SPACE, run, EPOCHS)


def report(output):
    """The table of all finished runs. `by chance` is about the difference from the LSTM's test perplexity."""
    found = {cell: list(finals(output, cell).values()) for cell in NAMES}
    lines = [
        "| cell | weights | learning rate | train | valid | test | by chance |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for cell, runs in found.items():
        if not runs:
            continue
        rate = f"{runs[0]['settings']['learning_rate']:g}"
        tests, lstm = ([run["test"] for run in found[each]] for each in (cell, "lstm"))
        likely = "" if cell == "lstm" or min(len(tests), len(lstm)) < 4 else f"{chance(tests, lstm):.0%}"
        cells = [NAMES[cell], f"{runs[0]['weights']:,}", rate, *spreads(runs), likely]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(output, path):
    """Draws the validation of each cell by epoch: the mean of the seeds, and a band from the least to the greatest."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    ends = []
    for cell, color in COLORS.items():
        curves = np.array([run["curves"]["valid"] for run in finals(output, cell).values()])
        epochs = np.arange(1, curves.shape[1] + 1)
        axes.plot(epochs, curves.mean(axis=0), color=color, linewidth=2, label=NAMES[cell])
        axes.fill_between(epochs, curves.min(axis=0), curves.max(axis=0), color=color, alpha=0.2, linewidth=0)
        ends.append(curves.mean(axis=0)[-1])
    # The first epochs are outside of the picture.
    axes.set_ylim(min(ends) * 0.95, 2 * max(ends))
    axes.set_xlabel("epoch")
    axes.set_ylabel("validation perplexity")
    axes.set_title("Four cells: mean of five seeds, least and greatest", fontsize="medium")
    axes.legend()
    figure.savefig(path, dpi=120)


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES), metavar="NAME")
    options = parser.parse_args()
    corpus = data.Corpus.python_docs()
    for cell in options.only:
        one = contender(cell, corpus)
        final(options.output, one, search(options.output, one, options.trials, SHORT, KEPT), options.seeds)
        print(report(options.output))
    if all(finals(options.output, cell) for cell in NAMES):
        draw(options.output, options.output.with_name(f"{options.output.name}.png"))
        pack(options.output, NAMES)


if __name__ == "__main__":
    main()
