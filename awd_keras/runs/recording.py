"""What a run prints and writes while it trains."""

import importlib.util
import math
import sys
import threading
import time
from collections.abc import Iterable
from typing import Self

import keras
import numpy as np
from keras import ops

from awd_keras import backend
from awd_keras.callbacks.trigger_and_swap import find_averaging
from awd_keras.data import BPTTDataset
from awd_keras.runs.run import Run

# Seconds. A step that takes longer is being compiled, and the user is told.
_PATIENCE = 2.0
_SILENCE = 9.0
# The keys of bits per character in a line of the metrics, and in Keras's logs.
_BITS = {"train_bits_per_character": "bits_per_character", "valid_bits_per_character": "val_bits_per_character"}


class RunRecorder(keras.callbacks.Callback):
    """Writes the metrics, the best model, the curve and a checkpoint of a run at every epoch's end.

    A line of `metrics.jsonl` holds `epoch` (from 1), `train_perplexity`, `valid_perplexity`,
    for characters or bytes `train_bits_per_character` and `valid_bits_per_character`,
    `learning_rate`, `averaging` (whether the optimizer averages, at the epoch's end),
    `seconds` (of the epoch, with validation) and `tokens_per_second` (of training only).
    `model.keras` is replaced when the validation perplexity is the lowest so far. Place it after
    `awd_keras.callbacks.awd_lstm(dataset)`, which puts the average in the model at the epoch's end.

    The checkpoint is written last, and only it decides where a run continues. So an epoch whose end was interrupted is
    run and written again.

    Args:
        run: the `awd_keras.runs.Run` to write to.
        dataset: the training `awd_keras.data.BPTTDataset`, from which the number of tokens in an epoch is known.
        lines: the metrics of the epochs that have ended already, if the run is resumed.
        best: the validation perplexity of the `model.keras` that the run starts with, if it starts with one.

    Raises:
        OSError: if a file can't be written.
    """

    def __init__(self, run: Run, dataset: BPTTDataset, lines: Iterable[dict] = (), best: float | None = None):
        super().__init__()
        self.run = run
        self.dataset = dataset
        self.lines = list(lines)
        # A number that wasn't finite is None in JSON.
        perplexities = [best, *(line["valid_perplexity"] for line in self.lines)]
        self.best = min((value for value in perplexities if value is not None), default=math.inf)
        self.draws = importlib.util.find_spec("matplotlib") is not None
        self._began = self._trained = 0.0

    def on_train_begin(self, logs=None):
        if not self.draws:
            print(
                'No curve.png: matplotlib is not installed. To install it: pip install "awd-keras[plot]"',
                file=sys.stderr,
            )
        if not self.run.checkpoints.paths():
            self.run.checkpoints.write(0, self.model)

    def on_epoch_begin(self, epoch, logs=None):
        self._began = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self._trained = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        now = time.perf_counter()
        tokens = self.dataset.batch_size * np.sum(self.dataset.window_lengths(epoch))
        perplexity = float(logs["val_perplexity"])
        self.lines.append(
            {
                "epoch": epoch + 1,
                "train_perplexity": float(logs["perplexity"]),
                "valid_perplexity": perplexity,
                **{name: float(logs[key]) for name, key in _BITS.items() if key in logs},
                "learning_rate": float(ops.convert_to_numpy(self.model.optimizer.learning_rate)),
                "averaging": find_averaging(self.model).averaging,
                "seconds": round(now - self._began, 3),
                "tokens_per_second": round(float(tokens) / (self._trained - self._began), 1),
            }
        )
        self.run.write_metrics(self.lines)
        # The first epoch's model is written even if it diverged, so that a run always has a model.
        if perplexity < self.best or not self.run.path("model.keras").is_file():
            self.best = perplexity if perplexity < self.best else self.best
            self.run.write_model(self.model)
        if self.draws:
            self.run.write("curve.png", lambda path: draw_curve(self.lines, path))
        self.run.checkpoints.write(epoch + 1, self.model)


class CompilationNotice(keras.callbacks.Callback):
    """Prints a line when a step waits for the compiler, if each length of window is compiled.

    Use it in a `with` statement: it prints nothing after the end of that, even if the training has failed.

    Args:
        dataset: the training `awd_keras.data.BPTTDataset`.
    """

    def __init__(self, dataset: BPTTDataset):
        super().__init__()
        self.dataset = dataset
        self._lengths: list[int] = []
        self._known: set[str] = set()
        self._said = -math.inf
        self._over = threading.Event()

    def on_epoch_begin(self, epoch, logs=None):
        self._lengths = self.dataset.window_lengths().tolist()

    def on_train_batch_begin(self, batch, logs=None):
        self._begin(f"windows of {self._lengths[batch]} tokens")

    def on_train_batch_end(self, batch, logs=None):
        self._over.set()

    def on_test_batch_begin(self, batch, logs=None):
        if batch == 0:
            self._begin("validation")

    def on_test_batch_end(self, batch, logs=None):
        self._over.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def _begin(self, what):
        if what in self._known or not backend.compiles_each_length(self.model.jit_compile):
            return
        self._known.add(what)
        self._over = threading.Event()
        # In another thread, as the compiler blocks this one.
        threading.Thread(target=self._wait, args=(what, self._over), daemon=True).start()

    def _wait(self, what, over):
        if over.wait(_PATIENCE):
            return
        if self._said < 0:
            self._say(f"compiling for {what}; the first epochs are slow")
        while not over.wait(max(0.0, self._said + _SILENCE - time.monotonic())):
            self._say(f"compiling for {what}")

    def _say(self, text):
        self._said = time.monotonic()
        # Keras's progress bar may have left its line open.
        print(f"\n{text}" if sys.stdout.isatty() else text, flush=True)


def draw_curve(lines: list[dict], path) -> None:
    """Draws perplexity by epoch as a PNG file; a dashed line marks the epoch in which averaging began, if one did.

    For characters or bytes, the axis on the right shows bits per character.

    Args:
        lines: a run's metrics, one dictionary for each epoch.
        path: the file to write.
    """
    # Imported here: drawing is an extra, and a Figure needs no display.
    from matplotlib.figure import Figure
    from matplotlib.ticker import AutoLocator, LogFormatter, NullLocator, ScalarFormatter

    epochs = [line["epoch"] for line in lines]
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    marker = "." if len(lines) < 100 else None
    for name, label in (("train_perplexity", "training"), ("valid_perplexity", "validation")):
        axes.plot(epochs, [line[name] for line in lines], marker=marker, label=label)
    averaged = [line["epoch"] for line in lines if line["averaging"]]
    if 0 < len(averaged) < len(lines):
        axes.axvline(averaged[0], color="grey", linestyle="--", label="averaging begins")
    axes.set_xlabel("epoch")
    axes.set_ylabel("perplexity (logarithmic)")
    axes.set_yscale("log")
    # Plain numbers, also between the powers of ten.
    axes.yaxis.set_major_formatter(LogFormatter())
    axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.4)))
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    if "valid_bits_per_character" in lines[0]:
        bits = axes.secondary_yaxis("right", functions=(np.log2, np.exp2))
        bits.set_ylabel("bits per character")
        bits.yaxis.set_major_locator(AutoLocator())
        bits.yaxis.set_major_formatter(ScalarFormatter())
        bits.yaxis.set_minor_locator(NullLocator())
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    figure.savefig(path, dpi=120)
