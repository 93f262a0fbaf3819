"""Options that several commands have, what they are read into, and what is told of a text."""

import sys
from pathlib import Path


def add_run(command):
    """Declares what a command that works on a run is told first."""
    command.add_argument("run", metavar="RUN", help="directory of the run")


def add_devices(command, default):
    """Declares it; `default` is what its help says of the default."""
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


def read_corpus(directory, min_count, cache=None):
    """The corpus of `--data`, with a vocabulary of its own."""
    from awd_keras.data import Corpus

    counts = {} if min_count is None else {"min_count": min_count}
    if directory is None:
        return Corpus.python_docs(**counts)
    return Corpus.from_directory(directory, **counts, cache=cache, verbose=int(sys.stdout.isatty()))


def read_corpus_again(directory, run):
    """The corpus of `--data`, read as the run in the directory `run` had it; None without `--data`."""
    from awd_keras import runs

    if directory is None:
        return None
    source = runs.Run.open(run).setting("text") or {}
    return read_corpus(directory, source.get("min_count"), source.get("cache"))


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


def tell_unknown(words, vocabulary):
    """One line on the standard error stream, if the vocabulary lacks some of a text's words."""
    unknown = [word for word in words if word not in vocabulary]
    if unknown:
        listed = ", ".join(map(repr, dict.fromkeys(unknown)))
        read = f"{len(unknown)} of {len(words)} words read as <unk>, as the vocabulary lacks them"
        print(f"awd-keras: {read}: {listed}", file=sys.stderr)
