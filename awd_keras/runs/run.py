"""The directory of a training run."""

import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import keras

from awd_keras import backend
from awd_keras.data import Vocabulary
from awd_keras.output import write_whole
from awd_keras.runs.checkpoints import Checkpoints
from awd_keras.runs.config import RunConfig, format_object, parse_object
from awd_keras.runs.loading import load_model

_FORMAT = 1


class Run:
    """The files of one training run in a directory.

    | File | What it holds |
    |---|---|
    | `model.keras` | the model of the best epoch so far, by validation perplexity |
    | `checkpoint-12.keras` | all that is needed to continue after 12 epochs; see `Checkpoints` |
    | `vocabulary.json` | the words, in the order of their ids |
    | `config.json` | the settings of the run, and the version of this format |
    | `metrics.jsonl` | one line for each epoch, a JSON object |
    | `curve.png` | perplexity by epoch, if matplotlib is installed |
    | `result.json` | the results of the finished run |

    Every file is written under a temporary name and then renamed: a reader never sees half a file,
    and after a crash the old file is still whole. `Run.create` starts a run, `Run.open` reads one.
    Once `config.json` exists, which is written first, a run can always be resumed.

    Args:
        directory: path of the directory.

    Example:

    >>> import tempfile
    >>> from awd_keras.data import Vocabulary
    >>> from awd_keras.runs import Run
    >>> directory = tempfile.mkdtemp()
    >>> vocabulary = Vocabulary.from_words("a b a <eos>".split())
    >>> run = Run.create(directory, {"seed": 1}, vocabulary)
    >>> run.write_metrics([{"epoch": 1, "valid_perplexity": 2.5}])
    >>> run = Run.open(directory)
    >>> run.config["seed"], run.metrics()[-1]["valid_perplexity"]
    (1, 2.5)
    """

    FILES = (
        "model.keras",
        "vocabulary.json",
        "config.json",
        "metrics.jsonl",
        "curve.png",
        "result.json",
    )

    def __init__(self, directory: str | os.PathLike):
        self.directory = pathlib.Path(directory)
        self.checkpoints = Checkpoints(self.directory)

    @classmethod
    def check(
        cls,
        directory: str | os.PathLike,
        overwrite: bool = False,
        begins_from: "Run | None" = None,
        name: str = "directory",
    ) -> None:
        """Raises a `ValueError` unless a run can be started in `directory`, which is the argument `name`.

        With `begins_from`, it must be another directory than that of this `Run`.
        """
        if not os.fspath(directory):
            raise ValueError(f"Argument `{name}` must be a directory. Received: {name}='', an empty name")
        directory = pathlib.Path(directory)
        if directory.exists() and not directory.is_dir():
            raise ValueError(f"Argument `{name}` must be a directory. Received: {directory}, which is a file")
        held = [name for name in cls.FILES if (directory / name).exists()]
        held += [path.name for path in Checkpoints(directory).paths()]
        if held and not overwrite:
            raise ValueError(
                f"Argument `{name}`: {directory} already holds a run. Choose another directory, or overwrite the run "
                "(--overwrite)."
            )
        if begins_from is not None and directory.resolve() == begins_from.directory.resolve():
            raise ValueError(
                f"Argument `{name}` must be another directory than that of the run to start from. "
                f"Received: {directory} for both"
            )

    @classmethod
    def create(
        cls,
        directory: str | os.PathLike,
        config: dict,
        vocabulary: Vocabulary,
        overwrite: bool = False,
    ) -> "Run":
        """Starts a run in `directory`, which is made if it doesn't exist.

        Args:
            directory: path of the directory.
            config: the settings, a dictionary that JSON can hold.
            vocabulary: the `Vocabulary` of the model.
            overwrite: whether to replace a run that is already there. Other files aren't deleted.

        Raises:
            ValueError: if the directory holds a run and `overwrite` is false, or JSON can't hold `config`.
        """
        cls.check(directory, overwrite)
        try:  # Checked here, before an old run is deleted.
            format_object(config)
        except TypeError as error:
            raise ValueError(f"Argument `config` must hold only what JSON can hold. Received: {error}") from None
        run = cls(directory)
        run.directory.mkdir(parents=True, exist_ok=True)
        # config.json is deleted first, so that an interruption leaves a directory that isn't a run.
        run.path("config.json").unlink(missing_ok=True)
        for name in cls.FILES:
            run.path(name).unlink(missing_ok=True)
        run.checkpoints.clear()
        run.write_config(config)
        run.write_vocabulary(vocabulary)
        return run

    @classmethod
    def open(cls, directory: str | os.PathLike) -> "Run":
        """Opens the run in `directory`.

        Raises:
            FileNotFoundError: if there is no run.
            ValueError: if its `config.json` can't be read, or is of a later format.
        """
        run = cls(directory)
        if not run.path("config.json").is_file():
            raise FileNotFoundError(f"There is no run in {run.directory}: no config.json.")
        version = run.config.get("format")
        if version != _FORMAT:
            raise ValueError(
                f"The run in {run.directory} is of format {version!r}, and this version of "
                f"awd_keras reads format {_FORMAT}."
            )
        return run

    def path(self, name: str) -> pathlib.Path:
        """Path of the run's file `name`."""
        return self.directory / name

    @property
    def config(self) -> dict:
        """The settings that `create` got, and the `"format"`."""
        return self._read_json("config.json")

    def setting(self, name: str) -> Any:
        """One of the settings that `train` writes, checked.

        Raises:
            ValueError: if `config.json` lacks it, or its value is wrong.
        """
        return RunConfig.setting(self.config, name, self.path("config.json"))

    @property
    def settings(self) -> RunConfig:
        """All the settings that `train` writes, checked.

        Raises:
            ValueError: if `config.json` lacks one, or a value is wrong.
        """
        return RunConfig.of(self.config, self.path("config.json"))

    @property
    def result(self) -> dict | None:
        """The results of the finished run; `None` before its end."""
        return self._read_json("result.json") if self.path("result.json").is_file() else None

    def metrics(self) -> list[dict]:
        """The lines of `metrics.jsonl`, one for each epoch.

        If the last line is incomplete, it is left out, and reported on the standard error stream.
        """
        path = self.path("metrics.jsonl")
        if not path.is_file():
            return []
        objects: list[dict] = []
        lines = path.read_bytes().splitlines()
        for number, line in enumerate(lines, start=1):
            try:
                objects.append(parse_object(line, f"{path}, line {number}"))
            except ValueError as error:
                if number < len(lines):
                    raise
                print(f"{error}; this last line is left out", file=sys.stderr)
        return objects

    def vocabulary(self) -> Vocabulary:
        """The vocabulary.

        Raises:
            FileNotFoundError: if `vocabulary.json` is missing.
            ValueError: if it can't be read.
        """
        return Vocabulary.load(self._existing("vocabulary.json"))

    def model(self) -> keras.Model:
        """The best model so far, not compiled. Its size is checked against the vocabulary.

        Raises:
            FileNotFoundError: if no epoch has ended yet.
            ValueError: if `model.keras` can't be read, or the vocabulary has another size.
        """
        path = self._existing("model.keras")
        words = len(self.vocabulary())
        backend.keep_programs()
        model = load_model(path)
        if model.vocabulary_size != words:
            raise ValueError(
                f"{self.path('vocabulary.json')} doesn't fit the model: it has {words} words, "
                f"and the model was trained on {model.vocabulary_size}."
            )
        return model

    def write_config(self, config: dict) -> None:
        """Replaces `config.json` by these settings and the version of this format."""
        self._write_json("config.json", {**config, "format": _FORMAT})

    def write_vocabulary(self, vocabulary: Vocabulary) -> None:
        """Replaces `vocabulary.json`."""
        vocabulary.save(self.path("vocabulary.json"))

    def write_model(self, model: keras.Model) -> None:
        """Replaces `model.keras`."""
        self.write("model.keras", model.save)

    def write_metrics(self, lines: list[dict]) -> None:
        """Replaces `metrics.jsonl` by these lines, one for each epoch."""
        text = "".join(format_object(line) + "\n" for line in lines)
        self.write("metrics.jsonl", lambda path: _write_text(path, text))

    def write_result(self, result: dict) -> dict:
        """Replaces `result.json`, and returns its content, with `None` for numbers that aren't finite."""
        self._write_json("result.json", result)
        return self._read_json("result.json")

    def write(self, name: str, writer: Callable[[pathlib.Path], object]) -> None:
        """Replaces the file `name` by what `writer(path)` writes, all of it or nothing."""
        write_whole(self.path(name), writer)

    def _write_json(self, name, value):
        text = format_object(value, indent=2) + "\n"
        self.write(name, lambda path: _write_text(path, text))

    def _read_json(self, name):
        path = self._existing(name)
        return parse_object(path.read_bytes(), path)

    def _existing(self, name):
        path = self.path(name)
        if not path.is_file():
            raise FileNotFoundError(f"The run in {self.directory} has no {name}.")
        return path


def _write_text(path, text):
    path.write_text(text, encoding="utf-8")
