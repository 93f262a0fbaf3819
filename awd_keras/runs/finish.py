"""What is left to do of a run, from its beginning or from its last checkpoint."""

import math
import platform
import statistics
import sys

import keras

from awd_keras import backend, callbacks, evaluation
from awd_keras._version import __version__
from awd_keras.backend import devices
from awd_keras.data import UNK, BPTTDataset, Corpus
from awd_keras.models import AWDLSTM, PRESETS
from awd_keras.optimizers import NTASGD
from awd_keras.runs.load_start import load_start
from awd_keras.runs.reason import reason
from awd_keras.runs.run import Run
from awd_keras.runs.run_recorder import RunRecorder
from awd_keras.runs.settings import check_metrics
from awd_keras.runs.stop_on_signal import StopOnSignal
from awd_keras.runs.stopped_epoch import stopped_epoch


def finish(run: Run, corpus: Corpus, verbose: int | str = "auto") -> dict:
    """Trains the model of a run from its last checkpoint on, scores the best one, and writes `result.json`.

    Everything else is in the run's `config.json`: a run goes on as it would have, whoever calls this and when.

    Args:
        run: the `Run`, new or interrupted.
        corpus: the text that it is trained on.
        verbose: Keras's.

    Returns:
        What `result.json` holds.

    Raises:
        ValueError: if the run has lost its checkpoints, or the metrics of their epochs.
        FileNotFoundError: if the run has lost its best model.
        OSError: if the run can't be written.
        ChildProcessError: if a process is killed that trains on one of several devices.
        FloatingPointError: if the training diverges.
        Interrupted: after SIGINT or SIGTERM.
    """
    try:
        with StopOnSignal() as stop:
            lines, skipped_steps = devices.run_on(run.setting("devices"), _train, run.directory, corpus, verbose, stop)
            return _score(run, corpus, lines, skipped_steps)
    except FileNotFoundError:
        raise  # What is lost doesn't come back by going on.
    except OSError as error:
        checkpoints = run.checkpoints.paths()
        kept = f"{checkpoints[0]} is whole. " if checkpoints else ""
        raise OSError(f"{error}. {kept}To go on: awd-keras train --resume {run.directory}") from error
    except FloatingPointError as error:
        how = f" To leave such steps out: awd-keras train --resume {run.directory} --skip-nonfinite"
        how = "" if run.setting("skip_nonfinite") else how
        raise FloatingPointError(f"{error} The last good checkpoint is {run.checkpoints.paths()[0]}.{how}") from error


def versions() -> dict:
    """The versions of what a run depends on."""
    framework = keras.backend.backend()
    return {
        "awd_keras": __version__,
        "keras": keras.version(),
        # Read off the module: TensorFlow has several distributions of one module.
        framework: getattr(sys.modules.get(framework), "__version__", "unknown"),
        "python": platform.python_version(),
    }


def _train(directory, corpus, verbose, stop):
    """Trains; the metrics of all epochs, and the number of skipped steps. Each of several processes calls this."""
    run = Run.open(directory)
    number, count = devices.process()
    if count == 1:
        return _fit(run, corpus, verbose, stop)
    with StopOnSignal() as own_stop:
        return _fit(run, corpus, verbose if number == 0 else 0, own_stop)


def _fit(run, corpus, verbose, stop):
    number, count = devices.process()
    preset = PRESETS[run.setting("preset")]
    batch_size, bptt, seed, epochs = (run.setting(name) for name in ("batch_size", "bptt", "seed", "epochs"))
    variable, length_multiple = run.setting("variable"), run.setting("length_multiple")
    train_set = BPTTDataset(corpus.train, batch_size, bptt, variable, seed, length_multiple)
    own_rows = train_set.shard(count, number)
    valid_set = BPTTDataset(corpus.valid, preset.valid_batch_size, bptt=bptt, variable=False)
    keras.utils.set_random_seed(seed)
    # The carried state is built for the largest batch that it will see.
    rows = max(batch_size, preset.valid_batch_size, preset.test_batch_size)
    network, optimizer, lines = _restored(run, rows)
    start = run.setting("finetuned_from")
    is_over = start and stopped_epoch(lines, optimizer.non_monotone_interval)
    recorder = RunRecorder(run, train_set, lines, start and start["valid_perplexity"])
    catch = callbacks.CatchNonFinite(own_rows, skip=run.setting("skip_nonfinite"))
    if len(lines) < epochs and not is_over:
        if verbose:
            weights = sum(math.prod(variable.shape) for variable in network.trainable_variables)
            print(
                f"{keras.backend.backend()} on {backend.device_name()}, {weights:,} parameters, {_about(corpus)}",
                flush=True,
            )
        # What all processes have, one writes.
        recorders = [recorder] if number == 0 else []
        network.fit(
            own_rows,
            epochs=epochs,
            initial_epoch=len(lines),
            validation_data=valid_set,
            callbacks=[*callbacks.awd_lstm(own_rows, stop_training=bool(start)), catch, *recorders, stop],
            verbose=verbose,
        )
    return recorder.lines, optimizer.skipped_steps


def _about(corpus):
    """What a corpus has, and a remark if it is hardly one of words."""
    words, once = len(corpus.vocabulary), corpus.words_seen_once
    text = (
        f"{words:,} words, {len(corpus.train):,} tokens to train on, {corpus.unknown_tokens['train']:,} of them {UNK}"
    )
    if 2 * once <= words:
        return text
    return (
        f"{text}\n{once:,} of the words are seen once, and of such a word a model learns next to nothing. "
        "With `min_count=2`, on the command line --min-count 2, they become <unk>. A text that has no spaces between "
        "its words, in Chinese for example, needs them first, or a space after each character."
    )


def _restored(run, batch_size):
    """The compiled model where the run goes on, its optimizer, and the metrics of the epochs so far."""
    start = run.setting("finetuned_from")
    lines = run.metrics()
    check_metrics(lines, run.path("metrics.jsonl"))
    network = _configured(AWDLSTM, run, "model")
    network.build((batch_size, None))
    if start and not lines and not run.checkpoints.paths():
        load_start(run, network)
    network.compile(optimizer=_configured(NTASGD, run, "optimizer"))
    network.optimizer.build(network.trainable_variables)
    # Under mixed precision Keras wraps the optimizer.
    optimizer = getattr(network.optimizer, "inner_optimizer", network.optimizer)
    if start:
        optimizer.start_averaging()
    epoch = run.checkpoints.load(network, most=len(lines))
    if epoch is None:
        found = ", ".join(path.name for path in run.checkpoints.paths())
        if lines or found:
            raise ValueError(
                f"The run in {run.directory} can't be resumed: it has {len(lines)} epochs in metrics.jsonl, and no "
                f"whole checkpoint of them (found: {found or 'none'}). To start it anew, pass --overwrite and its "
                "options."
            )
    elif epoch or start:
        run.model()  # That the best one is there and whole is better known now than after hours of training.
    return network, optimizer, lines[: epoch or 0]


def _configured(kind, run, name):
    config = run.setting(name)
    try:
        return kind.from_config(config)
    # Whatever comes: Keras wraps what is wrong with an argument in one thing or another.
    except Exception as error:
        path = run.path("config.json")
        raise ValueError(f"{path}: {name!r} is no config of {kind.__name__}: {reason(error)}") from error


def _score(run, corpus, lines, skipped_steps):
    preset, bptt = PRESETS[run.setting("preset")], run.setting("bptt")
    best = run.model()
    valid = evaluation.perplexity(best, corpus.valid, preset.valid_batch_size, bptt)
    test = evaluation.perplexity(best, corpus.test, preset.test_batch_size, bptt)
    triggered = [line["epoch"] for line in lines if line["averaging"]]
    result = {
        "backend": keras.backend.backend(),
        "preset": run.setting("preset"),
        "epochs": len(lines),
        "valid_perplexity": valid.perplexity,
        "test_perplexity": test.perplexity,
        "triggered_epoch": triggered[0] if triggered else None,
        "skipped_steps": skipped_steps,
        "unknown_tokens": corpus.unknown_tokens,
        "tokens_per_second": statistics.median(line["tokens_per_second"] for line in lines),
        "versions": versions(),
    }
    start = run.setting("finetuned_from")
    if start:
        stopped = stopped_epoch(lines, _configured(NTASGD, run, "optimizer").non_monotone_interval)
        result |= {"triggered_epoch": 0, "finetuned_from": start, "stopped_epoch": stopped}
    return run.write_result(result)
