"""The text that a command works on."""

import sys


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


def read_corpus_of(run, directory):
    """The corpus of `--data`, in the words of a `Run`; without it, the run's own."""
    from awd_keras import runs
    from awd_keras.data import Corpus

    if directory is None:
        return runs.corpus_of(run)
    return Corpus.from_directory(directory, vocabulary=run.vocabulary())
