"""The fine-tuning of a finished run."""

import os

import keras

from awd_keras.checks import check_positive_integer
from awd_keras.data import Corpus
from awd_keras.models import PRESETS
from awd_keras.output import to_resume
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

    The new run has the old one's settings and a new `NTASGD` whose `start_averaging()` is called at once. So the
    average is the mean of the initial model and all iterates. The run ends at the first epoch whose validation
    perplexity is worse than the best of its earlier epochs except the last n, `non_monotone_interval`. The initial
    model doesn't count as an epoch there, but its `model.keras` is the best of the epochs and the initial model, and is
    scored as in every run.

    The new run copies the model before its first step, and doesn't need the old run afterwards. `awd_keras.runs.resume`
    continues it as if uninterrupted. The backend may be another one than the old run's. Windows keep the old run's
    `length_multiple`; if that is 1, as on PyTorch, JAX compiles each length, about 70 on Penn Treebank. See section 5
    of Merity, Keskar, Socher (2017), arXiv 1708.02182.

    Args:
        run: the directory of a finished run.
        output: the directory of the new run, made if it doesn't exist.
        epochs: the most epochs. Defaults to the preset's.
        corpus: the text of the run. By default it is read again as for `train`, if that was by `Corpus.from_directory`
            or `Corpus.python_docs`.
        devices: number of devices, or `"all"`. Defaults to the run's.
        overwrite: whether a run that is already in `output` is replaced.
        verbose: Keras's: 0 for silence, 1 for a progress bar, 2 for a line an epoch.

    Returns:
        The content of `result.json`, as for `train`; `epochs` is the number of trained epochs, and `triggered_epoch` is
        0. In addition, `finetuned_from` is a dictionary with `run` (the argument), `model_digest` (the SHA-256 of its
        `model.keras`) and `valid_perplexity` (its result). `stopped_epoch` is the epoch that was worse, or `None` if
        the epoch limit came first.

    Raises:
        FileNotFoundError: if there is no run in `run`, or its text or model is gone.
        ValueError: if the run isn't finished, can't be read, or was trained by another optimizer or on another text; if
            `epochs` isn't a positive integer; or if `output` already holds a run or is `run`.
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
            f"The run in {old.directory} isn't finished: no result.json. To go on with it: {to_resume(old.directory)}"
        )
    settings = old.settings
    if not is_ntasgd(settings.optimizer):
        raise ValueError(
            f"Argument `run` must be a run of the optimizer NTASGD to be fine-tuned. Received: {old.directory}, which "
            f"was trained by {optimizer_name(settings.optimizer)}"
        )
    epochs = PRESETS[settings.preset].epochs if epochs is None else epochs
    check_positive_integer("epochs", epochs)
    devices = count_devices(settings.devices if devices is None else devices, settings.batch_size)
    # Checked here, before an old run is deleted.
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
