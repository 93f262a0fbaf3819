"""Training runs: their directory, and the training of one."""

from awd_keras.runs.run import Run
from awd_keras.runs.run_recorder import RunRecorder
from awd_keras.runs.train import train

__all__ = ["Run", "RunRecorder", "train"]
