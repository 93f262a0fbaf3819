"""Validation perplexity after training in 16 bits, compared with float32, on each backend with each Keras dtype policy.

Each run has its own directory in --output. If the command is stopped, the same command continues; with more --epochs,
it trains the runs further. At the end, or with --report at any time, it prints a table of the finished epochs.
"""

import argparse
import os
import pathlib
import subprocess
import sys

from learning_curves import perplexities  # and puts benchmarks/ in the path
from measure import BACKENDS, print_table, write_json
from shapes import SHAPES

POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")


def main():
    options = _parse()
    options.output.mkdir(parents=True, exist_ok=True)
    if options.train:
        train(options.output / options.train, options)
        return
    if not options.report:
        for backend in options.backend:
            for policy in options.policy:
                # In another process, as Keras chooses its backend once, from the environment.
                command = [sys.executable, *sys.argv, "--train", f"{backend}-{policy}"]
                subprocess.run(command, check=True, env={**os.environ, "KERAS_BACKEND": backend})
    report(options)


def train(directory, options):
    """Begins one run, or continues it."""
    import keras

    keras.config.set_dtype_policy(directory.name.partition("-")[2])
    from awd_keras import runs
    from awd_keras.data import Corpus

    corpus = Corpus.from_directory(options.data)
    if (directory / "config.json").exists():
        runs.resume(directory, corpus, epochs=options.epochs, verbose=2)
        return
    model = SHAPES["small"].model
    del model["vocabulary_size"]  # that of the text is used
    sizes = {"batch_size": SHAPES["small"].batch_size, "bptt": SHAPES["small"].bptt, "epochs": options.epochs}
    runs.train(directory, corpus, "ptb", model=model, seed=options.seed, verbose=2, **sizes)


def report(options):
    """Prints the table, and writes precision.json."""
    figures = {}
    for backend in options.backend:
        for policy in options.policy:
            if found := perplexities(options.output / f"{backend}-{policy}", "valid_perplexity"):
                figures.setdefault(backend, {})[policy] = found
    rows = []
    for backend, policies in figures.items():
        for policy, epochs in policies.items():
            same = policies.get("float32", [])[len(epochs) - 1 : len(epochs)]
            change = f"{epochs[-1] / same[0] - 1:+.2%}" if same else ""
            rows.append((backend, policy, ", ".join(f"{figure:.2f}" for figure in epochs), change))
    print_table(("", "", "valid perplexity after each epoch", "the last against float32's of that epoch"), rows)
    write_json(options.output / "precision.json", {"seed": options.seed, "valid_perplexity": figures})


def _parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=pathlib.Path, required=True, metavar="DIR", help="train.txt, valid.txt, test.txt"
    )
    parser.add_argument("--output", type=pathlib.Path, required=True, metavar="DIR", help="directory of the runs")
    for name, choices in (("backend", BACKENDS), ("policy", POLICIES)):
        help = ", ".join(choices)
        parser.add_argument(f"--{name}", nargs="+", choices=choices, default=choices, metavar="NAME", help=help)
    parser.add_argument("--epochs", type=int, default=4, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--report", action="store_true", help="train nothing")
    parser.add_argument("--train", metavar="RUN", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
