"""How much each part of AWD-LSTM contributes to a fully trained model: `examples/against_keras.py` without that part.

    KERAS_BACKEND=torch python experiments/without_a_part.py --output runs/without_a_part --seeds 0 1 2 3 4

All other settings are those of the full model. All parts are trained with the first seed, then with the next, so that
the table is useful before all runs are finished. The parts:

    nt-asgd            averaging: SGD at a constant rate
    carried-state      the state that goes from window to window in training; validation and test carry it
    locked-dropout     the three locked dropouts: of inputs, between the layers, of outputs
    weight-drop        dropped recurrent weights
    embedding-dropout  dropped words
    ar-tar             both penalties of activations
    variable-length    windows of random lengths: each has `bptt` tokens
    weight-decay       weight decay
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from study import Contender, chance, final, finals, spread

sys.path.append(str(Path(__file__).parents[1] / "examples"))
import against_keras as example
from ablation import PAPER

from awd_keras import data, evaluation, models

NEVER = object()  # stands for the number of epochs, as averaging then never begins
LEFT_OUT = {
    "full": {},
    "nt-asgd": {"interval": NEVER},
    "carried-state": {"stateful": False},
    "locked-dropout": {"input_dropout": 0.0, "hidden_dropout": 0.0, "output_dropout": 0.0},
    "weight-drop": {"weight_drop": 0.0},
    "embedding-dropout": {"embedding_dropout": 0.0},
    "ar-tar": {"alpha": 0.0, "beta": 0.0},
    "variable-length": {"variable": False},
    "weight-decay": {"weight_decay": 0.0},
}


def settings_without(name, epochs):
    """The full model's settings without a part, for a training of so many epochs."""
    settings = {**example.SETTINGS["awd-lstm"], **LEFT_OUT[name]}
    return {key: epochs if value is NEVER else value for key, value in settings.items()}


def variant(name, corpus, epochs):
    def run(settings, seed, epochs, tested):
        model, curves = example.train_awd_lstm(corpus, **settings, seed=seed, epochs=epochs)
        reader = model
        if not model.stateful:
            reader = models.AWDLSTM.from_config({**model.get_config(), "stateful": True})
            reader.build((10, None))
            reader.set_weights(model.get_weights())
        result = {"best_epoch": int(np.argmin(curves["valid"])) + 1, "curves": curves, "weights": model.count_params()}
        for split in ("valid", "test"):
            result[split] = evaluation.perplexity(reader, getattr(corpus, split)).perplexity
        return result

    return Contender(name, {}, {}, run, epochs)


def report(output):
    """The table of all finished runs. Changes are over the seeds that both models have."""
    full = finals(output, "full")
    lines = [
        "| left out | seeds | train | test | test, change | by chance | the paper's change |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in LEFT_OUT:
        runs = finals(output, name)
        if not runs:
            continue
        train = spread(run["curves"]["train"][run["best_epoch"] - 1] for run in runs.values())
        tests = [run["test"] for run in runs.values()]
        before = [full[seed]["test"] for seed in runs if seed in full]
        compared = name != "full" and len(before) == len(tests)
        change = f"{sum(tests) / sum(before) - 1:+.1%}" if compared else ""
        found = f"{chance(tests, before):.0%}" if compared and len(tests) > 3 else ""
        paper = f"{PAPER[name][1] / PAPER['full'][1] - 1:+.0%}" if name in PAPER and name != "full" else ""
        lines.append(f"| {name} | {len(runs)} | {train} | {spread(tests)} | {change} | {found} | {paper} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], metavar="N")
    parser.add_argument("--epochs", type=int, default=example.EPOCHS, metavar="N", help="at most (default: 80)")
    parser.add_argument("--only", nargs="+", choices=LEFT_OUT, default=list(LEFT_OUT), metavar="NAME")
    options = parser.parse_args()
    corpus = data.Corpus.python_docs()
    for seed in options.seeds:
        for name in options.only:
            one = variant(name, corpus, options.epochs)
            final(options.output, one, settings_without(name, options.epochs), [seed])
            print(report(options.output))


if __name__ == "__main__":
    main()
