"""The text that a run is trained on."""

from awd_keras.data import Corpus
from awd_keras.runs.run import Run


def corpus_of(run: Run, corpus: Corpus | None = None) -> Corpus:
    """The corpus of a run, and no other one.

    Args:
        run: the `Run`.
        corpus: what it should be. By default it is read again from where the run had it from.

    Raises:
        ValueError: if it is another text, or Python code has made it.
        FileNotFoundError: if it is gone.
    """
    corpus = _read_again(run) if corpus is None else corpus
    if corpus.digest != run.config.get("text_digest"):
        raise ValueError(f"The run in {run.directory} is trained on another text than this one.")
    return corpus


def _read_again(run):
    source = run.setting("text")
    if source is None:
        raise ValueError(
            f"The run in {run.directory} is trained on a corpus that Python code has made: pass it as the argument "
            "`corpus`, or on the command line --data."
        )
    if source["directory"] is None:
        return Corpus.python_docs(source["min_count"])
    return Corpus.from_directory(source["directory"], source["min_count"], cache=source.get("cache"), verbose=0)
