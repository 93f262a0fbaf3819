"""One bias vector a layer, as in Keras, or two, as in PyTorch: the reference trained with either on Python's text."""

import argparse
import dataclasses
import math
import os
import pathlib
import statistics

os.environ.setdefault("KERAS_BACKEND", "torch")

import torch
from measure import report
from reference_torch import Reference, Trainer, device
from shapes import Shape
from torch.nn import functional

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
    """One row: `count` biases a layer, without averaging."""
    preset = PRESETS["tiny"]
    shape = dataclasses.replace(
        Shape(vocabulary_size=len(corpus.vocabulary), batch_size=preset.batch_size, bptt=preset.bptt), **preset.model
    )
    torch.manual_seed(seed)
    model = Reference(shape).to(device())
    for lstm in model.lstms if count == 1 else ():
        lstm.bias_hh_l0.requires_grad_(False).zero_()
    learning_rate = preset.optimizer["learning_rate"]
    trainer = Trainer(model, learning_rate)
    text = BPTTDataset(corpus.train, preset.batch_size, preset.bptt, seed=seed, length_multiple=1)
    valid = BPTTDataset(corpus.valid, preset.valid_batch_size, preset.bptt, variable=False)
    losses, shares = [], []
    for _ in range(epochs):
        model.train()
        model.state = None
        for x, y in windows(text):
            trainer.optimizer.param_groups[0]["lr"] = learning_rate * len(x) / preset.bptt
            trainer.step(x, y)
            shares.append(share_of_biases(model))
        text.on_epoch_end()
        losses.append(score(model, valid))
    best = min(range(epochs), key=losses.__getitem__)
    return {
        "biases a layer": count,
        "seed": seed,
        "share of the gradient's norm": statistics.median(shares),
        "valid perplexity": math.exp(losses[best]),
        "best epoch": best + 1,
    }


def windows(dataset):
    for index in range(len(dataset)):
        yield [torch.as_tensor(part.T.astype("int64"), device=device()) for part in dataset[index]]


def share_of_biases(model):
    """The norm of the LSTMs' bias gradients over that of all gradients: what clipping sees of them."""
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    whole = torch.stack([g.square().sum() for g in gradients.values()]).sum()
    biases = torch.stack([g.square().sum() for name, g in gradients.items() if ".bias_" in name]).sum()
    return (biases / whole).sqrt().item()


@torch.inference_mode()
def score(model, dataset):
    """The mean cross-entropy of a token."""
    model.eval()
    model.state = None
    total = count = 0
    for x, y in windows(dataset):
        logits, _, _ = model(x)
        total += functional.cross_entropy(logits, y.flatten(), reduction="sum").item()
        count += y.numel()
    return total / count


if __name__ == "__main__":
    main()
