"""AWD-LSTM against Keras's own LSTM, each at its best: `examples/against_keras.py`, searched and repeated.

KERAS_BACKEND=tensorflow python experiments/search_against_keras.py --output runs/against_keras
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from study import Contender, choice, final, log_uniform, search, uniform

sys.path.append(str(Path(__file__).parents[1] / "examples"))
import against_keras as example

from awd_keras import data

EPOCHS, PATIENCE = 100, 20
STOCK = {
    "shape": choice(*example.SHAPES),
    "batch_size": choice(10, 20, 40),
    "window": choice(35, 70),
    "halve_on_plateau": choice(False, True),
}
DROPOUTS = {"dropout": uniform(0.1, 0.6), "recurrent_dropout": uniform(0.0, 0.5)}
SPACES = {
    "keras-adam": {"learning_rate": log_uniform(5e-4, 2e-2), **STOCK},
    "keras-dropout": {"learning_rate": log_uniform(5e-4, 2e-2), **STOCK, **DROPOUTS},
    "keras-sgd": {"learning_rate": log_uniform(3, 60), **STOCK, **DROPOUTS},
    "awd-lstm": {
        "learning_rate": log_uniform(3, 60),
        "batch_size": choice(10, 20, 40),
        "bptt": choice(35, 70),
        "embedding_dropout": uniform(0.0, 0.2),
        "input_dropout": uniform(0.1, 0.6),
        "hidden_dropout": uniform(0.0, 0.5),
        "output_dropout": uniform(0.1, 0.6),
        "weight_drop": uniform(0.0, 0.6),
    },
}


def contender(name, corpus):
    def run(settings, seed, tested):
        model, curves = example.train(name, corpus, settings, seed, epochs=EPOCHS, patience=PATIENCE)
        valid = np.nan_to_num(curves["valid"], nan=np.inf)
        result = {"valid": float(valid.min()), "best_epoch": int(valid.argmin()) + 1, "curves": curves}
        if tested:
            result["test"] = example.perplexity(model, corpus.test)
        return {**result, "weights": model.count_params()}

    return Contender(name, SPACES[name], run)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--trials", type=int, default=16, metavar="N")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], metavar="N")
    parser.add_argument("--only", nargs="+", choices=SPACES, default=list(SPACES), metavar="NAME")
    options = parser.parse_args()
    corpus = data.Corpus.python_docs()
    for name in options.only:
        one = contender(name, corpus)
        final(options.output, one, search(options.output, one, options.trials), options.seeds)


if __name__ == "__main__":
    main()
