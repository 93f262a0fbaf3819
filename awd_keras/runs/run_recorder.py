"""The callback that writes a run's files while it trains."""

import importlib.util
import math
import sys
import time

import keras
import numpy as np

from awd_keras.runs.curve import draw_curve


class RunRecorder(keras.callbacks.Callback):
    """Writes the metrics, the curve and the best model of a run at every epoch's end.

    A line of `metrics.jsonl` holds `epoch` (from 1), `train_perplexity`, `valid_perplexity`,
    `learning_rate`, `averaging` (whether the optimizer averages, from the epoch's end on),
    `seconds` (the epoch's, validation included) and `tokens_per_second` (the training's alone).
    `model.keras` is replaced when the validation perplexity is the lowest so far. Place it after
    `awd_keras.callbacks.awd_lstm(dataset)`, which decides what the epoch's end means.

    Args:
        run: the `awd_keras.runs.Run` to write to.
        dataset: the training `awd_keras.data.BPTTDataset`; gives the tokens of an epoch.
    """

    def __init__(self, run, dataset):
        super().__init__()
        self.run = run
        self.dataset = dataset
        self.lines = []
        self.best = math.inf
        self.draws = importlib.util.find_spec("matplotlib") is not None
        self._began = self._trained = 0.0

    def on_train_begin(self, logs=None):
        if not self.draws:
            print(
                'No curve.png: matplotlib is not installed. To have it: pip install "awd-keras[plot]"',
                file=sys.stderr,
            )

    def on_epoch_begin(self, epoch, logs=None):
        self._began = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self._trained = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        now = time.perf_counter()
        tokens = self.dataset.batch_size * np.sum(self.dataset.window_lengths(epoch))
        # Under mixed precision Keras wraps the optimizer.
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        perplexity = float(logs["val_perplexity"])
        self.lines.append(
            {
                "epoch": epoch + 1,
                "train_perplexity": float(logs["perplexity"]),
                "valid_perplexity": perplexity,
                "learning_rate": float(optimizer.learning_rate),
                "averaging": bool(getattr(optimizer, "averaging", False)),
                "seconds": round(now - self._began, 3),
                "tokens_per_second": round(float(tokens) / (self._trained - self._began), 1),
            }
        )
        self.run.write_metrics(self.lines)
        # The first epoch's model is kept even where it diverged: a run always has a model.
        if perplexity < self.best or len(self.lines) == 1:
            self.best = perplexity if perplexity < self.best else self.best
            self.run.write_model(self.model)
        if self.draws:
            self.run.write("curve.png", lambda path: draw_curve(self.lines, path))
