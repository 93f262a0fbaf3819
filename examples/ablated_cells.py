"""How much each part of an LSTM contributes under AWD-LSTM's regularization: five cells on the same text.

    KERAS_BACKEND=torch python examples/ablated_cells.py --data DIR --preset ptb --seeds 0 1 --output runs/cells

trains AWD-LSTM with each cell of `awd_keras.layers.AblatedLSTM`. All else is equal: text, windows, epochs,
regularization, learning rate. The cells are those of Levy, Lee, FitzGerald and Zettlemoyer (2018), who asked which part
of an LSTM does the work, but without weight drop and averaging:

    lstm           the whole LSTM
    -srnn          without the simple RNN within the gates: the cell's content is a product of the input
    -srnn-out      the same, without the output gate
    -srnn-hidden   without the simple RNN, and with gates that depend only on the input: only the cell remembers
    -gates         without the gates: the simple RNN

The output directory gets a table (`ablated_cells.md`, `ablated_cells.json`) and a picture (`ablated_cells.png`) of all
finished runs, written after each run. Every cell is trained with the first seed, then with the next. If the command is
killed, the same command continues. A run is in CELL/seed-N, and keeps the model of its best epoch.
"""

import argparse
import itertools
import json
import sys
from pathlib import Path

import keras
from ablation import AVERAGED, SIZES, SPLITS, differing, figure, resumed, seeds_of, spread, title
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from awd_keras import runs
from awd_keras.data import Corpus
from awd_keras.models import PRESETS
from awd_keras.output import write_whole

# The widths of a cell's kernel, recurrent kernel and bias, in units.
WIDTHS = {"lstm": (4, 4, 4), "-srnn": (4, 3, 3), "-srnn-out": (3, 2, 2), "-srnn-hidden": (4, 0, 3), "-gates": (1, 1, 1)}
CELLS = tuple(WIDTHS)
TRAINING = "{epochs} epochs with a learning rate of {learning_rate:g}"
OF_OPTIMIZER = ("learning_rate", "non_monotone_interval")
BAR, WHOLE = "#0072b2", "#999999"


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="where runs, table and picture go")
    parser.add_argument("--data", metavar="DIR", help="the text (default: Python's documentation)")
    parser.add_argument("--min-count", type=int, metavar="N", help="words that are seen less often become <unk>")
    parser.add_argument("--preset", choices=AVERAGED, default="tiny", help="(default: tiny)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="N", help="(default: 0)")
    for name in (*SIZES, "batch_size", "epochs", "non_monotone_interval"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, metavar="N", help="in place of the preset's")
    parser.add_argument("--learning-rate", type=float, metavar="X", help="in place of the preset's")
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
            for cell in CELLS:
                print(f"{cell}, seed {seed}", flush=True)
                train(options.output, cell, seed, settings, corpus)
                report(options.output, settings)
    except runs.Interrupted as stop:
        print(f"ablated_cells: {stop}; the same command continues", file=sys.stderr)
        return 128 + stop.number
    except (ValueError, OSError) as error:
        print(f"ablated_cells: {error}", file=sys.stderr)
        return 2
    print((options.output / "ablated_cells.md").read_text(encoding="utf-8"))
    return 0


def settings_of(options, corpus):
    """All settings of a run except its cell and its seed."""
    preset = PRESETS[options.preset]
    own = {name: preset.model[name] for name in SIZES}
    own.update({name: preset.optimizer[name] for name in OF_OPTIMIZER})
    own.update(batch_size=preset.batch_size, epochs=preset.epochs)
    own.update({name: getattr(options, name) for name in own if getattr(options, name) is not None})
    text = {"train_tokens": len(corpus.train), "words": len(corpus.vocabulary), "text_digest": corpus.digest}
    return {"backend": keras.backend.backend(), "preset": options.preset, **own, **text}


def check_settings(output, settings):
    """Raises a ValueError if `output` has runs with other settings, as they don't belong in the same table."""
    if not any(output.glob("*/seed-*/config.json")):
        return
    before = json.loads((output / "ablated_cells.json").read_text(encoding="utf-8"))["settings"]
    if others := differing(before, settings):
        raise ValueError(f"{output} holds runs with {others}: choose another --output")


def directory_of(output, cell, seed):
    return output / label(cell) / f"seed-{seed}"


def label(cell):
    """The cell's name in the paper. No directory should have a name that begins with a dash."""
    return cell if cell == "lstm" else f"lstm{cell}"


def train(output, cell, seed, settings, corpus):
    """Trains a model with a cell, or resumes its training."""
    directory = directory_of(output, cell, seed)
    if not resumed(directory, corpus):
        model = {**{name: settings[name] for name in SIZES}, "cell": cell}
        optimizer = {name: settings[name] for name in OF_OPTIMIZER}
        same = {name: settings[name] for name in ("preset", "epochs", "batch_size")}
        # Steps that aren't finite are skipped, so that a cell that diverges at this rate has as many epochs as others.
        runs.train(
            directory, corpus, seed=seed, model=model, optimizer=optimizer, skip_nonfinite=True, verbose=2, **same
        )


def collect(output):
    """The existing results of each cell, by seed."""
    found, seeds = {}, seeds_of(output)
    for cell in CELLS:
        results = {seed: runs.Run(directory_of(output, cell, seed)).result for seed in seeds}
        found[cell] = {seed: result for seed, result in results.items() if result}
    return found


def summarize(found, settings):
    """The rows of the table. A value over seeds is `[mean, least, greatest]`, or None without a seed."""
    rows = []
    for cell, results in found.items():
        finite, whole = without_overflow(results), without_overflow(found.get("lstm", {}))
        row = {"cell": cell, "lstm_weights": lstm_weights(cell, settings), "seeds": list(finite)}
        row["overflowed"] = [seed for seed in results if seed not in finite]
        for split in SPLITS:
            row[split] = spread([result[split] for result in finite.values()])
        # Pairs of runs with the same seed, which have the same windows and initial embeddings.
        pairs = [(finite[seed], whole[seed]) for seed in finite if seed in whole]
        row["percents"] = [100 * (one["test_perplexity"] / other["test_perplexity"] - 1) for one, other in pairs]
        row["speed"] = spread([one["tokens_per_second"] / other["tokens_per_second"] for one, other in pairs])
        row["averaged_from"] = [result["triggered_epoch"] for result in finite.values()]
        rows.append(row)
    return rows


def without_overflow(results):
    """The results whose perplexities are numbers."""
    return {seed: result for seed, result in results.items() if None not in (result[split] for split in SPLITS)}


def lstm_weights(cell, settings):
    """The number of weights in the layers of a cell."""
    last, hidden, layers = (settings[name] for name in SIZES)
    sizes = [last, *[hidden] * (layers - 1), last]
    kernel, recurrent_kernel, bias = WIDTHS[cell]
    return sum(
        units * (inputs * kernel + units * recurrent_kernel + bias) for inputs, units in itertools.pairwise(sizes)
    )


def report(output, settings):
    """Writes the table and the picture of all finished runs."""
    results = collect(output)
    rows = summarize(results, settings)
    figures = json.dumps({"settings": settings, "rows": rows, "results": results}, indent=2) + "\n"
    output.mkdir(parents=True, exist_ok=True)
    for name, write in (
        ("ablated_cells.json", lambda path: path.write_text(figures, encoding="utf-8")),
        ("ablated_cells.md", lambda path: path.write_text(table(rows, settings), encoding="utf-8")),
        ("ablated_cells.png", lambda path: draw(rows, settings, path)),
    ):
        write_whole(output / name, write)


def table(rows, settings):
    names = (
        "cell",
        "weights in the layers",
        "seeds",
        "valid",
        "test",
        "test, change",
        "speed",
        "averaged",
        "overflowed",
    )
    lines = [
        f"{title(settings, TRAINING)}.\n",
        "Perplexities: the mean of the seeds, the least and the greatest. A change is to the LSTM of the same seed, as "
        "is the speed of training, so many times the LSTM's. The last columns have the epochs in which averaging "
        "began, and the seeds whose perplexity overflowed, which are in no other column.\n",
        f"| {' | '.join(names)} |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: | --- | --- |",
    ]
    for row in rows:
        cells = [
            label(row["cell"]),
            f"{row['lstm_weights']:,}",
            ", ".join(map(str, row["seeds"])),
            *(figure(row[split], ".1f") for split in SPLITS),
            f"{figure(spread(row['percents']), '+.1f')} %" if row["percents"] else "",
            figure(row["speed"], ".2f"),
            ", ".join("never" if epoch is None else str(epoch) for epoch in row["averaged_from"]),
            ", ".join(map(str, row["overflowed"])),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(rows, settings, path):
    """Draws the test perplexities: a bar for the mean of a cell's seeds, and a line from the least to the greatest."""
    rows = [row for row in rows if row["seeds"] or row["overflowed"]]
    picture = Figure(figsize=(6.5, 2.2 + 0.4 * len(rows)), layout="constrained")
    axes = picture.add_subplot()
    means = [row["test_perplexity"][0] for row in rows if row["seeds"]]
    # Long bars are cut: a cell that has learned nothing would leave no room for the others.
    longest = 2 * min(means, default=1)
    for y, row in enumerate(rows):
        if not row["seeds"]:
            axes.annotate("overflowed", (0, y), (8, 0), textcoords="offset points", va="center")
            continue
        middle, least, greatest = row["test_perplexity"]
        axes.barh(y, min(middle, longest), height=0.6, color=WHOLE if row["cell"] == "lstm" else BAR)
        if middle <= longest:
            axes.plot([least, greatest], [y, y], "|-", color="black", markersize=10)
        end, text = (greatest, f"{middle:.1f}") if middle <= longest else (longest, f"{middle:,.1f}, cut")
        axes.annotate(text, (end, y), (8, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(rows)), [label(row["cell"]) for row in rows])
    axes.invert_yaxis()
    axes.margins(x=0.22)
    axes.set_axisbelow(True)
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("test perplexity")
    axes.set_title(title(settings, TRAINING), fontsize="small")
    legend = [
        Patch(color=WHOLE, label="the LSTM"),
        Patch(color=BAR, label="without a part"),
        Line2D([], [], color="black", marker="|", markersize=10, label="from the least to the greatest seed"),
    ]
    picture.legend(handles=legend, loc="outside lower center", ncols=3, fontsize="small")
    picture.savefig(path, dpi=160)


if __name__ == "__main__":
    sys.exit(main())
