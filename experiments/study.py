"""A fair comparison: every contender has as many trials, validation chooses the settings, and the test is used once.

A study compares contenders. Each has a first trial with settings that are known to be good for it, and further trials
with settings drawn at random from its own space. Trials may be short: then the best few are trained again, to the end.
The settings with the best validation are trained with each seed, and only these runs are tested. Every run has its own
file, so that a study that is killed can continue, and several processes can share its contenders.
"""

import argparse
import dataclasses
import itertools
import json
import math
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from statistics import mean

import keras
import numpy as np

from awd_keras.output import write_whole
from awd_keras.runs.fitting import versions


@dataclasses.dataclass(frozen=True)
class Contender:
    """A model, with its training, that a study compares with others.

    Args:
        name: the name of its directory.
        first: the settings of the first trial: those that one would try before a search.
        space: for each setting, a function that draws a value from a `numpy.random.Generator`.
        run: function `(settings, seed, epochs, tested)` that trains. It returns a dictionary that JSON can hold, with
            `valid`, the measure that decides (lower is better), and if `tested`, `test`.
        epochs: the most epochs of a whole training.
    """

    name: str
    first: dict
    space: dict[str, Callable]
    run: Callable
    epochs: int


def uniform(low, high):
    """Draws uniformly between two numbers."""
    return lambda rng: round(float(rng.uniform(low, high)), 3)


def log_uniform(low, high):
    """Draws uniformly between the logarithms of two numbers."""
    return lambda rng: float(f"{math.exp(rng.uniform(math.log(low), math.log(high))):.3g}")


def choice(*values):
    """Draws one of the values."""
    return lambda rng: values[rng.integers(len(values))]


def settings_of(contender, number):
    """The settings of a trial. They depend only on the contender and the number."""
    if number == 0:
        return contender.first
    rng = np.random.default_rng([zlib.crc32(contender.name.encode()), number])
    return {name: draw(rng) for name, draw in contender.space.items()}


def search(output, contender, trials, short=None, kept=2):
    """Runs all trials that haven't been run, and returns the settings of the best one.

    With `short`, trials have only this number of epochs, and the `kept` best are trained again to the end.
    """
    tried = [settings_of(contender, number) for number in range(trials)]
    runs = []
    for number, settings in enumerate(tried):
        path = output / contender.name / f"trial-{number:02}.json"
        runs.append(_run(path, contender, settings, 1000 + number, short or contender.epochs))
    if short:
        best = sorted(range(trials), key=lambda number: runs[number]["valid"])[:kept]
        runs = []
        for number in best:
            path = output / contender.name / f"whole-{number:02}.json"
            runs.append(_run(path, contender, tried[number], 2000 + number, contender.epochs))
    return min(runs, key=lambda run: run["valid"])["settings"]


def final(output, contender, settings, seeds):
    """Trains with the chosen settings, once for each seed, and tests."""
    for seed in seeds:
        path = output / contender.name / f"seed-{seed}.json"
        _run(path, contender, settings, seed, contender.epochs, tested=True)


def finals(output, name):
    """The finished runs of a contender, by seed."""
    paths = {int(path.stem.removeprefix("seed-")): path for path in (output / name).glob("seed-*.json")}
    return {seed: json.loads(paths[seed].read_text(encoding="utf-8")) for seed in sorted(paths)}


def pack(output, names):
    """Writes all runs of a study's contenders into one file next to the study's directory."""
    runs = {
        name: {
            path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((output / name).glob("*.json"))
        }
        for name in names
    }
    write_json(output.with_name(f"{output.name}.json"), runs)


def argument_parser(description):
    """A parser of the options that all studies have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--trials", type=int, default=8, metavar="N")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], metavar="N")
    return parser


def of_curves(curves):
    """A run's result by its `train` and `valid` perplexities of each epoch: the best epoch by validation counts."""
    # A training that diverged is worse than any other.
    valid = np.nan_to_num(curves["valid"], nan=np.inf)
    return {"valid": float(valid.min()), "best_epoch": int(valid.argmin()) + 1, "curves": curves}


def spreads(runs, digits=1):
    """Training at the best epoch, validation and test of some runs, each as `spread` writes it."""
    train = [run["curves"]["train"][run["best_epoch"] - 1] for run in runs]
    return [
        spread(values, digits) for values in (train, *([run[split] for run in runs] for split in ("valid", "test")))
    ]


def spread(values, digits=1):
    """Mean and range as a text."""
    values = list(values)
    middle, least, most = (f"{value:.{digits}f}" for value in (mean(values), min(values), max(values)))
    return f"{middle} ({least} to {most})"


def chance(first, second):
    """A permutation test: how often two random groups of these numbers have means at least as far apart."""
    figures = [*first, *second]
    found, count, total = abs(mean(first) - mean(second)), 0, 0
    for places in itertools.combinations(range(len(figures)), len(first)):
        dealt = [figures[place] for place in places]
        others = [figure for place, figure in enumerate(figures) if place not in places]
        count += abs(mean(dealt) - mean(others)) >= found - 1e-12
        total += 1
    return count / total


def _run(path, contender, settings, seed, epochs, tested=False):
    """The result of a run, which is read from its file if that exists."""
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        if before["settings"] != settings:
            raise ValueError(f"{path} is a run with other settings ({before['settings']}): choose another --output")
        return before
    keras.utils.clear_session()
    began = time.perf_counter()
    result = contender.run(settings, seed, epochs, tested)
    # NaN of a diverged training counts as worse than any number; JSON can't hold it.
    result["valid"] = result["valid"] if math.isfinite(result["valid"]) else 1e9
    line = {"settings": settings, "seed": seed, **result, "seconds": round(time.perf_counter() - began, 1)}
    path.parent.mkdir(parents=True, exist_ok=True)
    line = {**line, "backend": keras.backend.backend(), "versions": versions()}
    write_json(path, line)
    shown = f"valid {line['valid']:.4g}" + (f", test {line['test']:.4g}" if tested else "")
    print(f"{contender.name} {path.stem}: {shown}, {line['seconds']:.0f} s, {settings}", flush=True)
    return line


def write_json(path, value):
    """Writes JSON with line breaks, for readers."""
    write_whole(path, lambda beside: beside.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8"))
