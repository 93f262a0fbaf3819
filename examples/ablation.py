"""How much each part of AWD-LSTM contributes: the paper's Table 4 as one command, for any text and any size.

    KERAS_BACKEND=torch python examples/ablation.py --data DIR --preset ptb --seeds 0 1 --output runs/ablation

trains the full model and, for each of its eight parts, the model without that part, all else equal; then fine-tunes
them. The output directory gets a table (`ablation.md`, `ablation.json`) and a picture (`ablation.png`) of all finished
runs, written after each run. Every variant is trained with the first seed, then with the next. If the command is
killed, the same command continues. A run is in VARIANT/seed-N, its fine-tuning in VARIANT/seed-N-finetuned. Without
--data and --preset, it trains the preset `tiny` on Python's documentation: two minutes with `--epochs 2`.

What the variants leave out:

    fine-tuning        the second training, which averages from its first step: this is the full model before that
    nt-asgd            averaging: plain SGD at a constant rate (the paper's goes down), and no fine-tuning
    variable-length    windows of random lengths: each has `bptt` tokens
    embedding-dropout  dropped words
    weight-decay       weight decay
    ar-tar             both penalties of activations
    weight-drop        dropped recurrent weights
    small-embedding    embeddings smaller than the layers: they get --hidden-units, and so does the last layer

A run keeps the model of its best epoch by validation. A fine-tuning keeps its initial model if no epoch is better, so
fine-tuning never makes validation worse. Averaging begins when validation is worse than the best epoch before the last
--non-monotone-interval ones. With few epochs it may never begin: the table has the epoch in which it began.
"""

import argparse
import json
import sys
from pathlib import Path
from statistics import mean

import keras
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from awd_keras import runs
from awd_keras.checks import check_not_negative_integer
from awd_keras.data import Corpus
from awd_keras.models import PRESETS
from awd_keras.output import write_whole

# The presets whose optimizer is NT-ASGD.
AVERAGED = [name for name, preset in PRESETS.items() if "name" not in preset.optimizer]
# The paper's perplexities on Penn Treebank, validation and test.
PAPER = {
    "full": (60.0, 57.3),
    "fine-tuning": (60.7, 58.8),
    "nt-asgd": (66.3, 63.7),
    "variable-length": (61.3, 58.9),
    "embedding-dropout": (65.1, 62.7),
    "weight-decay": (63.7, 61.0),
    "ar-tar": (62.7, 60.3),
    "weight-drop": (71.1, 68.9),
    "small-embedding": (68.0, 65.6),
}
SIZES = ("embedding_dim", "hidden_units", "num_layers")
SPLITS = ("valid_perplexity", "test_perplexity")
WORSE, BETTER = "#0072b2", "#e69f00"


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="where runs, table and picture go")
    parser.add_argument("--data", metavar="DIR", help="the text (default: Python's documentation)")
    parser.add_argument("--min-count", type=int, metavar="N", help="words that are seen less often become <unk>")
    parser.add_argument("--preset", choices=AVERAGED, default="tiny", help="(default: tiny)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="N", help="(default: 0)")
    variants = {"nargs": "+", "choices": PAPER, "default": list(PAPER), "metavar": "VARIANT"}
    parser.add_argument("--only", help="train no others; full is the whole model", **variants)
    for name in (*SIZES, "batch_size", "epochs", "non_monotone_interval"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, metavar="N", help="in place of the preset's")
    parser.add_argument("--finetune-epochs", type=int, metavar="N", help="at most (default: --epochs); 0 for none")
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse(arguments)
    try:
        counts = {} if options.min_count is None else {"min_count": options.min_count}
        corpus = Corpus.from_directory(options.data, **counts) if options.data else Corpus.python_docs(**counts)
        settings = settings_of(options, corpus)
        check_settings(options.output, settings)
        report(options.output, settings)
        for seed in options.seeds:
            for variant in options.only:
                print(f"{variant}, seed {seed}", flush=True)
                train(options.output, variant, seed, settings, corpus)
                report(options.output, settings)
    except runs.Interrupted as stop:
        print(f"ablation: {stop}; the same command continues", file=sys.stderr)
        return 128 + stop.number
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"ablation: {error}", file=sys.stderr)
        return 2
    print((options.output / "ablation.md").read_text(encoding="utf-8"))
    return 0


def settings_of(options, corpus):
    """All settings of a run except its variant and its seed."""
    preset = PRESETS[options.preset]
    own = {name: preset.model[name] for name in SIZES}
    own["non_monotone_interval"] = preset.optimizer["non_monotone_interval"]
    own.update(batch_size=preset.batch_size, epochs=preset.epochs, finetune_epochs=options.epochs or preset.epochs)
    own.update({name: getattr(options, name) for name in own if getattr(options, name) is not None})
    # Checked now, not at the first fine-tuning. `runs.train` checks the others before it writes anything.
    check_not_negative_integer("finetune_epochs", own["finetune_epochs"])
    text = {"train_tokens": len(corpus.train), "words": len(corpus.vocabulary), "text_digest": corpus.digest}
    return {"backend": keras.backend.backend(), "preset": options.preset, **own, **text}


def check_settings(output, settings):
    """Raises a ValueError if `output` has runs with other settings, as they don't belong in the same table."""
    if not any(output.glob("*/seed-*/config.json")):
        return
    before = json.loads((output / "ablation.json").read_text(encoding="utf-8"))["settings"]
    # Runs without fine-tuning may be fine-tuned later.
    before = {**before, "finetune_epochs": before["finetune_epochs"] or settings["finetune_epochs"]}
    if others := differing(before, settings):
        raise ValueError(f"{output} holds an ablation with {others}: choose another --output")


def differing(before, settings):
    """The earlier values of all settings that have changed, as a text."""
    return ", ".join(f"{name}={before.get(name)!r}" for name in settings if settings[name] != before.get(name))


def arguments_of(variant, settings):
    """The arguments of `awd_keras.runs.train` that make a variant."""
    model = {name: settings[name] for name in SIZES}
    optimizer = {"non_monotone_interval": settings["non_monotone_interval"]}
    if variant == "nt-asgd":
        # Averaging never begins, as the trigger needs more measures than there are epochs.
        optimizer["non_monotone_interval"] = settings["epochs"]
    elif variant == "embedding-dropout":
        model["embedding_dropout"] = 0.0
    elif variant == "weight-decay":
        optimizer["weight_decay"] = 0.0
    elif variant == "ar-tar":
        model.update(alpha=0.0, beta=0.0)
    elif variant == "weight-drop":
        model["weight_drop"] = 0.0
    elif variant == "small-embedding":
        model["embedding_dim"] = settings["hidden_units"]
    same = {name: settings[name] for name in ("preset", "epochs", "batch_size")}
    return {**same, "model": model, "optimizer": optimizer, "variable": variant != "variable-length"}


def directories(output, variant, seed, settings):
    """The directories of a variant's training and of its fine-tuning, which is None if there is none."""
    trained = output / ("full" if variant == "fine-tuning" else variant) / f"seed-{seed}"
    if settings["finetune_epochs"] == 0 or variant in ("fine-tuning", "nt-asgd"):
        return trained, None
    return trained, trained.with_name(f"{trained.name}-finetuned")


def train(output, variant, seed, settings, corpus):
    """Trains and fine-tunes a variant, or resumes what has been begun."""
    trained, finetuned = directories(output, variant, seed, settings)
    if not resumed(trained, corpus):
        runs.train(trained, corpus, seed=seed, verbose=2, **arguments_of(variant, settings))
    if finetuned and not resumed(finetuned, corpus):
        runs.finetune(trained, finetuned, epochs=settings["finetune_epochs"], corpus=corpus, verbose=2)


def resumed(directory, corpus):
    """Finishes the run in the directory. Returns False if there is none."""
    if begun := (directory / "config.json").is_file():
        runs.resume(directory, corpus, verbose=2)
    return begun


def seeds_of(output):
    """The seeds of all runs that this command or an earlier one has begun."""
    names = {path.name.removeprefix("seed-") for path in output.glob("*/seed-*")}
    return sorted(int(name) for name in names if name.isdigit())  # other names are those of fine-tunings


def collect(output, settings):
    """The existing results of each variant, by seed."""
    found, seeds = {}, seeds_of(output)
    for variant in PAPER:
        found[variant] = {}
        for seed in seeds:
            trained, finetuned = directories(output, variant, seed, settings)
            first, last = runs.Run(trained).result, runs.Run(finetuned or trained).result
            if first and last:
                found[variant][seed] = {**last, "triggered_epoch": first["triggered_epoch"]}
    if settings["finetune_epochs"] == 0:
        del found["fine-tuning"]  # there was no fine-tuning to leave out
    return found


def summarize(found):
    """The rows of the table. A value over seeds is `[mean, least, greatest]`, or None without a seed."""
    rows = []
    for variant, results in found.items():
        both = [seed for seed in results if seed in found["full"]]
        row = {"variant": variant, "seeds": list(results)}
        for split, paper, full in zip(SPLITS, PAPER[variant], PAPER["full"], strict=True):
            # Pairs of runs with the same seed, which have the same windows and mostly the same initial weights.
            pairs = [(results[seed][split], found["full"][seed][split]) for seed in both]
            row[split] = spread([result[split] for result in results.values()])
            row[f"{split}_change"] = spread([without - with_all for without, with_all in pairs])
            row[f"paper_{split}_change"] = round(paper - full, 1)
        # Of the last split, the test, which the picture shows.
        row["percents"] = [100 * (without / with_all - 1) for without, with_all in pairs]
        row["paper_percent"] = 100 * (paper / full - 1)
        row["agrees"] = agreement(row["test_perplexity_change"], len(both)) if variant != "full" else None
        row["averaged_from"] = [result["triggered_epoch"] for result in results.values()]
        rows.append(row)
    return rows


def spread(values):
    return [mean(values), min(values), max(values)] if values else None


def agreement(change, seeds):
    """Whether leaving the part out makes the test perplexity worse, as it does in the paper for every part."""
    if change is None:
        return None
    if seeds < 2:
        return "one seed"
    _, least, greatest = change
    return "yes" if least > 0 else "no" if greatest < 0 else "unclear"


def report(output, settings):
    """Writes the table and the picture of all finished runs."""
    results = collect(output, settings)
    rows = summarize(results)
    figures = json.dumps({"settings": settings, "rows": rows, "results": results}, indent=2) + "\n"
    output.mkdir(parents=True, exist_ok=True)
    for name, write in (
        ("ablation.json", lambda path: path.write_text(figures, encoding="utf-8")),
        ("ablation.md", lambda path: path.write_text(table(rows, settings), encoding="utf-8")),
        ("ablation.png", lambda path: draw(rows, settings, path)),
    ):
        write_whole(output / name, write)


def title(settings, training="{epochs} epochs and at most {finetune_epochs} of fine-tuning"):
    """The title of a table: the settings of all its runs. `training` describes how they are trained."""
    lines = (
        "{backend}, {preset}: {num_layers} layers, {hidden_units} units, embeddings of {embedding_dim}, "
        f"batch {{batch_size}},\n{training}, {{train_tokens:,}} tokens, {{words:,}} words"
    )
    return lines.format(**settings)


def table(rows, settings):
    names = ("left out", "seeds", "valid", "test", "valid, change", "test, change", "the paper's", "agree", "averaged")
    lines = [
        f"{title(settings)}.\n",
        "Perplexities: the mean of the seeds, the least and the greatest. A change is to the full model of the same "
        "seed; the paper's is on Penn Treebank, valid / test. They agree where leaving the part out makes the test "
        "perplexity worse with every seed, and don't where it makes it better with every one. The last column has the "
        "epochs in which averaging began.\n",
        f"| {' | '.join(names)} |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | --- | --- |",
    ]
    for row in rows:
        cells = [
            "nothing" if row["variant"] == "full" else row["variant"],
            ", ".join(map(str, row["seeds"])),
            *(figure(row[split], ".1f") for split in SPLITS),
            *(figure(row[f"{split}_change"], "+.1f") for split in SPLITS),
            " / ".join(f"{row[f'paper_{split}_change']:+.1f}" for split in SPLITS),
            row["agrees"] or "",
            ", ".join("never" if epoch is None else str(epoch) for epoch in row["averaged_from"]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def figure(spread, form):
    if spread is None:
        return ""
    middle, least, greatest = (format(value, form) for value in spread)
    return middle if least == greatest else f"{middle} ({least} to {greatest})"


def draw(rows, settings, path):
    """Draws the changes of the test perplexity in percent, to compare with the paper's, which are of another size."""
    full, *others = rows
    others = [row for row in others if row["percents"]]
    picture = Figure(figsize=(9, 2.4 + 0.45 * len(others)), layout="constrained")
    axes = picture.add_subplot()
    if full["test_perplexity"]:
        middle, *ends = full["test_perplexity"]
        axes.axvspan(*(100 * (end / middle - 1) for end in ends), color="0.85")
    for y, row in enumerate(others):
        percents = row["percents"]
        axes.barh(y, mean(percents), height=0.6, color=WORSE if mean(percents) > 0 else BETTER)
        axes.plot(percents, [y] * len(percents), "|-", color="black", markersize=10)
        axes.plot(row["paper_percent"], y, "D", markerfacecolor="white", markeredgecolor="black")
    axes.set_yticks(range(len(others)), [f"no {row['variant']}" for row in others])
    axes.invert_yaxis()
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("change of the test perplexity, percent")
    axes.set_title(title(settings), fontsize="small")
    legend = [
        Patch(color=WORSE, label="worse without it, as in the paper"),
        Patch(color=BETTER, label="better without it"),
        Line2D([], [], color="black", marker="|", markersize=10, label="the seeds"),
        Line2D([], [], color="white", marker="D", markeredgecolor="black", label="the paper's, Penn Treebank"),
        Patch(color="0.85", label="the full model's seeds"),
    ]
    picture.legend(handles=legend, loc="outside lower center", ncols=3, fontsize="small")
    picture.savefig(path, dpi=120)


if __name__ == "__main__":
    sys.exit(main())
