"""Training runs: their directory, and the training of one."""

from awd_keras.runs.checkpoints import Checkpoints
from awd_keras.runs.corpus_of import corpus_of
from awd_keras.runs.finetune import finetune
from awd_keras.runs.interrupted import Interrupted
from awd_keras.runs.resume import resume
from awd_keras.runs.run import Run
from awd_keras.runs.run_recorder import RunRecorder
from awd_keras.runs.stop_on_signal import StopOnSignal
from awd_keras.runs.train import train

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
