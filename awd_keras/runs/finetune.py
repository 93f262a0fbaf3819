"""The fine-tuning of a finished run."""

import os

import keras

from awd_keras.checks import check_positive_integer
from awd_keras.data import Corpus
from awd_keras.models import PRESETS
from awd_keras.runs.config import count_devices
from awd_keras.runs.fitting import finish, versions
from awd_keras.runs.loading import file_digest
from awd_keras.runs.optimizer import is_ntasgd, optimizer_name
from awd_keras.runs.run import Run
from awd_keras.runs.training import corpus_of


def finetune(
    run: str | os.PathLike,
    output: str | os.PathLike,
    *,
    epochs: int | None = None,
    corpus: Corpus | None = None,
    devices: int | str | None = None,
    overwrite: bool = False,
    verbose: int | str = "auto",
) -> dict:
    """Trains the best model of a finished run further, averaging from the first step: the paper's fine-tuning.

    A new run with the old one's settings and a new `NTASGD` whose `start_averaging()` is called at once, so that the
    average is the mean of the model it starts with and all iterates. It ends at the first epoch whose validation
    perplexity is worse than the best of all its own epochs but the last n, `non_monotone_interval`; the start isn't
    one of them. Its `model.keras` is the best of the epochs and the start, and is scored like that of every run.

    The new run has a copy of the model before its first step, needs the old run no more from then on, and goes on by
    `awd_keras.runs.resume` as if uninterrupted. Another backend than that of the old run will do; windows keep the old
    run's `length_multiple`, and with PyTorch's 1 JAX compiles each length, some 70 on Penn Treebank. See section 5 of
    Merity, Keskar, Socher (2017), arXiv 1708.02182.

    Args:
        run: the directory of a finished run.
        output: the directory of the new one, made where it doesn't exist.
        epochs: the most epochs. Defaults to the preset's.
        corpus: the text that the run is trained on. Defaults to where `train` had it from, if that was
            `Corpus.from_directory` or `Corpus.python_docs`.
        devices: number of devices, or `"all"`. Defaults to the run's.
        overwrite: whether a run that is already in `output` is replaced.
        verbose: Keras's: 0 for silence, 1 for a progress bar, 2 for a line an epoch.

    Returns:
        What `result.json` holds: that of `train`, where `epochs` is the number of those that were trained and
        `triggered_epoch` is 0; `finetuned_from`, a dictionary of `run` as it was given here, `model_digest`, the
        SHA-256 of its `model.keras`, and `valid_perplexity`, its result; and `stopped_epoch`, the epoch that was
        worse, or `None` where the epochs ran out before.

    Raises:
        FileNotFoundError: if there is no run in `run`, or its text or model is gone.
        ValueError: if it isn't finished, can't be read, is trained by another optimizer or on another text, `epochs`
            isn't a positive integer, or `output` holds a run already or is `run`.
        OSError: if the new run can't be written, for example on a full disk.
        FloatingPointError: if the training diverges; the last checkpoint is from before.
        Interrupted: after SIGINT or SIGTERM, when the current step is over.

    Example:

    ```python
    awd_keras.runs.train("runs/first")
    result = awd_keras.runs.finetune("runs/first", "runs/first-finetuned")
    result["test_perplexity"], result["stopped_epoch"]
    ```
    """
    old = Run.open(run)
    result = old.result
    if result is None:
        raise ValueError(
            f"The run in {old.directory} isn't finished: no result.json. To go on with it: awd-keras train --resume "
            f"{old.directory}"
        )
    settings = old.settings
    if not is_ntasgd(settings.optimizer):
        raise ValueError(
            f"The run in {old.directory} is trained by {optimizer_name(settings.optimizer)}, and what is fine-tuned is "
            "a run of `NTASGD`."
        )
    epochs = PRESETS[settings.preset].epochs if epochs is None else epochs
    check_positive_integer("epochs", epochs)
    devices = count_devices(settings.devices if devices is None else devices, settings.batch_size)
    # Errors are found before an old run is deleted.
    Run.check(output, overwrite, begins_from=old, name="output")
    corpus = corpus_of(old, corpus)
    config = {
        **old.config,
        "backend": keras.backend.backend(),
        "model": old.model().get_config(),
        "learning_rate_drops": [],
        "epochs": epochs,
        "devices": devices,
        "text": corpus.source,
        "versions": versions(),
        "started_from": None,
        "finetuned_from": {
            "run": os.fspath(run),
            "model_digest": file_digest(old.path("model.keras")),
            "valid_perplexity": result.get("valid_perplexity"),
        },
    }
    return finish(Run.create(output, config, corpus.vocabulary, overwrite), corpus, verbose)
