"""Options that several commands have, and how their values are read; help and errors in the user's words."""

import difflib
import re
import runpy
import sys
import textwrap
from argparse import RawDescriptionHelpFormatter
from pathlib import Path


def explained(sentence, *examples, more=""):
    """Arguments of a command's parser: its description, two examples, and `more` after them."""
    lines = ["examples:", *(f"  awd-keras {example}" for example in examples)]
    return {
        "description": textwrap.fill(sentence, 79),
        "epilog": "\n".join(lines) + (f"\n\n{more}" if more else ""),
        "formatter_class": RawDescriptionHelpFormatter,
    }


def did_you_mean(name, known):
    """A question with the likeliest of `known`, to be put after a message; empty if none is like `name`."""
    close = difflib.get_close_matches(name, known, 1)
    return f". Did you mean {close[0]}?" if close else ""


# Arguments of functions whose option has another name.
_OPTIONS = {
    "path": "--data",
    "window": "--cache",
    "global_clipnorm": "--clip",
    "max_words": "--words",
    "k": "--words",
}


def in_options(message, flags):
    """The `message` of a function about an argument, naming the command's option instead.

    Args:
        message: as the package's errors are: ``Argument `rate` must be ... Received: rate=2``.
        flags: the options that the command has.
    """

    def option(match):
        name = match[1]
        flag = f"--{name.replace('_', '-')}"
        if flag not in flags:
            flag = _OPTIONS.get(name, "")
        return f"Option {flag}" if flag in flags else match[0]

    if not message.startswith("Argument "):  # Of a file, which has arguments' names.
        return message
    said = re.sub(r"Argument `(\w+)`", option, message)
    return message if said == message else re.sub(r"Received: \w+=", "Received: ", said)


# Beside the model and the optimizer, by their names there.
_OF_PRESET = ("unit", "epochs", "batch_size", "bptt", "learning_rate_drops")


def presets():
    """The settings of each preset by the names of their options.

    The file is run by itself: its package imports Keras, which --help and the choice of a backend come before.
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
    """The values of each preset, a line an option."""
    settings = presets()
    options = list(dict.fromkeys(option for values in settings.values() for option in values))
    rows = [
        ["", *settings],
        *([option, *(values.get(option, "-") for values in settings.values())] for option in options),
    ]
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(f"{cell!s:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "presets:\n" + "\n".join(f"  {line}".rstrip() for line in lines)


def add_run(command):
    """Declares the argument RUN."""
    command.add_argument("run", metavar="RUN", help="directory of the run")


def add_devices(command, default):
    """Declares `--devices`; `default` is what its help says of the default."""
    command.add_argument(
        "--devices",
        type=_devices,
        metavar="N",
        help=f"number of devices that the rows of a batch are split between, or all (default: {default})",
    )


def _devices(text):
    return text if text == "all" else int(text)


# Those of `Corpus`, which can't be imported here.
SPLITS = ("train", "valid", "test")


def add_data(parser, otherwise="the language reference that Python carries"):
    """Declares `--data`."""
    parser.add_argument(
        "--data",
        metavar="DIR",
        help=f"directory with train.txt, valid.txt and test.txt; without it, {otherwise}",
    )


def read_corpus(directory, unit, min_count, cache=None):
    """The corpus of `--data`, with a vocabulary of its own."""
    from awd_keras.data import Corpus

    made_by = {"unit": unit} if min_count is None else {"unit": unit, "min_count": min_count}
    if directory is None:
        return Corpus.python_docs(**made_by)
    return Corpus.from_directory(directory, **made_by, cache=cache, verbose=int(sys.stdout.isatty()))


def read_corpus_again(directory, run):
    """The corpus of `--data`, read as the run in the directory `run` had it; None without `--data`."""
    from awd_keras import runs

    if directory is None:
        return None
    source = runs.Run.open(run).setting("text") or {}
    return read_corpus(directory, source.get("unit", "word"), source.get("min_count"), source.get("cache"))


def open_forward(run, command):
    """The `Run` in a directory, if its model reads texts from the beginning, as the command does."""
    from awd_keras import runs

    opened = runs.Run.open(run)
    if opened.setting("backwards"):
        raise ValueError(
            f"Command {command} reads texts from the beginning. The run in {run} was trained with --backwards"
        )
    return opened


def read_splits(run, directory, wanted):
    """The ids of the splits of `--data` by name, in the words of a `Run`; without it, of the run's own text.

    Args:
        run: the `Run`.
        directory: of `--data`, or None.
        wanted: the names of the splits that must be there. Of "valid" and "test", one will do otherwise.
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
    return {split: encode_file(files[split], vocabulary) for split in SPLITS if split in (*wanted, *there)}


def tell_unknown(texts, vocabulary):
    """One line on the standard error stream, if the vocabulary lacks some of the texts' words."""
    words = [word for text in texts for word in vocabulary.cut(text)]
    unknown = [word for word in words if word not in vocabulary]
    if unknown:
        listed = ", ".join(map(repr, dict.fromkeys(unknown)))
        read = f"{len(unknown)} of {len(words)} {vocabulary.cut_by.plural} read as <unk>, as the vocabulary lacks them"
        print(f"awd-keras: {read}: {listed}", file=sys.stderr)
