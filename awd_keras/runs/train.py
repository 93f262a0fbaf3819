"""A whole training run."""

import os

import keras

from awd_keras.checks import check_boolean, check_positive_integer, check_seed
from awd_keras.data import BPTTDataset, Corpus
from awd_keras.models import AWDLSTM, PRESETS
from awd_keras.optimizers import NTASGD
from awd_keras.runs.count_devices import count_devices
from awd_keras.runs.finish import finish, versions
from awd_keras.runs.run import Run


def train(
    output: str | os.PathLike,
    corpus: Corpus | None = None,
    preset: str = "tiny",
    *,
    model: dict | None = None,
    optimizer: dict | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    bptt: int | None = None,
    variable: bool = True,
    length_multiple: int | None = None,
    seed: int = 0,
    skip_nonfinite: bool = False,
    devices: int | str = 1,
    overwrite: bool = False,
    verbose: int | str = "auto",
) -> dict:
    """Trains an AWD-LSTM on a corpus and keeps everything in a directory.

    Builds the preset's model and NT-ASGD, fits them with `awd_keras.callbacks.awd_lstm`, keeps
    the model of the best epoch, and scores it on the validation split in 10 rows and on the test
    split in one. The directory is that of `awd_keras.runs.Run`. The same seed on the same machine
    gives the same run, also if it is interrupted and `awd_keras.runs.resume` goes on with it. See
    section 5 of Merity, Keskar, Socher (2017), arXiv 1708.02182.

    Args:
        output: the run's directory, made where it doesn't exist.
        corpus: an `awd_keras.data.Corpus`. Defaults to `Corpus.python_docs()`.
        preset: a name in `awd_keras.models.PRESETS`; sets whatever isn't given here.
        model: arguments of `awd_keras.models.AWDLSTM` that override the preset's.
        optimizer: arguments of `awd_keras.optimizers.NTASGD` that override the preset's.
        epochs: number of epochs.
        batch_size: number of rows that the training tokens are cut into.
        bptt: the mean window, in tokens.
        variable: whether windows vary in length, as `awd_keras.data.BPTTDataset` has it.
        length_multiple: as `awd_keras.data.BPTTDataset` has it. Defaults to what `AWDLSTM.length_multiple` says: 1, for
            windows of any length, or on JAX, which compiles each, what leaves at most five.
        seed: seed of the weights, the masks and the windows.
        skip_nonfinite: whether a step whose loss or gradients aren't finite is left out, instead of ending the run;
            see `awd_keras.callbacks.CatchNonFinite`.
        devices: number of devices that the rows of each batch are split between, or `"all"`.
        overwrite: whether a run that is already in `output` is replaced.
        verbose: Keras's: 0 for silence, 1 for a progress bar, 2 for a line an epoch.

    Returns:
        What `result.json` holds: `backend`, `preset`, `epochs`, `valid_perplexity`,
        `test_perplexity`, `triggered_epoch` (`None` where averaging never began),
        `skipped_steps`, `unknown_tokens` (how many tokens of each split are `<unk>`), `tokens_per_second` (the median
        epoch's) and `versions`.

    Raises:
        ValueError: if the preset is unknown, an argument is out of its range, a split is too short
            for one window, there are fewer devices, or the directory holds a run already.
        OSError: if the run can't be written, for example on a full disk.
        ChildProcessError: if a process is killed that trains on one of several devices.
        FloatingPointError: if the training diverges; the last checkpoint is from before.
        Interrupted: after SIGINT or SIGTERM, when the current step is over.

    Example:

    ```python
    result = awd_keras.runs.train("runs/first", epochs=5, model={"weight_drop": 0.4})
    result["valid_perplexity"]
    ```
    """
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
    check_boolean("skip_nonfinite", skip_nonfinite)
    check_seed(seed)
    devices = count_devices(devices, batch_size)
    # Whatever can be wrong is found before an old run is deleted.
    Run.check(output, overwrite)
    corpus = Corpus.python_docs() if corpus is None else corpus
    for name, tokens, rows in (
        ("validation", corpus.valid, settings.valid_batch_size),
        ("test", corpus.test, settings.test_batch_size),
    ):
        if len(tokens) <= rows:
            raise ValueError(
                f"The {name} split must hold more than {rows} tokens, as it is read in {rows} rows: this is too "
                f"short for one window. Received: {len(tokens)} tokens"
            )
    # With names, as Keras would give every model and optimizer of a process others, and the run another config.json.
    overrides = {"seed": seed, "name": "awd_lstm", **(model or {})}
    network = AWDLSTM.from_preset(preset, len(corpus.vocabulary), **overrides)
    if length_multiple is None:
        length_multiple = network.length_multiple(bptt) if variable else 1
    BPTTDataset(corpus.train, batch_size, bptt, variable, seed, length_multiple)  # which checks them together
    ntasgd = NTASGD(**{"name": "ntasgd", **settings.optimizer, **(optimizer or {})})
    config = {
        "backend": keras.backend.backend(),
        "preset": preset,
        "model": network.get_config(),
        "optimizer": ntasgd.get_config(),
        "epochs": epochs,
        "batch_size": batch_size,
        "bptt": bptt,
        "variable": variable,
        "length_multiple": length_multiple,
        "seed": seed,
        "skip_nonfinite": skip_nonfinite,
        "devices": devices,
        "text": corpus.source,
        "text_digest": corpus.digest,
        "versions": versions(),
    }
    run = Run.create(output, config, corpus.vocabulary, overwrite)
    return finish(run, corpus, verbose)
