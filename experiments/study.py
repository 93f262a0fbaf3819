"""A fair comparison: as many trials for every contender, settings chosen by validation, the test looked at once.

A study has contenders. Each is tried with settings that are drawn at random from its own space; the trial with the
best validation is chosen; what it chose is trained anew with other seeds, and only these runs are tested. Every run
is a file of its own, so that a study that is killed goes on where it was, and two processes may share its contenders.
"""

import dataclasses
import json
import math
import time
import zlib
from collections.abc import Callable
from statistics import mean

import keras
import numpy as np

from awd_keras.runs.finish import versions
from awd_keras.write_whole import write_whole


@dataclasses.dataclass(frozen=True)
class Contender:
    """What is compared.

    Args:
        name: a directory's name.
        space: for each setting, a function that draws a value from a `numpy.random.Generator`.
        run: function `(settings, seed, tested)` that trains and returns what JSON can hold: `valid`, the figure that
            decides (lower is better), and if `tested`, `test`.
    """

    name: str
    space: dict[str, Callable]
    run: Callable


def uniform(low, high):
    """Draws evenly between two numbers."""
    return lambda rng: round(float(rng.uniform(low, high)), 3)


def log_uniform(low, high):
    """Draws evenly between the logarithms of two numbers."""
    return lambda rng: float(f"{math.exp(rng.uniform(math.log(low), math.log(high))):.3g}")


def choice(*values):
    """Draws one of some values."""
    return lambda rng: values[rng.integers(len(values))]


def settings_of(contender, number):
    """The settings of a trial, the same wherever and whenever they are drawn."""
    rng = np.random.default_rng([zlib.crc32(contender.name.encode()), number])
    return {name: draw(rng) for name, draw in contender.space.items()}


def search(output, contender, trials):
    """Runs the trials that haven't been run yet, and returns the settings of the best."""
    for number in range(trials):
        settings = settings_of(contender, number)
        _run(output / contender.name / f"trial-{number:02}.json", contender, settings, seed=1000 + number, tested=False)
    return chosen(output, contender, trials)


def chosen(output, contender, trials):
    """The settings with the best validation, once all trials have been run; else None."""
    paths = [output / contender.name / f"trial-{number:02}.json" for number in range(trials)]
    if not all(path.is_file() for path in paths):
        return None
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    return min(runs, key=lambda run: run["valid"])["settings"]


def final(output, contender, settings, seeds):
    """Trains with the settings that were chosen, once a seed, and tests."""
    for seed in seeds:
        _run(output / contender.name / f"seed-{seed}.json", contender, settings, seed, tested=True)


def finals(output, name):
    """The finished runs of a contender, by seed."""
    paths = {int(path.stem.removeprefix("seed-")): path for path in (output / name).glob("seed-*.json")}
    return {seed: json.loads(paths[seed].read_text(encoding="utf-8")) for seed in sorted(paths)}


def spread(values):
    """Mean and range, in words."""
    values = list(values)
    return f"{mean(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def _run(path, contender, settings, seed, tested):
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))["settings"]
        if before != settings:
            raise ValueError(f"{path} is a run with other settings ({before}): choose another --output")
        return
    keras.utils.clear_session()
    began = time.perf_counter()
    result = contender.run(settings, seed, tested)
    # NaN, of a training that diverged, is worse than any number, and no JSON.
    result["valid"] = result["valid"] if math.isfinite(result["valid"]) else 1e9
    line = {"settings": settings, "seed": seed, **result, "seconds": round(time.perf_counter() - began, 1)}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {**line, "backend": keras.backend.backend(), "versions": versions()})
    shown = f"valid {line['valid']:.4g}" + (f", test {line['test']:.4g}" if tested else "")
    print(f"{contender.name} {path.stem}: {shown}, {line['seconds']:.0f} s, {settings}", flush=True)


def write_json(path, value):
    """Writes a file that a person can read."""
    write_whole(path, lambda beside: beside.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8"))
