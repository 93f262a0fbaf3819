"""One bias vector a layer, as in Keras, or two, as in PyTorch? Trains the reference with each on Python's text."""

import argparse
import dataclasses
import os
import pathlib
import statistics
import sys

os.environ.setdefault("KERAS_BACKEND", "torch")

import torch

sys.path.append(str(pathlib.Path(__file__).parents[1] / "benchmarks"))
from measure import report
from reference_torch import Reference, Trainer, device, learning_curve
from shapes import Shape

from awd_keras.data import BPTTDataset, Corpus
from awd_keras.models import PRESETS

COLUMNS = ("biases a layer", "seed", "share of the gradient's norm", "valid perplexity", "best epoch")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=12, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N", help="(default: 0 1 2)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write the figures to FILE too")
    options = parser.parse_args()
    corpus = Corpus.python_docs()
    rows = [train(corpus, count, seed, options.epochs) for seed in options.seeds for count in (1, 2)]
    report(options, COLUMNS, rows)


def train(corpus, count, seed, epochs):
    """One row of the table, for `count` biases in each layer, without averaging."""
    preset = PRESETS["tiny"]
    shape = dataclasses.replace(
        Shape(vocabulary_size=len(corpus.vocabulary), batch_size=preset.batch_size, bptt=preset.bptt), **preset.model
    )
    torch.manual_seed(seed)
    # Averaging never begins, as the trigger needs more measures than there are epochs.
    recipe = {**preset.optimizer, "non_monotone_interval": epochs}
    trainer = Watched(Reference(shape, biases=count).to(device()), **recipe)
    text = BPTTDataset(corpus.train, preset.batch_size, preset.bptt, seed=seed, length_multiple=1)
    valid = BPTTDataset(corpus.valid, preset.valid_batch_size, preset.bptt, variable=False)
    best = min(learning_curve(trainer, text, valid, epochs), key=lambda line: line["valid_perplexity"])
    return {
        "biases a layer": count,
        "seed": seed,
        "share of the gradient's norm": statistics.median(trainer.shares),
        "valid perplexity": best["valid_perplexity"],
        "best epoch": best["epoch"],
    }


class Watched(Trainer):
    """Records at each step how large a share of the norm of all gradients, which is clipped, the LSTMs' biases have."""

    def __init__(self, model, **recipe):
        super().__init__(model, **recipe)
        self.shares = []

    def step(self, x, y):
        loss = super().step(x, y)
        gradients = {name: p.grad.square().sum() for name, p in self.model.named_parameters() if p.requires_grad}
        biases = sum(square for name, square in gradients.items() if ".bias_" in name)
        self.shares.append((biases / sum(gradients.values())).sqrt().item())
        return loss


if __name__ == "__main__":
    main()
