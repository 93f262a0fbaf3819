"""Training runs: one call trains a model in a directory, with checkpoints to resume from."""

from awd_keras.runs.checkpoints import Checkpoints
from awd_keras.runs.finetune import finetune
from awd_keras.runs.recording import RunRecorder
from awd_keras.runs.run import Run
from awd_keras.runs.signals import Interrupted, StopOnSignal
from awd_keras.runs.training import corpus_of, resume, train

__all__ = [
    "Checkpoints",
    "Interrupted",
    "Run",
    "RunRecorder",
    "StopOnSignal",
    "corpus_of",
    "finetune",
    "resume",
    "train",
]
