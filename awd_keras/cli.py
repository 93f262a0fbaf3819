"""The command line: `awd-keras` and `python -m awd_keras`.

It parses, calls the public API and prints. `KERAS_BACKEND` has to be set before Keras is imported,
so nothing here imports Keras, or a namespace that does, before a command's own function.
"""

import argparse
import os
import sys

from awd_keras import __version__
from awd_keras.choose_backend import BACKENDS, choose_backend

# Option, type, metavar, help; each overrides the preset's argument of that name.
_MODEL_OPTIONS = (
    ("embedding-dim", int, "N", "size of a word's vector, and of the last layer"),
    ("hidden-units", int, "N", "units of the other layers"),
    ("num-layers", int, "N", "number of LSTM layers"),
    ("input-dropout", float, "P", "locked dropout after the embedding"),
    ("hidden-dropout", float, "P", "locked dropout between the layers"),
    ("output-dropout", float, "P", "locked dropout after the last layer"),
    ("embedding-dropout", float, "P", "rate at which words are dropped from the embedding"),
    ("weight-drop", float, "P", "rate at which recurrent weights are dropped"),
    ("alpha", float, "X", "factor of the activation regularization (AR)"),
    ("beta", float, "X", "factor of the temporal activation regularization (TAR)"),
)
_OPTIMIZER_OPTIONS = (
    ("learning-rate", float, "X", "learning rate of a window of the mean length"),
    ("weight-decay", float, "X", "weight decay"),
    ("clip", float, "X", "largest global norm of the gradients"),
    ("non-monotone-interval", int, "N", "epochs without improvement before averaging begins"),
)
# What may be said of a run that is resumed.
_OF_RESUME = ("command", "backend", "resume", "data", "epochs", "skip_nonfinite")


def main(arguments: list[str] | None = None) -> int:
    """Runs a command of `awd-keras`.

    Args:
        arguments: what follows the program's name. Defaults to `sys.argv[1:]`.

    Returns:
        The exit status: 0, or 1 where `verify` finds a fault, or 2 after bad input or a training
        that diverges, of which one line on the standard error stream tells. After SIGINT it is
        130, after SIGTERM 143.
    """
    options = _parser().parse_args(arguments)
    try:
        choose_backend(options.backend)
        return options.command(options)
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        print(f"awd-keras: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("awd-keras: stopped by SIGINT", file=sys.stderr)
        return 130


def _train(options):
    from awd_keras import runs

    resumed = options.resume is not None
    directory = options.resume if resumed else options.output
    try:
        result = _resume(options) if resumed else _start(options)
    except runs.Interrupted as stop:
        print()  # Keras's progress bar has left its line open.
        checkpoints = runs.Checkpoints(directory).paths()
        kept = f"kept {checkpoints[0]}; " if checkpoints else ""
        print(f"awd-keras: {stop}; {kept}to go on: awd-keras train --resume {directory}", file=sys.stderr)
        return 128 + stop.number
    except FloatingPointError:
        print()
        raise
    epoch = result["triggered_epoch"]
    print(f"backend           {result['backend']}")
    print(f"averaging since   {'-' if epoch is None else f'the end of epoch {epoch}'}")
    print(f"skipped steps     {result['skipped_steps']}")
    print(f"tokens a second   {result['tokens_per_second']:.0f}")
    print(f"valid perplexity  {_figure(result['valid_perplexity'])}")
    print(f"test perplexity   {_figure(result['test_perplexity'])}")
    print(f"run directory     {directory}")
    return 0


def _start(options):
    from awd_keras import runs

    model = _given(options, _MODEL_OPTIONS)
    optimizer = _given(options, _OPTIMIZER_OPTIONS)
    if "clip" in optimizer:
        optimizer["global_clipnorm"] = optimizer.pop("clip")
    return runs.train(
        options.output,
        _corpus(options.data, options.min_count),
        "tiny" if options.preset is None else options.preset,
        model=model,
        optimizer=optimizer,
        epochs=options.epochs,
        batch_size=options.batch_size,
        bptt=options.bptt,
        length_multiple=options.length_multiple,
        seed=options.seed or 0,
        skip_nonfinite=options.skip_nonfinite,
        overwrite=options.overwrite,
    )


def _resume(options):
    from awd_keras import runs

    given = [name for name, value in vars(options).items() if value is not None and value is not False]
    own = [name for name in given if name not in _OF_RESUME]
    if own:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in own)
        raise ValueError(f"A run that is resumed keeps its own settings. Leave out: {names}")
    corpus = None
    if options.data is not None:
        source = runs.Run.open(options.resume).setting("text") or {}
        corpus = _corpus(options.data, source.get("min_count"))
    return runs.resume(options.resume, corpus, epochs=options.epochs, skip_nonfinite=options.skip_nonfinite)


def _evaluate(options):
    from awd_keras import evaluation, models, runs

    run = runs.Run.open(options.run)
    preset = models.PRESETS[run.setting("preset")]
    corpus = _corpus_in(run.vocabulary(), options.data)
    model = run.model()
    bptt = run.setting("bptt")
    for name, tokens, batch_size in (
        ("valid", corpus.valid, preset.valid_batch_size),
        ("test", corpus.test, preset.test_batch_size),
    ):
        score = evaluation.perplexity(model, tokens, batch_size=batch_size, bptt=bptt)
        print(
            f"{name:5} perplexity {score.perplexity:.2f}  loss {score.loss:.4f}  "
            f"bits/token {score.bits_per_token:.4f}  tokens {score.tokens}  "
            f"batch size {batch_size}  seconds {score.seconds:.1f}"
        )
    return 0


def _generate(options):
    from awd_keras import generation, runs

    run = runs.Run.open(options.run)
    text = generation.generate(
        run.model(),
        run.vocabulary(),
        options.prompt,
        max_words=options.words,
        temperature=options.temperature,
        seed=options.seed,
    )
    print(text)
    return 0


def _verify(options):
    from awd_keras import verification

    checks = verification.verify()
    width = max(len(check.name) for check in checks)
    for check in checks:
        state = "ok    " if check.passed else "FAILED"
        print(f"{state}  {check.name:{width}}  {check.figure}  ({check.detail})")
    failed = sum(not check.passed for check in checks)
    print(f"{len(checks) - failed} of {len(checks)} checks passed on {os.environ['KERAS_BACKEND']}")
    return 1 if failed else 0


def _corpus(directory, min_count):
    from awd_keras.data import Corpus

    counts = {} if min_count is None else {"min_count": min_count}
    if directory is None:
        return Corpus.python_docs(**counts)
    return Corpus.from_directory(directory, **counts)


def _corpus_in(vocabulary, directory):
    from awd_keras.data import Corpus

    if directory is not None:
        return Corpus.from_directory(directory, vocabulary=vocabulary)
    corpus = Corpus.python_docs(min_count=1)
    train, valid, test = (
        vocabulary.encode(corpus.vocabulary.decode(split)) for split in (corpus.train, corpus.valid, corpus.test)
    )
    return Corpus(train, valid, test, vocabulary)


def _given(options, table):
    names = [option.replace("-", "_") for option, *_ in table]
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def _figure(value):
    return "not finite: the training diverged" if value is None else f"{value:.2f}"


class _Parser(argparse.ArgumentParser):
    """Tells of bad input in one line."""

    def error(self, message):
        self.exit(2, f"awd-keras: error: {message}\n")


def _parser():
    parser = _Parser(
        prog="awd-keras",
        description="AWD-LSTM language models on PyTorch, JAX and TensorFlow.",
    )
    parser.add_argument("--version", action="version", version=f"awd-keras {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    common = _Parser(add_help=False)
    common.add_argument(
        "--backend",
        metavar="NAME",
        help=f"{', '.join(BACKENDS)}; without it, KERAS_BACKEND or the first that is installed",
    )

    train = commands.add_parser("train", parents=[common], help="train a model")
    train.set_defaults(command=_train)
    _add_data(train)
    directory = train.add_mutually_exclusive_group(required=True)
    directory.add_argument("--output", metavar="RUN", help="directory of a new run")
    directory.add_argument(
        "--resume",
        metavar="RUN",
        help="directory of an interrupted run, which goes on with its own settings; --epochs can give it more epochs, "
        "--data the place that its text has been moved to",
    )
    train.add_argument("--overwrite", action="store_true", help="replace the run in RUN")
    train.add_argument("--preset", metavar="NAME", help="tiny, ptb or wikitext-2 (default: tiny)")
    train.add_argument(
        "--min-count",
        type=int,
        metavar="N",
        help="words that are seen less often become <unk> (default: 1; 3 without --data)",
    )
    train.add_argument("--seed", type=int, metavar="N", help="(default: 0)")
    train.add_argument(
        "--length-multiple",
        type=int,
        metavar="N",
        help="windows are multiples of this many tokens, so that fewer programs are compiled "
        "(default: about 10 on jax, else 1)",
    )
    train.add_argument(
        "--skip-nonfinite",
        action="store_true",
        help="leave a step out whose loss or gradients aren't finite, instead of ending the run",
    )
    own = train.add_argument_group("in place of the preset's own")
    own.add_argument("--epochs", type=int, metavar="N")
    own.add_argument("--batch-size", type=int, metavar="N", help="rows of the training tokens")
    own.add_argument("--bptt", type=int, metavar="N", help="mean window, in tokens")
    for option, kind, metavar, text in (*_MODEL_OPTIONS, *_OPTIMIZER_OPTIONS):
        own.add_argument(f"--{option}", type=kind, metavar=metavar, help=text)

    evaluate = commands.add_parser(
        "evaluate", parents=[common], help="perplexity of a run's model on valid.txt and test.txt"
    )
    evaluate.set_defaults(command=_evaluate)
    evaluate.add_argument("run", metavar="RUN", help="directory of the run")
    _add_data(evaluate)

    generate = commands.add_parser("generate", parents=[common], help="text from a run's model")
    generate.set_defaults(command=_generate)
    generate.add_argument("run", metavar="RUN", help="directory of the run")
    generate.add_argument("--prompt", default="", help="the words to go on from")
    generate.add_argument("--words", type=int, default=50, metavar="N", help="(default: 50)")
    generate.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        metavar="X",
        help="below 1 keeps to likely words; 0 takes the likeliest (default: 1)",
    )
    generate.add_argument("--seed", type=int, metavar="N", help="the same seed, the same text")

    verify = commands.add_parser("verify", parents=[common], help="show that the regularization is really on")
    verify.set_defaults(command=_verify)
    return parser


def _add_data(parser):
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="directory with train.txt, valid.txt and test.txt; without it, the language reference that Python carries",
    )
