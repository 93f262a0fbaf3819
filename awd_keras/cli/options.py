"""Options that several commands have, what their help says, and how their values are read."""

import argparse
import os
import runpy
import sys
import textwrap
from pathlib import Path

from awd_keras.cli.errors import reading


def explained(sentence, *examples, more=""):
    """Arguments of a command's parser: its description, two examples, and `more` after them."""
    lines = ["examples:", *(f"  awd-keras {example}" for example in examples)]
    return {
        "description": textwrap.fill(sentence, 79),
        "epilog": "\n".join(lines) + (f"\n\n{more}" if more else ""),
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }


# The fields of a preset that are settings of their own; `model` and `optimizer` are dictionaries of settings.
_OF_PRESET = ("unit", "epochs", "batch_size", "bptt", "learning_rate_drops")


def presets():
    """The settings of each preset, by the names of their options.

    Runs the file of presets alone, without its package: that imports Keras, which would be too early for --help and for
    the choice of a backend.
    """
    found = runpy.run_path(str(Path(__file__).parents[1] / "models" / "presets.py"))["PRESETS"]
    names = {"global_clipnorm": "clip", "name": "optimizer"}
    return {
        name: {
            f"--{names.get(argument, argument).replace('_', '-')}": value
            for argument, value in {
                **{part: _as_typed(getattr(preset, part)) for part in _OF_PRESET},
                **preset.model,
                "name": "ntasgd",
                **preset.optimizer,
            }.items()
        }
        for name, preset in found.items()
    }


def _as_typed(value):
    return " ".join(map(str, value)) or "-" if isinstance(value, tuple) else value


def table_of_presets():
    """A table of the presets' values, one line for each option."""
    settings = presets()
    options = list(dict.fromkeys(option for values in settings.values() for option in values))
    rows = [
        ["", *settings],
        *([option, *(values.get(option, "-") for values in settings.values())] for option in options),
    ]
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(f"{cell!s:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "presets:\n" + "\n".join(f"  {line}".rstrip() for line in lines)


def a_path(text):
    """The type of an option whose value is a path."""
    if not text:
        raise argparse.ArgumentTypeError("must be a path. Received: ''")
    return text


def add_run(command, which="the run"):
    """Declares the argument RUN."""
    command.add_argument("run", type=a_path, metavar="RUN", help=f"directory of {which}")


def add_devices(command, default):
    """Declares `--devices`, with a help text that describes its `default`."""
    command.add_argument(
        "--devices",
        type=_devices,
        metavar="N",
        help=f"number of devices that the rows of a batch are split between, or all (default: {default})",
    )


def _devices(text):
    try:
        return text if text == "all" else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a positive integer, or all. Received: {text!r}") from None


# The same as in `awd_keras.data.corpus`, which can't be imported here as it imports Keras.
SPLITS = ("train", "valid", "test")


def add_data(parser, otherwise="the language reference that Python carries"):
    """Declares `--data`."""
    parser.add_argument(
        "--data",
        type=a_path,
        metavar="DIR",
        help=f"directory with train.txt, valid.txt and test.txt; without it, {otherwise}",
    )


def read_corpus(directory, unit, min_count, cache=None):
    """The corpus of `--data`, with the vocabulary of its own words."""
    from awd_keras.data import Corpus

    made_by = {"unit": unit} if min_count is None else {"unit": unit, "min_count": min_count}
    if directory is None:
        return Corpus.python_docs(**made_by)
    with reading("--data"):
        return Corpus.from_directory(directory, **made_by, cache=cache, verbose=int(sys.stdout.isatty()))


def read_corpus_again(directory, run):
    """The corpus of `--data`, read with the settings of the `Run`; None without `--data`."""
    if directory is None:
        return None
    source = run.setting("text") or {}
    return read_corpus(directory, source.get("unit", "word"), source.get("min_count"), source.get("cache"))


def open_run(directory, option="Argument RUN"):
    """The `Run` in a directory that the user has given by `option`.

    Raises:
        FileNotFoundError: if there is none. The message names the option.
    """
    from awd_keras.runs import Run

    if not Run(directory).path("config.json").is_file():
        holds = "has no config.json" if os.path.isdir(directory) else "is no directory"
        raise FileNotFoundError(f"{option} must be the directory of a run. Received: {directory!r}, which {holds}")
    return Run.open(directory)


def open_forward(run, command):
    """The `Run` in the directory RUN, for a `command` that reads texts from the beginning.

    Raises:
        ValueError: if the run's model reads texts from the end.
    """
    opened = open_run(run)
    if opened.setting("backwards"):
        raise ValueError(
            f"Argument RUN must be a run that reads texts from the beginning, as {command} does. "
            f"Received: {run!r}, which was trained with --backwards"
        )
    return opened


def read_splits(run, directory, wanted):
    """The splits of `--data`, or without it those of the run's text: a dictionary of ids in the run's vocabulary.

    Args:
        run: the `Run`.
        directory: the value of `--data`, or None.
        wanted: the names of the splits that must be there. Besides these, "valid" or "test" is enough.
    """
    from awd_keras import runs
    from awd_keras.data import encode_file

    if directory is None:
        corpus = runs.corpus_of(run)
        return {split: getattr(corpus, split) for split in SPLITS}
    files = {split: Path(directory, f"{split}.txt") for split in SPLITS}
    there = [split for split in ("valid", "test") if files[split].is_file()]
    for split in wanted if there else ("valid", "test"):
        if not files[split].is_file():
            raise FileNotFoundError(f"Option --data must be a directory with {split}.txt: {files[split]} is missing")
    vocabulary = run.vocabulary()
    with reading("--data"):
        return {split: encode_file(files[split], vocabulary) for split in SPLITS if split in (*wanted, *there)}


def tell_unknown(texts, vocabulary):
    """Prints one line on the standard error stream if the vocabulary lacks some of the texts' words."""
    words = [word for text in texts for word in vocabulary.cut(text)]
    unknown = [word for word in words if word not in vocabulary]
    if unknown:
        listed = ", ".join(map(repr, dict.fromkeys(unknown)))
        read = f"{len(unknown)} of {len(words)} {vocabulary.cut_by.plural} read as <unk>, as the vocabulary lacks them"
        print(f"awd-keras: {read}: {listed}", file=sys.stderr)
