"""Measures what the deviations from the paper and its code change, without training them; see docs/paper_map.md."""

import argparse
import json
import math
import os
import pathlib
import sys

os.environ.setdefault("KERAS_BACKEND", "torch")

import numpy as np

sys.path.append(str(pathlib.Path(__file__).parents[1] / "benchmarks"))
from measure import machine

from awd_keras.data import BPTTDataset
from awd_keras.models import AWDLSTM, PRESETS
from awd_keras.output import write_whole

# The tokens of each split and the words, with the <eos> of every line; and the original code's perplexities.
TEXTS = {
    "ptb": ((929_589, 73_760, 82_430), 10_000, (61.2, 58.8)),
    "wikitext-2": ((2_088_628, 217_646, 245_569), 33_278, (68.7, 65.6)),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=500, metavar="N", help="of window lengths (default: %(default)s)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write the figures to FILE too")
    options = parser.parse_args()
    figures = {name: text_figures(name, options.epochs) for name in TEXTS}
    figures["steps whose iterates torch.optim.ASGD(t0=0) leaves out of its average"] = asgd_leaves_out()
    figures["rates 1, 2, 3, 4 as torch.optim.ASGD steps with them"] = asgd_steps_with([1.0, 2.0, 3.0, 4.0])
    text = json.dumps({**figures, "epochs": options.epochs, "machine": machine()}, indent=2)
    print(text)
    if options.json:
        write_whole(options.json, lambda path: path.write_text(text + "\n", encoding="utf-8"))


def text_figures(name, epochs):
    (train, valid, test), words, perplexities = TEXTS[name]
    preset = PRESETS[name]
    tokens = np.zeros(train, "int32")
    ours = BPTTDataset(tokens, preset.batch_size, length_multiple=1)
    few = BPTTDataset(tokens, preset.batch_size, length_multiple=7)
    originals = [original_lengths(train, preset, epoch) for epoch in range(epochs)]
    return {
        "windows, the original's": lengths_of(originals),
        "windows, ours": lengths_of([ours.window_lengths(epoch) for epoch in range(epochs)]),
        "windows, ours with length_multiple=7": {
            **lengths_of([few.window_lengths(epoch) for epoch in range(epochs)]),
            "lengths in all epochs": len(
                {one for epoch in range(epochs) for one in few.window_lengths(epoch).tolist()}
            ),
        },
        "lengths changed by the cap": capped(ours, epochs),
        "lengths changed for a constant number of windows": made_to_fit(ours, epochs),
        "training targets, the original's and ours": [
            (train // preset.batch_size - 1) * preset.batch_size,
            (train - 1) // preset.batch_size * preset.batch_size,
        ],
        "perplexity, valid and test": [
            original_count(length, rows, perplexity)
            for length, rows, perplexity in zip(
                (valid, test), (preset.valid_batch_size, preset.test_batch_size), perplexities, strict=True
            )
        ],
        "rates a window late": late(np.concatenate(originals)),
        "parameters, with one bias and two": biases(name, words),
    }


def original_lengths(train, preset, epoch):
    """The lengths of the original code's windows in an epoch: truncated to integers, without a largest length."""
    rng = np.random.default_rng([1, epoch])
    rest = train // preset.batch_size - 1
    lengths = []
    # The original code leaves out a single target at the end.
    while rest > 1:
        base = preset.bptt if rng.random() < 0.95 else preset.bptt / 2
        lengths.append(min(max(5, int(rng.normal(base, 5))), rest))
        rest -= lengths[-1]
    return np.array(lengths)


def lengths_of(epochs):
    """The number of windows in an epoch, and statistics of their lengths."""
    counts = [len(lengths) for lengths in epochs]
    lengths = np.concatenate(epochs)
    return {
        "an epoch": round(float(np.mean(counts)), 2),
        "sd": round(float(np.std(counts)), 2),
        "mean length": round(float(lengths.mean()), 3),
        "sd of lengths": round(float(lengths.std()), 3),
        "below 50": round(float((lengths < 50).mean()), 4),
        "longest": int(lengths.max()),
        "shortest": int(lengths.min()),
    }


def drawn(dataset, epoch):
    """The lengths that `BPTTDataset` draws for an epoch, before it limits them and fits them to the text."""
    rng = np.random.default_rng([dataset.seed, epoch])
    base = np.where(rng.random(len(dataset)) < 0.05, dataset.bptt / 2, dataset.bptt)
    return np.maximum(np.rint(rng.normal(base, 5)).astype("int64"), 5)


def capped(dataset, epochs):
    cap = dataset.bptt + 20
    over = [length - cap for epoch in range(epochs) for length in drawn(dataset, epoch).tolist() if length > cap]
    return {"of": epochs * len(dataset), "capped": len(over), "by at most": max(over, default=0)}


def made_to_fit(dataset, epochs):
    cap = dataset.bptt + 20
    changes = [np.abs(dataset.window_lengths(e) - np.minimum(drawn(dataset, e), cap)) for e in range(epochs)]
    # Checks that `drawn` follows the same rule as `BPTTDataset`: with another rule, nearly all lengths would differ.
    assert np.median(np.concatenate(changes)) <= 1
    return {
        "share": round(float(np.mean([(change > 0).mean() for change in changes])), 3),
        "most in an epoch": round(float(max((change > 0).mean() for change in changes)), 3),
        "by at most": int(max(change.max() for change in changes)),
        "mean over all windows": round(float(np.mean(np.concatenate(changes))), 3),
    }


def original_count(tokens, rows, perplexity):
    """The perplexity that the original reports, and the true one: it divides the sum over n - 1 targets by n."""
    n = tokens // rows
    exact = math.exp(math.log(perplexity) * n / (n - 1))
    return {"reported": perplexity, "exact": round(exact, 4), "difference": round(exact - perplexity, 4)}


def asgd(rates, gradients):
    """The iterates of `torch.optim.ASGD` from 0, with a rate set before each step as in the original; its average."""
    import torch

    w = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = torch.optim.ASGD([w], lr=rates[0], t0=0, lambd=0.0)
    iterates = [w.item()]
    for rate, gradient in zip(rates, gradients, strict=True):
        optimizer.param_groups[0]["lr"] = rate
        w.grad = torch.full_like(w, gradient)
        optimizer.step()
        iterates.append(w.item())
    return iterates, optimizer.state[w]["ax"].item()


def asgd_leaves_out():
    """How many iterates, from w at the trigger on, are missing in the mean of `torch.optim.ASGD(t0=0)`."""
    iterates, average = asgd([1.0] * 6, [-float(k * k) for k in range(1, 7)])
    return next(k for k in range(6) if math.isclose(average, sum(iterates[k:]) / len(iterates[k:]), rel_tol=1e-6))


def asgd_steps_with(rates):
    """The rates that `torch.optim.ASGD` uses in its steps when these rates are set."""
    iterates, _ = asgd(rates, [-1.0] * len(rates))
    return np.diff(iterates).tolist()


def late(lengths):
    """How far rates proportional to the previous window differ from those proportional to the step's own window."""
    factors = np.maximum(lengths[1:], lengths[:-1]) / np.minimum(lengths[1:], lengths[:-1])
    return {
        "median factor": round(float(np.median(factors)), 3),
        "factors of 1.5 or more": round(float((factors >= 1.5).mean()), 3),
    }


def biases(name, words):
    model = AWDLSTM.from_preset(name, words)
    model.build((1, None))
    one = sum(math.prod(variable.shape) for variable in model.trainable_variables)
    return [one, one + sum(4 * lstm.units for lstm in model.lstms)]


if __name__ == "__main__":
    main()
