"""The callback that writes a run's files while it trains."""

import importlib.util
import math
import sys
import time
from collections.abc import Iterable

import keras
import numpy as np
from keras import ops

from awd_keras.callbacks.trigger_and_swap import averaging_optimizer
from awd_keras.data import BPTTDataset
from awd_keras.runs.curve import draw_curve
from awd_keras.runs.run import Run


class RunRecorder(keras.callbacks.Callback):
    """Writes the metrics, the best model, the curve and a checkpoint of a run at every epoch's end.

    A line of `metrics.jsonl` holds `epoch` (from 1), `train_perplexity`, `valid_perplexity`,
    `learning_rate`, `averaging` (whether the optimizer averages, from the epoch's end on),
    `seconds` (the epoch's, validation included) and `tokens_per_second` (the training's alone).
    `model.keras` is replaced when the validation perplexity is the lowest so far. Place it after
    `awd_keras.callbacks.awd_lstm(dataset)`, which decides what the epoch's end means.

    The checkpoint comes last: it alone decides where a run goes on, so that an epoch whose end was interrupted is run
    again, and written again.

    Args:
        run: the `awd_keras.runs.Run` to write to.
        dataset: the training `awd_keras.data.BPTTDataset`; gives the tokens of an epoch.
        lines: the metrics of the epochs that have ended already, where the run is resumed.
        best: the validation perplexity of the `model.keras` that the run starts with, if it starts with one.

    Raises:
        ValueError: at an epoch's end, if the model isn't compiled with `NTASGD`.
        OSError: if a file can't be written.
    """

    def __init__(self, run: Run, dataset: BPTTDataset, lines: Iterable[dict] = (), best: float | None = None):
        super().__init__()
        self.run = run
        self.dataset = dataset
        self.lines = list(lines)
        # What wasn't finite is None in JSON.
        perplexities = [best, *(line["valid_perplexity"] for line in self.lines)]
        self.best = min((value for value in perplexities if value is not None), default=math.inf)
        self.draws = importlib.util.find_spec("matplotlib") is not None
        self._began = self._trained = 0.0

    def on_train_begin(self, logs=None):
        if not self.draws:
            print(
                'No curve.png: matplotlib is not installed. To have it: pip install "awd-keras[plot]"',
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
        optimizer = averaging_optimizer(self)
        perplexity = float(logs["val_perplexity"])
        self.lines.append(
            {
                "epoch": epoch + 1,
                "train_perplexity": float(logs["perplexity"]),
                "valid_perplexity": perplexity,
                "learning_rate": float(ops.convert_to_numpy(optimizer.learning_rate)),
                "averaging": optimizer.averaging,
                "seconds": round(now - self._began, 3),
                "tokens_per_second": round(float(tokens) / (self._trained - self._began), 1),
            }
        )
        self.run.write_metrics(self.lines)
        # The first epoch's model is kept even where it diverged: a run always has a model.
        if perplexity < self.best or not self.run.path("model.keras").is_file():
            self.best = perplexity if perplexity < self.best else self.best
            self.run.write_model(self.model)
        if self.draws:
            self.run.write("curve.png", lambda path: draw_curve(self.lines, path))
        self.run.checkpoints.write(epoch + 1, self.model)
