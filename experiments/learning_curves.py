"""Perplexity by epoch: awd_keras on each backend and the PyTorch reference, with the same settings and several seeds.

Each run has its own directory in --output. If the command is stopped, the same command continues. At the end, or with
--report at any time, it prints tables of the finished epochs, and draws them.
"""

import argparse
import dataclasses
import itertools
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys

sys.path.append(str(pathlib.Path(__file__).parents[1] / "benchmarks"))
from measure import BACKENDS, print_table, write_json
from shapes import SHAPES

REFERENCE = "reference"
# The training perplexity is the mean over an epoch's steps, with dropout; the validation perplexity is that at its end.
MEASURES = ("valid_perplexity", "train_perplexity")
SPREAD = (
    "the backends' means, largest over smallest",
    "those and the reference's",
    "seeds of one of them, at most",
    "chance of means so far apart if backends were alike",
)


def main():
    options = _parse()
    options.output.mkdir(parents=True, exist_ok=True)
    settings = {"shape": dataclasses.asdict(SHAPES[options.shape]), "preset": options.preset, "epochs": options.epochs}
    path = options.output / "settings.json"
    if not path.exists():
        write_json(path, settings)
    before = json.loads(path.read_text(encoding="utf-8"))
    if others := ", ".join(f"{name}={before[name]!r}" for name in settings if settings[name] != before[name]):
        # Runs with different settings don't belong in the same table.
        print(f"learning_curves: {options.output} holds runs with {others}: choose another --output", file=sys.stderr)
        sys.exit(2)
    for seed in options.seeds:
        for subject in options.subjects:
            directory = options.output / f"{subject}-{seed}"
            if not options.report and not (directory / "result.json").exists():
                (reference if subject == REFERENCE else ours)(options, subject, seed, directory)
    report(options, settings)


def ours(options, backend, seed, directory):
    """Runs `awd-keras train`, as users do."""
    command = [sys.executable, "-m", "awd_keras", "train", "--backend", backend]
    if any(directory.glob("checkpoint-*.keras")):
        command += ["--resume", str(directory)]
    else:
        shape = SHAPES[options.shape]
        settings = dataclasses.asdict(shape) | {"epochs": options.epochs, "seed": seed}
        del settings["vocabulary_size"]  # that of the text is used
        settings |= {"data": options.data, "preset": options.preset, "output": directory}
        command += ["--overwrite", *(f"--{name.replace('_', '-')}={value}" for name, value in settings.items())]
    subprocess.run(command, check=True)


def reference(options, _, seed, directory):
    """Runs reference_torch.py with the same text, windows and settings, which it takes from awd_keras."""
    os.environ["KERAS_BACKEND"] = "torch"
    import torch
    from reference_torch import Reference, Trainer, device, learning_curve

    from awd_keras.data import BPTTDataset, Corpus
    from awd_keras.models import PRESETS

    corpus, preset = Corpus.from_directory(options.data), PRESETS[options.preset]
    shape = dataclasses.replace(SHAPES[options.shape], vocabulary_size=len(corpus.vocabulary))
    train = BPTTDataset(corpus.train, shape.batch_size, bptt=shape.bptt, seed=seed)
    valid = BPTTDataset(corpus.valid, preset.valid_batch_size, bptt=shape.bptt, variable=False)
    torch.manual_seed(seed)
    trainer = Trainer(Reference(shape).to(device()), **preset.optimizer)
    lines = []
    for line in learning_curve(trainer, train, valid, options.epochs):
        print(f"{REFERENCE}, seed {seed}: {line}", flush=True)
        lines.append(line)
    directory.mkdir(exist_ok=True)
    (directory / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    (directory / "result.json").write_text(json.dumps({"epochs": options.epochs}) + "\n", encoding="utf-8")


def report(options, settings):
    """Prints the tables, and writes curves.json and curves.png."""
    epochs = [f"epoch {number + 1}" for number in range(options.epochs)]
    figures = {"settings": settings, "spread": {}}
    for measure in MEASURES:
        curves = {}
        for subject in options.subjects:
            for seed in options.seeds:
                if found := perplexities(options.output / f"{subject}-{seed}", measure):
                    curves.setdefault(subject, {})[seed] = found
        spread = [spread_of(curves, number) for number in range(options.epochs)]
        figures[measure], figures["spread"][measure] = curves, spread
        runs = [(subject, seed, found) for subject, seeds in curves.items() for seed, found in seeds.items()]
        print(f"\n{measure}\n")
        print_table(
            ("", "seed", *epochs),
            ([subject, str(seed), *(f"{figure:.1f}" for figure in found)] for subject, seed, found in runs),
        )
        print()
        print_table(("", *epochs), ([question, *(_percent(each[question]) for each in spread)] for question in SPREAD))
    write_json(options.output / "curves.json", figures)
    draw(figures["valid_perplexity"], options.output / "curves.png")


def perplexities(directory, measure):
    """A run's perplexities, one for each epoch so far."""
    metrics = directory / "metrics.jsonl"
    lines = metrics.read_text(encoding="utf-8").splitlines() if metrics.exists() else []
    return [json.loads(line)[measure] for line in lines]


def draw(curves, path):
    """Draws one line for each run, in its subject's colour."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for number, (subject, seeds) in enumerate(curves.items()):
        for index, figures in enumerate(seeds.values()):
            label = subject if index == 0 else None
            style = "--" if subject == REFERENCE else "-"
            axes.plot(range(1, len(figures) + 1), figures, style, marker=".", color=f"C{number}", label=label)
    axes.set_xlabel("epoch")
    axes.set_ylabel("valid perplexity (logarithmic)")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(LogFormatter())
    axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.4)))
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    figure.savefig(path, dpi=120)


def spread_of(curves, epoch):
    """The values that SPREAD names, of the runs that have reached this epoch; None if there are fewer than two."""
    groups = {
        subject: [figures[epoch] for figures in seeds.values() if len(figures) > epoch]
        for subject, seeds in curves.items()
    }
    groups = {subject: figures for subject, figures in groups.items() if figures}
    backends = [figures for subject, figures in groups.items() if subject != REFERENCE]
    several = [figures for figures in groups.values() if len(figures) > 1]
    answers = (
        _range(map(statistics.fmean, backends)) if len(backends) > 1 else None,
        _range(map(statistics.fmean, groups.values())) if len(groups) > 1 else None,
        max(map(_range, several), default=None),
        _chance(backends) if len(backends) > 1 and several else None,
    )
    return dict(zip(SPREAD, answers, strict=True))


def _percent(share):
    return "-" if share is None else f"{share:.1%}"


def _range(figures):
    """The largest divided by the smallest, minus 1."""
    figures = list(figures)
    return max(figures) / min(figures) - 1


def _chance(groups, deals=20_000):
    """A permutation test: how often random groups of these runs have means at least as far apart."""
    found = _range(map(statistics.fmean, groups))
    runs, generator, count = [*itertools.chain(*groups)], random.Random(0), 0
    for _ in range(deals):
        generator.shuffle(runs)
        rest = iter(runs)
        means = [statistics.fmean(itertools.islice(rest, len(group))) for group in groups]
        count += _range(means) >= found - 1e-12
    return count / deals


def _parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=pathlib.Path, required=True, metavar="DIR", help="train.txt, valid.txt, test.txt"
    )
    parser.add_argument("--output", type=pathlib.Path, required=True, metavar="DIR", help="directory of the runs")
    parser.add_argument("--preset", default="ptb", metavar="NAME", help="of the optimizer (default: %(default)s)")
    parser.add_argument("--shape", choices=SHAPES, default="small", metavar="NAME", help="(default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=4, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], metavar="N", help="(default: 0 1)")
    subjects = [*BACKENDS, REFERENCE]
    parser.add_argument(
        "--subjects", nargs="+", choices=subjects, default=subjects, metavar="NAME", help=f"{', '.join(subjects)}"
    )
    parser.add_argument("--report", action="store_true", help="train nothing")
    return parser.parse_args()


if __name__ == "__main__":
    main()
