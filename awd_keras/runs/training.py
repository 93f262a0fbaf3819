"""Starts training runs, and resumes them."""

import dataclasses
import os
from collections.abc import Sequence

import keras

from awd_keras.checks import check_boolean, check_positive_integer, check_rows, check_seed
from awd_keras.data import BPTTDataset, Corpus
from awd_keras.data.corpus import check_ids
from awd_keras.models import AWDLSTM, PRESETS
from awd_keras.runs.config import RunConfig, count_devices
from awd_keras.runs.fitting import finish, versions
from awd_keras.runs.optimizer import check_skipping, choose_optimizer, optimizer_config
from awd_keras.runs.run import Run
from awd_keras.runs.starting import is_new, like, model_of, restored, unchanged, write_start

# Arguments of `AWDLSTM` that a run sets itself, or can't keep.
_NOT_OF_A_RUN = {
    "embeddings": "which config.json can't keep: build the model and call its `fit`",
    "stateful": "as a run reads its texts window by window, with a carried state",
    "vocabulary_size": "which is that of the corpus",
}


def train(
    output: str | os.PathLike,
    corpus: Corpus | None = None,
    preset: str | None = None,
    *,
    start_from: str | os.PathLike | None = None,
    model: dict | None = None,
    optimizer: str | dict | keras.optimizers.Optimizer | None = None,
    learning_rate_drops: Sequence[int] | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    bptt: int | None = None,
    variable: bool = True,
    backwards: bool = False,
    length_multiple: int | None = None,
    seed: int = 0,
    skip_nonfinite: bool = False,
    devices: int | str = 1,
    overwrite: bool = False,
    verbose: int | str = "auto",
) -> dict:
    """Trains an AWD-LSTM on a corpus, and writes the model and all results to a directory.

    Builds the preset's model and optimizer, and fits them with `awd_keras.callbacks.awd_lstm`. Keeps
    the model of the best epoch, and scores it on the validation split in 10 rows and on the test
    split in one. `awd_keras.runs.Run` lists the files in the directory. The same seed on the same
    machine gives the same run, also if it is interrupted and `awd_keras.runs.resume` continues it.
    See section 5 of Merity, Keskar, Socher (2017), arXiv 1708.02182.

    Args:
        output: the run's directory, made if it doesn't exist.
        corpus: an `awd_keras.data.Corpus`. Defaults to `Corpus.python_docs(unit=settings.unit)`.
        preset: a name in `awd_keras.models.PRESETS`, whose settings are used for arguments that aren't given. Defaults
            to `"tiny"`, or that of `start_from`.
        start_from: the directory of a run whose best model this run begins with, adapted to the words of `corpus` by
            `awd_keras.models.adapt_vocabulary`. The model keeps its sizes, and its rates unless `model` overrides them.
            The other run isn't needed once training has begun.
        model: arguments of `awd_keras.models.AWDLSTM` that override the preset's, or those of `start_from`.
        optimizer: `"ntasgd"`, `"sgd"` or `"adam"`, with the preset's `weight_decay` and `global_clipnorm`; or a
            dictionary of arguments that override the preset's, whose `name` is one of these three; or any Keras
            optimizer, which is used unchanged. SGD and Adam add the weight decay to the gradient, as in the original
            program; see `awd_keras.optimizers.L2WeightDecay`. The learning rate is the preset's. If the preset is for
            another kind of optimizer, it is 30 for SGD and 0.001 for Adam. Only NT-ASGD averages.
        learning_rate_drops: epochs after which the learning rate is divided by 10, in ascending order.
        epochs: number of epochs.
        batch_size: number of rows that the training tokens are cut into.
        bptt: the mean length of a window, in tokens.
        variable: whether windows vary in length, as in `awd_keras.data.BPTTDataset`.
        backwards: whether all three splits are read from the end, so that the model predicts the previous word.
        length_multiple: as in `awd_keras.data.BPTTDataset`. Defaults to the result of `AWDLSTM.length_multiple`: 1, for
            windows of any length; or on JAX, which compiles each length, the number that leaves at most five lengths.
        seed: seed of the weights, the masks and the windows.
        skip_nonfinite: whether a step whose loss or gradients aren't finite is left out, instead of ending the run;
            see `awd_keras.callbacks.CatchNonFinite`.
        devices: number of devices that the rows of each batch are split between, or `"all"`.
        overwrite: whether to replace a run that is already in `output`.
        verbose: as in Keras: 0 prints nothing, 1 a progress bar, 2 a line for each epoch.

    Returns:
        The content of `result.json`: `backend`, `preset`, `optimizer` (its class), `epochs`, `valid_perplexity`,
        `test_perplexity`, `triggered_epoch` (`None` if averaging never began),
        `skipped_steps`, `unknown_tokens` (how many tokens of each split are `<unk>`), `tokens_per_second` (of the
        median epoch) and `versions`; for characters or bytes also `valid_bits_per_character` and
        `test_bits_per_character`. With `start_from`, `started_from` is a dictionary with `run` (the argument),
        `model_digest` (the SHA-256 of its `model.keras`) and `known_words` (how many of the corpus's words it has).

    Raises:
        ValueError: if the preset is unknown, an argument is out of its range, or the optimizer's learning rate is a
            schedule; if a split is too short for one window, there are fewer devices, or the directory already holds a
            run; or if the run to start from can't be read or adapted, or `model` changes its sizes.
        FileNotFoundError: if there is no run to start from.
        OSError: if the run can't be written, for example on a full disk.
        ChildProcessError: if a process that trains on one of several devices is killed.
        FloatingPointError: if the training diverges. The last checkpoint is older than that.
        Interrupted: after SIGINT or SIGTERM, when the current step is over.

    Example:

    ```python
    result = awd_keras.runs.train("runs/first", epochs=5, model={"weight_drop": 0.4})
    result["valid_perplexity"]
    ```
    """
    old = None if start_from is None else Run.open(start_from)
    if preset is None:
        preset = "tiny" if old is None else old.setting("preset")
    if preset not in PRESETS:
        raise ValueError(
            f"Argument `preset` must be one of {', '.join(map(repr, PRESETS))}. Received: preset={preset!r}"
        )
    settings = PRESETS[preset]
    epochs = settings.epochs if epochs is None else epochs
    batch_size = settings.batch_size if batch_size is None else batch_size
    bptt = settings.bptt if bptt is None else bptt
    check_positive_integer("epochs", epochs)
    check_positive_integer("batch_size", batch_size)
    check_positive_integer("bptt", bptt)
    check_boolean("variable", variable)
    check_boolean("backwards", backwards)
    check_boolean("skip_nonfinite", skip_nonfinite)
    check_seed(seed)
    devices = count_devices(devices, batch_size)
    # Checked here, before an old run is deleted.
    Run.check(output, overwrite, begins_from=old, name="output")
    corpus = Corpus.python_docs(unit=settings.unit) if corpus is None else corpus
    if not isinstance(corpus, Corpus):
        raise ValueError(f"Argument `corpus` must be a Corpus, as of `Corpus.from_directory`. Received: {corpus!r}")
    if not isinstance(model, dict | None):
        raise ValueError(f"Argument `model` must be a dictionary of arguments of AWDLSTM. Received: {model!r}")
    model = model or {}
    check_rows("corpus", "valid", corpus.valid, settings.valid_batch_size)
    check_rows("corpus", "test", corpus.test, settings.test_batch_size)
    for name, reason in _NOT_OF_A_RUN.items():
        if name in model:
            raise ValueError(f"Argument `model` must not hold {name!r}, {reason}. Received: {sorted(model)}")
    # With a fixed name: Keras numbers the models of a process, so that config.json would differ.
    overrides = {"seed": seed, "name": "awd_lstm", **model}
    if old is None:
        start = started_from = None
        network = AWDLSTM.from_preset(preset, len(corpus.vocabulary), **overrides)
    else:
        start, started_from = model_of(old, corpus.vocabulary)
        network = like(start, overrides)
    if length_multiple is None:
        length_multiple = network.length_multiple(bptt) if variable else 1
    check_ids(corpus)
    BPTTDataset(corpus.train, batch_size, bptt, variable, seed, length_multiple)  # only to check the arguments
    chosen = choose_optimizer(settings.optimizer, optimizer)
    config = RunConfig(
        preset=preset,
        model=network.get_config(),
        optimizer=optimizer_config(chosen),
        learning_rate_drops=list(settings.learning_rate_drops if learning_rate_drops is None else learning_rate_drops),
        epochs=epochs,
        batch_size=batch_size,
        bptt=bptt,
        variable=variable,
        backwards=backwards,
        length_multiple=length_multiple,
        seed=seed,
        skip_nonfinite=skip_nonfinite,
        devices=devices,
        text=corpus.source,
        started_from=started_from,
    )
    check_skipping(skip_nonfinite, config.optimizer)
    written = {
        "backend": keras.backend.backend(),
        **{name: value for name, value in dataclasses.asdict(config).items() if name != "finetuned_from"},
        "text_digest": corpus.digest,
        "versions": versions(),
    }
    run = Run.create(output, written, corpus.vocabulary, overwrite)
    if start is not None:
        write_start(run, start)
    return finish(run, corpus, verbose)


def resume(
    output: str | os.PathLike,
    corpus: Corpus | None = None,
    *,
    epochs: int | None = None,
    skip_nonfinite: bool = False,
    devices: int | str | None = None,
    verbose: int | str = "auto",
) -> dict:
    """Continues a run of `train` or `finetune` after its last finished epoch, as if it had not been interrupted.

    On the same backend of the same machine, losses, perplexities, the trigger, weights, averages, masks and window
    lengths are the same to the last bit as without the interruption. Another backend draws other masks. All settings
    are those of the run. If the run is finished, its result is returned.

    Args:
        output: the run's directory.
        corpus: the text of the run. By default it is read again as for `train`, if that was by `Corpus.from_directory`
            or `Corpus.python_docs`.
        epochs: a new total number of epochs, or None for the run's.
        skip_nonfinite: True to leave out steps that aren't finite from now on, as in `train`.
        devices: a new number of devices, or `"all"`, with which other masks are drawn; or None for the run's.
        verbose: as in Keras: 0 prints nothing, 1 a progress bar, 2 a line for each epoch.

    Returns:
        The content of `result.json`; see `train`.

    Raises:
        FileNotFoundError: if there is no run, or its text or best model is gone.
        ValueError: if the run can't be read or has lost its checkpoints or metrics, the text has changed, `epochs` is
            less than the epochs already trained, there are fewer devices, or `skip_nonfinite` isn't a boolean.
        OSError: if the run can't be written, for example on a full disk.
        FloatingPointError: if the training diverges. The last checkpoint is older than that.
        Interrupted: after SIGINT or SIGTERM, when the current step is over.

    Example:

    ```python
    result = awd_keras.runs.resume("runs/first")
    result["valid_perplexity"]
    ```
    """
    check_boolean("skip_nonfinite", skip_nonfinite)
    run = Run.open(output)
    settings, changes = run.settings, {}
    corpus = corpus_of(run, corpus)
    # All is checked before the run is changed.
    check_skipping(skip_nonfinite, settings.optimizer)
    if epochs is not None and epochs != settings.epochs:
        check_positive_integer("epochs", epochs)
        done = len(run.metrics())
        if epochs < done:
            raise ValueError(
                f"Argument `epochs` must be at least {done}, as many as have been trained. Received: {epochs=}"
            )
        changes["epochs"] = epochs
    if skip_nonfinite:
        changes["skip_nonfinite"] = True
    if devices is not None:
        changes["devices"] = count_devices(devices, settings.batch_size)
    if "epochs" in changes:
        if run.metrics():
            restored(run, settings)  # raises if the run can't go on
        # Deleted first, so that the new settings are never beside a result of fewer epochs.
        run.path("result.json").unlink(missing_ok=True)
    if changes:
        run.write_config({**run.config, **changes})
    if run.result is not None:
        return run.result
    if not run.path("vocabulary.json").is_file():
        run.write_vocabulary(corpus.vocabulary)
    if settings.started_from and is_new(run, run.metrics()):  # killed before it had been written
        write_start(run, model_of(unchanged(run, settings.started_from), corpus.vocabulary)[0])
    return finish(run, corpus, verbose)


def corpus_of(run: Run, corpus: Corpus | None = None) -> Corpus:
    """Returns the corpus that a run is trained on: the given one if it is the same, or else read again.

    Args:
        run: the `Run`.
        corpus: `Corpus`, or None to read the run's text again.

    Raises:
        ValueError: if the text is another one, or can't be read again because Python code has made the corpus.
        FileNotFoundError: if the text's files are gone.
    """
    corpus = _read_again(run) if corpus is None else corpus
    if corpus.digest != run.config.get("text_digest"):
        raise ValueError(f"The run in {run.directory} was trained on another text than this one.")
    return corpus


def _read_again(run):
    source = run.setting("text")
    if source is None:
        raise ValueError(
            f"The run in {run.directory} was trained on a corpus that Python code has made: pass it as the argument "
            "`corpus`, or on the command line by --data."
        )
    unit = source.get("unit", "word")
    if source["directory"] is None:
        return Corpus.python_docs(min_count=source["min_count"], unit=unit)
    cache = source.get("cache")
    return Corpus.from_directory(source["directory"], source["min_count"], unit=unit, cache=cache, verbose=0)
