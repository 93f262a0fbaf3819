"""`awd-keras train`."""

from awd_keras.cli.devices import add_devices
from awd_keras.cli.report import report, verbosity
from awd_keras.cli.text import add_data, read_corpus, read_corpus_again

# Option, type, metavar, help; each overrides the preset's argument of that name.
_MODEL_OPTIONS = (
    ("embedding-dim", int, "N", "size of a word's vector, and of the last layer"),
    ("hidden-units", int, "N", "units of the other layers"),
    ("num-layers", int, "N", "number of LSTM layers"),
    ("cell", str, "NAME", "lstm (the default), or it without a part: --cell=-srnn, -srnn-out, -srnn-hidden or -gates"),
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
    (
        "non-monotone-interval",
        int,
        "N",
        "averaging begins when validation is worse than the best of all earlier epochs but the last N",
    ),
)
# What may be said of a run that is resumed.
_OF_RESUME = ("command", "trains", "backend", "resume", "data", "epochs", "skip_nonfinite", "devices")


def add(commands, common):
    """Declares the command."""
    train = commands.add_parser("train", parents=[common], help="train a model")
    train.set_defaults(command=main, trains=True)
    add_data(train)
    directory = train.add_mutually_exclusive_group(required=True)
    directory.add_argument("--output", metavar="RUN", help="directory of a new run")
    directory.add_argument(
        "--resume",
        metavar="RUN",
        help="directory of an interrupted run, which goes on with its own settings; --epochs can give it more epochs, "
        "--data the place that its text has been moved to",
    )
    train.add_argument("--overwrite", action="store_true", help="replace the run in RUN")
    train.add_argument(
        "--cache",
        metavar="DIR",
        help="directory for files of the text's word ids, which are made once and used again; for a text larger than "
        "memory",
    )
    train.add_argument("--preset", metavar="NAME", help="tiny, ptb-small, ptb or wikitext-2 (default: tiny)")
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
    add_devices(train, "1")
    own = train.add_argument_group("in place of the preset's own")
    own.add_argument("--epochs", type=int, metavar="N")
    own.add_argument("--batch-size", type=int, metavar="N", help="rows of the training tokens")
    own.add_argument("--bptt", type=int, metavar="N", help="mean window, in tokens")
    for option, kind, metavar, text in (*_MODEL_OPTIONS, *_OPTIMIZER_OPTIONS):
        own.add_argument(f"--{option}", type=kind, metavar=metavar, help=text)


def main(options):
    """Trains, and prints what came of it."""
    if options.resume is not None:
        return report(options.resume, lambda: _resume(options))
    return report(options.output, lambda: _start(options))


def _start(options):
    from awd_keras import runs

    if options.cache is not None and options.data is None:
        raise ValueError("--cache needs --data: Python's documentation is read each time.")
    model = _given(options, _MODEL_OPTIONS)
    optimizer = _given(options, _OPTIMIZER_OPTIONS)
    if "clip" in optimizer:
        optimizer["global_clipnorm"] = optimizer.pop("clip")
    return runs.train(
        options.output,
        read_corpus(options.data, options.min_count, options.cache),
        "tiny" if options.preset is None else options.preset,
        model=model,
        optimizer=optimizer,
        epochs=options.epochs,
        batch_size=options.batch_size,
        bptt=options.bptt,
        length_multiple=options.length_multiple,
        seed=options.seed or 0,
        skip_nonfinite=options.skip_nonfinite,
        devices=1 if options.devices is None else options.devices,
        overwrite=options.overwrite,
        verbose=verbosity(),
    )


def _resume(options):
    from awd_keras import runs

    given = [name for name, value in vars(options).items() if value is not None and value is not False]
    own = [name for name in given if name not in _OF_RESUME]
    if own:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in own)
        raise ValueError(f"A run that is resumed keeps its own settings. Leave out: {names}")
    corpus = read_corpus_again(options.data, options.resume)
    before = runs.Run(options.resume).result
    result = runs.resume(
        options.resume,
        corpus,
        epochs=options.epochs,
        skip_nonfinite=options.skip_nonfinite,
        devices=options.devices,
        verbose=verbosity(),
    )
    if result == before:
        more = "" if result.get("stopped_epoch") else "; --epochs gives it more"
        print(f"The run is finished after epoch {result['epochs']}, so there is nothing to do{more}")
    return result


def _given(options, table):
    names = [option.replace("-", "_") for option, *_ in table]
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}
