"""Trains a run from its last checkpoint, or from the beginning, and scores it."""

import bisect
import math
import platform
import statistics
import sys

import keras
import numpy as np
from keras import ops

from awd_keras import backend, callbacks, evaluation
from awd_keras._version import __version__
from awd_keras.backend import devices
from awd_keras.data import UNK, BPTTDataset, Corpus
from awd_keras.models import PRESETS
from awd_keras.optimizers.ntasgd import is_worse
from awd_keras.output import to_resume
from awd_keras.runs.optimizer import is_ntasgd, optimizer_name
from awd_keras.runs.recording import CompilationNotice, RunRecorder
from awd_keras.runs.run import Run
from awd_keras.runs.signals import StopOnSignal
from awd_keras.runs.starting import optimizer_of, restored


def finish(run: Run, corpus: Corpus, verbose: int | str = "auto") -> dict:
    """Trains the model of a run from its last checkpoint on, scores the best one, and writes `result.json`.

    All settings are in the run's `config.json`, so an interrupted run continues as if uninterrupted.

    Args:
        run: the `Run`, new or interrupted.
        corpus: the text that the run is trained on.
        verbose: as in Keras.

    Returns:
        The content of `result.json`.

    Raises:
        ValueError: if a setting isn't what it must be, or the run has lost its checkpoints, or the metrics of their
            epochs.
        FileNotFoundError: if the run has lost its best model.
        OSError: if the run can't be written.
        ChildProcessError: if a process is killed that trains on one of several devices.
        FloatingPointError: if the training diverges.
        Interrupted: after SIGINT or SIGTERM.
    """
    settings = run.settings
    backend.keep_programs()
    corpus = corpus.backwards() if settings.backwards else corpus
    try:
        with StopOnSignal() as stop:
            lines, skipped_steps = devices.run_on(settings.devices, _train, run.directory, corpus, verbose, stop)
            return _score(run, settings, corpus, lines, skipped_steps)
    except FileNotFoundError:
        raise  # Resuming would not bring the lost file back.
    except OSError as error:
        checkpoints = run.checkpoints.paths()
        kept = f"{checkpoints[0]} is whole. " if checkpoints else ""
        raise OSError(f"{error}. {kept}To go on: {to_resume(run.directory)}") from error
    except FloatingPointError as error:
        how = f" To leave such steps out: {to_resume(run.directory)} --skip-nonfinite"
        how = how if is_ntasgd(settings.optimizer) and not settings.skip_nonfinite else ""
        raise FloatingPointError(f"{error} The last good checkpoint is {run.checkpoints.paths()[0]}.{how}") from error


def versions() -> dict:
    """The versions of the packages that a run depends on."""
    framework = keras.backend.backend()
    return {
        "awd_keras": __version__,
        "keras": keras.version(),
        # Read from the module, as several distributions contain the module `tensorflow`.
        framework: getattr(sys.modules.get(framework), "__version__", "unknown"),
        "python": platform.python_version(),
    }


def _train(directory, corpus, verbose, stop):
    """Trains, in each of several processes. Returns the metrics of all epochs and the number of skipped steps."""
    run = Run.open(directory)
    number, count = devices.process()
    if count == 1:
        return _fit(run, corpus, verbose, stop)
    with StopOnSignal() as own_stop:
        return _fit(run, corpus, verbose if number == 0 else 0, own_stop)


def _fit(run, corpus, verbose, stop):
    number, count = devices.process()
    settings = run.settings
    preset = PRESETS[settings.preset]
    train_set = BPTTDataset(
        corpus.train,
        settings.batch_size,
        settings.bptt,
        settings.variable,
        settings.seed,
        settings.length_multiple,
    )
    own_rows = train_set.shard(count, number)
    keras.utils.set_random_seed(settings.seed)
    network, optimizer, lines = restored(run, settings)
    start = settings.finetuned_from
    is_over = start and stopped_epoch(lines, optimizer.non_monotone_interval)
    recorder = RunRecorder(run, train_set, lines, start and start["valid_perplexity"])
    catch = callbacks.CatchNonFinite(own_rows, skip=settings.skip_nonfinite)
    if len(lines) < settings.epochs and not is_over:
        if verbose:
            weights = sum(math.prod(variable.shape) for variable in network.trainable_variables)
            device = f"{keras.backend.backend()} on {backend.device_name()}"
            print(f"{device}, {weights:,} parameters, {_about(corpus, train_set)}", flush=True)
        # All processes have the same metrics, so only one writes them.
        recorders = [recorder] if number == 0 else []
        paper = callbacks.awd_lstm(own_rows, stop_training=bool(start))
        paper += _rate_by_epoch(optimizer_of(run, settings), settings.learning_rate_drops)
        with CompilationNotice(own_rows) as notice:
            network.fit(
                own_rows,
                epochs=settings.epochs,
                initial_epoch=len(lines),
                validation_data=_validation_set(network, corpus.valid, preset.valid_batch_size, settings.bptt),
                callbacks=[*paper, catch, *([notice] if verbose else []), *recorders, stop],
                verbose=verbose,
            )
    return recorder.lines, optimizer.skipped_steps


def _rate_by_epoch(optimizer, drops):
    """A list with the callback that divides the learning rate by 10 after each of these epochs, empty without any."""
    rate = float(ops.convert_to_numpy(optimizer.learning_rate))
    # The rate depends only on the epoch, so that it is the same in a resumed run.
    divided = keras.callbacks.LearningRateScheduler(lambda epoch: rate / 10.0 ** bisect.bisect(drops, epoch))
    return [divided] if drops else []


def _validation_set(model, tokens, rows, bptt):
    """The windows for validation in `fit`. They have one length if each length is compiled."""
    if backend.compiles_each_length(model.jit_compile):
        return _FilledWindows(tokens, rows, bptt)
    return BPTTDataset(tokens, rows, bptt, variable=False)


class _FilledWindows(BPTTDataset):
    """Windows of one length, with a weight for each target. The last window is padded, with the weight 0.

    Of the lengths from `bptt / 2` to `bptt`, it is the one that needs the least padding: `val_loss`, a mean over
    windows, includes the padding. The perplexity doesn't.
    """

    def __init__(self, tokens, batch_size, bptt):
        n = max(1, (len(tokens) - 1) // batch_size)
        bptt = min(range(min(n, bptt), bptt // 2, -1), key=lambda length: -n % length, default=n)
        super().__init__(tokens, batch_size, bptt, variable=False)

    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        weights = np.ones(x.shape, "float32")
        fill = ((0, 0), (0, self.bptt - x.shape[1]))
        return np.pad(x, fill), np.pad(y, fill), np.pad(weights, fill)


def _about(corpus, dataset):
    """The size of a corpus, with remarks if most of its words occur once, or its rows are shorter than a window."""
    words, once = len(corpus.vocabulary), corpus.words_seen_once
    named, unknown = corpus.vocabulary.cut_by.plural, corpus.unknown_tokens["train"]
    text = f"{words:,} {named}, {len(corpus.train):,} tokens to train on, {unknown:,} of them {UNK}"
    row = (len(corpus.train) - 1) // dataset.batch_size
    if row < dataset.bptt:
        text += (
            f"\nWindows of `bptt={dataset.bptt}` tokens are longer than the text's {dataset.batch_size} rows of {row}, "
            "so an epoch is one step. A smaller --bptt or --batch-size makes more."
        )
    if 2 * once > words:
        text += (
            f"\n{once:,} of the {named} occur only once, and a model learns next to nothing about them. With "
            "`min_count=2`, on the command line --min-count 2, they become <unk>. If the text has no spaces between "
            "its words, as in Chinese, add spaces, or read it character by character: --unit character."
        )
    return text


def _score(run, settings, corpus, lines, skipped_steps):
    preset, bptt = PRESETS[settings.preset], settings.bptt
    best = run.model()
    valid = evaluation.perplexity(best, corpus.valid, preset.valid_batch_size, bptt)
    test = evaluation.perplexity(best, corpus.test, preset.test_batch_size, bptt)
    triggered = [line["epoch"] for line in lines if line["averaging"]]
    result = {
        "backend": keras.backend.backend(),
        "preset": settings.preset,
        "optimizer": optimizer_name(settings.optimizer),
        "epochs": len(lines),
        "valid_perplexity": valid.perplexity,
        "test_perplexity": test.perplexity,
        "triggered_epoch": triggered[0] if triggered else None,
        "skipped_steps": skipped_steps,
        "unknown_tokens": corpus.unknown_tokens,
        "tokens_per_second": statistics.median(line["tokens_per_second"] for line in lines),
        "versions": versions(),
    }
    if settings.started_from:
        result["started_from"] = settings.started_from
    if corpus.vocabulary.cut_by.of_characters:
        result["valid_bits_per_character"] = valid.bits_per_token
        result["test_bits_per_character"] = test.bits_per_token
    start = settings.finetuned_from
    if start:
        stopped = stopped_epoch(lines, optimizer_of(run, settings).non_monotone_interval)
        result |= {"triggered_epoch": 0, "finetuned_from": start, "stopped_epoch": stopped}
    return run.write_result(result)


def stopped_epoch(lines: list[dict], non_monotone_interval: int) -> int | None:
    """The epoch of a fine-tuned run after which `awd_keras.callbacks.NonMonotonicTrigger` has stopped it, or `None`.

    It is computed from the metrics, as a run may have been interrupted between its last checkpoint and its result.

    Args:
        lines: the run's metrics, one dictionary for each epoch.
        non_monotone_interval: that of the run's `NTASGD`.
    """
    measures: list[float] = []
    for line in lines:
        # A number that wasn't finite is None in JSON.
        measures.append(math.inf if line["valid_perplexity"] is None else line["valid_perplexity"])
        if is_worse(measures, non_monotone_interval):
            return line["epoch"]
    return None
