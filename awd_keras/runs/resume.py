"""An interrupted run goes on."""

import os

from awd_keras.checks import check_boolean, check_positive_integer
from awd_keras.data import Corpus
from awd_keras.runs.corpus_of import corpus_of
from awd_keras.runs.count_devices import count_devices
from awd_keras.runs.finish import finish
from awd_keras.runs.run import Run


def resume(
    output: str | os.PathLike,
    corpus: Corpus | None = None,
    *,
    epochs: int | None = None,
    skip_nonfinite: bool = False,
    devices: int | str | None = None,
    verbose: int | str = "auto",
) -> dict:
    """Goes on with a run of `train` or `finetune` at its last finished epoch, as if nothing had happened.

    Losses, perplexities, the trigger, weights, averages, masks and window lengths are those of the run without the
    interruption: on the same backend of the same machine to the last bit, on another backend with masks of its own.
    All settings are the run's. Of a run that is finished, the result is returned.

    Args:
        output: the run's directory.
        corpus: the text that it is trained on. Defaults to where `train` had it from, if that was
            `Corpus.from_directory` or `Corpus.python_docs`.
        epochs: number of epochs in all, if it is to be another one than before.
        skip_nonfinite: True to leave steps out from now on that aren't finite, as `train` has it.
        devices: number of devices, or `"all"`, if it is to be another one than before. Masks are others then.
        verbose: Keras's: 0 for silence, 1 for a progress bar, 2 for a line an epoch.

    Returns:
        What `result.json` holds; see `train`.

    Raises:
        FileNotFoundError: if there is no run, or its text or best model is gone.
        ValueError: if the run can't be read or has lost its checkpoints or metrics, the text is another one, `epochs`
            is less than what has been trained already, there are fewer devices, or `skip_nonfinite` isn't a boolean.
        OSError: if the run can't be written, for example on a full disk.
        FloatingPointError: if the training diverges; the last checkpoint is from before.
        Interrupted: after SIGINT or SIGTERM, when the current step is over.

    Example:

    ```python
    result = awd_keras.runs.resume("runs/first")
    result["valid_perplexity"]
    ```
    """
    check_boolean("skip_nonfinite", skip_nonfinite)
    run = Run.open(output)
    config = run.config
    corpus = corpus_of(run, corpus)
    if epochs is not None and epochs != run.setting("epochs"):
        check_positive_integer("epochs", epochs)
        done = len(run.metrics())
        if epochs < done:
            raise ValueError(f"Argument `epochs` must be at least {done}, which have been trained. Received: {epochs=}")
        # First, so that a result of fewer epochs is never met beside the new settings.
        run.path("result.json").unlink(missing_ok=True)
        config = {**config, "epochs": epochs}
        run.write_config(config)
    if skip_nonfinite:
        config = {**config, "skip_nonfinite": True}
        run.write_config(config)
    if devices is not None:
        run.write_config({**config, "devices": count_devices(devices, run.setting("batch_size"))})
    if run.result is not None:
        return run.result
    if not run.path("vocabulary.json").is_file():
        run.write_vocabulary(corpus.vocabulary)
    return finish(run, corpus, verbose)
