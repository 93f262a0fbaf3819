"""The model that a fine-tuned run starts with."""

import shutil

import keras

from awd_keras.runs.file_digest import file_digest
from awd_keras.runs.run import Run


def load_start(run: Run, network: keras.Model) -> None:
    """Makes the best model of the run that is fine-tuned the best one of `run` so far, and gives `network` its weights.

    Args:
        run: a fine-tuned `Run` that has no checkpoint yet.
        network: its model, built, and not compiled, as the optimizer must stay a new one.

    Raises:
        FileNotFoundError: if the old run is gone.
        ValueError: if its best model is another one now.
    """
    start, own = run.setting("finetuned_from"), run.path("model.keras")
    # Killed before its first checkpoint, it has the model already, and the old run may be gone.
    if not own.is_file() or file_digest(own) != start["model_digest"]:
        path = Run.open(start["run"]).path("model.keras")
        if file_digest(path) != start["model_digest"]:
            raise ValueError(f"The run in {run.directory} starts with another model than {path} is now.")
        run.write("model.keras", lambda beside: shutil.copyfile(path, beside))
    network.load_weights(own)
