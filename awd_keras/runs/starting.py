"""The models that a run starts from: a new one, that of another run, or the run's own last checkpoint."""

import os
import shutil
from typing import Any

from awd_keras.callbacks.trigger_and_swap import find_averaging
from awd_keras.data import Vocabulary
from awd_keras.metrics import BitsPerCharacter, Perplexity
from awd_keras.models import AWDLSTM, PRESETS, adapt_vocabulary
from awd_keras.runs.config import RunConfig, check_metrics, reason
from awd_keras.runs.loading import file_digest
from awd_keras.runs.optimizer import optimizer_from, optimizer_name
from awd_keras.runs.run import Run

# Settings that decide which weights a model has.
_SIZES = ("vocabulary_size", "embedding_dim", "hidden_units", "num_layers", "cell", "tie_weights", "softmax")


def model_of(old: Run, vocabulary: Vocabulary) -> tuple[AWDLSTM, dict]:
    """A run's best model, adapted to a vocabulary, and the setting `started_from` of a new run.

    Raises:
        FileNotFoundError: if the run has no model.
        ValueError: if the model can't be read, or can't be adapted to other words.
    """
    model, own = old.model(), old.vocabulary()
    if own != vocabulary:
        try:
            model = adapt_vocabulary(model, own, vocabulary)
        except ValueError as error:
            raise ValueError(f"The run in {old.directory} can't start a run with other words. {error}") from error
    return model, {
        "run": os.fspath(old.directory),
        "model_digest": file_digest(old.path("model.keras")),
        "known_words": sum(word in own for word in vocabulary),
    }


def like(start: AWDLSTM, overrides: dict) -> AWDLSTM:
    """A new model with the settings of `start`, except those in `overrides`.

    Raises:
        ValueError: if `overrides` changes a setting that decides which weights a model has.
    """
    config = start.get_config()
    for name in _SIZES:
        if overrides.get(name, config[name]) != config[name]:
            raise ValueError(
                f"Argument `{name}` must be that of the run to start from, {config[name]!r}. "
                f"Received: {name}={overrides[name]!r}"
            )
    return AWDLSTM.from_config({**config, **overrides})


def write_start(run: Run, model: AWDLSTM) -> None:
    """Writes the model that a new run's training begins with, as the checkpoint of epoch 0."""
    network, _ = _compiled(run, run.settings)
    network.set_weights(model.get_weights())
    run.checkpoints.write(0, network)


def _compiled(run, settings, start=None):
    """The model of a run's settings, compiled, and its optimizer."""
    preset = PRESETS[settings.preset]
    network = _configured(AWDLSTM.from_config, run, "model", settings.model)
    # Built for the largest batch of training and validation, as the carried state needs.
    network.build((max(settings.batch_size, preset.valid_batch_size, preset.test_batch_size), None))
    if start:
        _load_start(run, start, network)
    metrics = [Perplexity(), BitsPerCharacter()] if run.vocabulary().cut_by.of_characters else [Perplexity()]
    # Weighted metrics, as the padding of the last validation window must not count.
    network.compile(optimizer=optimizer_of(run, settings), metrics=[], weighted_metrics=metrics)
    network.optimizer.build(network.trainable_variables)
    return network, find_averaging(network)


def restored(run: Run, settings: RunConfig) -> tuple[AWDLSTM, Any, list[dict]]:
    """Restores a run from its last checkpoint: the compiled model, its optimizer, and the metrics of the epochs so far.

    Raises:
        FileNotFoundError: if a model that is needed is gone.
        ValueError: if a setting is wrong, or the run has lost its checkpoints or metrics.
    """
    start = settings.finetuned_from
    lines = run.metrics()
    check_metrics(lines, run.path("metrics.jsonl"))
    network, optimizer = _compiled(run, settings, start if is_new(run, lines) else None)
    if start:
        optimizer.start_averaging()
    epoch = run.checkpoints.load(network, most=len(lines))
    if epoch is None:
        found = ", ".join(path.name for path in run.checkpoints.paths())
        if lines or found or settings.started_from:
            raise ValueError(
                f"The run in {run.directory} can't be resumed: it has {len(lines)} epochs in metrics.jsonl, and no "
                f"whole checkpoint of them (found: {found or 'none'}). To start it anew, pass --overwrite and its "
                "options."
            )
    elif epoch or start:
        run.model()  # Check now, not after hours of training, that the best model is there and not damaged.
    return network, optimizer, lines[: epoch or 0]


def is_new(run: Run, lines: list[dict]) -> bool:
    """Whether a run with these metrics has neither an epoch nor a checkpoint, as before its training begins."""
    return not lines and not run.checkpoints.paths()


def _load_start(run, start, network):
    """Copies the model to be fine-tuned into `run`, as its best one so far, and loads its weights into `network`.

    Args:
        run: a fine-tuned `Run` that has no checkpoint yet.
        start: the run's setting `finetuned_from`.
        network: the run's model, built. It must not be compiled yet, or it would load the old optimizer too.

    Raises:
        FileNotFoundError: if the old run is gone.
        ValueError: if the best model of the old run has changed.
    """
    own = run.path("model.keras")
    # If the run was killed before its first checkpoint, it has the model already, and the old run may be gone.
    if not own.is_file() or file_digest(own) != start["model_digest"]:
        path = unchanged(run, start).path("model.keras")
        run.write("model.keras", lambda beside: shutil.copyfile(path, beside))
    network.load_weights(own)


def unchanged(run: Run, start: dict) -> Run:
    """The old run that a run was started from.

    Args:
        run: the `Run`.
        start: its setting `started_from` or `finetuned_from`.

    Raises:
        FileNotFoundError: if it is gone.
        ValueError: if its model has changed.
    """
    old = Run.open(start["run"])
    path = old.path("model.keras")
    if file_digest(path) != start["model_digest"]:
        raise ValueError(f"The run in {run.directory} was started from {path}, which has changed since.")
    return old


def optimizer_of(run: Run, settings: RunConfig) -> Any:
    """Makes a new optimizer from a run's settings."""
    return _configured(optimizer_from, run, "optimizer", settings.optimizer, optimizer_name(settings.optimizer))


def _configured(make, run, name, config, kind="AWDLSTM"):
    try:
        return make(config)
    # Any exception: Keras wraps errors of arguments in various classes.
    except Exception as error:
        path = run.path("config.json")
        raise ValueError(f"{path}: {name!r} is no config of {kind}: {reason(error)}") from error
