"""`awd-keras train` and `awd-keras finetune`."""

import pathlib
import sys

from awd_keras.cli.options import (
    a_path,
    add_data,
    add_devices,
    add_run,
    explained,
    open_run,
    read_corpus,
    read_corpus_again,
    table_of_presets,
)
from awd_keras.cli.training_report import report


def verbosity():
    """Keras's `verbose`: a progress bar in a terminal; elsewhere, in a log for example, one line for each epoch."""
    return 1 if sys.stdout.isatty() else 2


# Option, type, metavar, help. Each option overrides the preset's value of that name.
_MODEL_OPTIONS = (
    ("embedding-dim", int, "N", "size of a word's vector, and of the last layer"),
    ("hidden-units", int, "N", "units of each layer except the last"),
    ("num-layers", int, "N", "number of recurrent layers"),
    (
        "cell",
        str,
        "NAME",
        "lstm (the default), gru, qrnn, mogrifier, or the LSTM without a part: --cell=-srnn, -srnn-out, -srnn-hidden "
        "or -gates",
    ),
    ("softmax", str, "NAME", "full (the default), or adaptive, for a large vocabulary"),
    ("input-dropout", float, "P", "locked dropout after the embedding"),
    ("hidden-dropout", float, "P", "locked dropout between the layers"),
    ("output-dropout", float, "P", "locked dropout after the last layer"),
    ("embedding-dropout", float, "P", "rate at which words are dropped from the embedding"),
    ("weight-drop", float, "P", "rate at which recurrent weights are dropped"),
    ("alpha", float, "X", "factor of the activation regularization (AR)"),
    ("beta", float, "X", "factor of the temporal activation regularization (TAR)"),
    ("dtype", str, "NAME", "float32 (the default), or mixed_bfloat16, faster where the processor has it"),
)
_OPTIMIZER_OPTIONS = (
    (
        "optimizer",
        str,
        "NAME",
        "ntasgd, sgd or adam; each adds weight decay to the gradient, only ntasgd averages weights",
    ),
    ("learning-rate", float, "X", "learning rate for a window of --bptt tokens; it is scaled by the window's length"),
    ("weight-decay", float, "X", "factor of the weights in the gradient"),
    ("clip", float, "X", "largest norm of all gradients together"),
    (
        "non-monotone-interval",
        int,
        "N",
        "averaging begins when validation is worse than the best epoch before the last N",
    ),
)
# Options that may be given beside `--resume`.
_OF_RESUME = ("command", "trains", "backend", "resume", "data", "epochs", "skip_nonfinite", "devices")


def add_train(commands, common):
    """Declares the command."""
    train = commands.add_parser(
        "train",
        parents=[common],
        help="train a language model",
        **explained(
            "Trains a language model on the text in --data, and writes the model and all figures to the directory RUN.",
            "train --output runs/first",
            "train --from runs/first --data DIR --output runs/second",
            more=table_of_presets(),
        ),
    )
    train.set_defaults(command=run_train, trains=True)
    add_data(train)
    directory = train.add_mutually_exclusive_group(required=True)
    directory.add_argument("--output", type=a_path, metavar="RUN", help="directory of a new run")
    directory.add_argument(
        "--resume",
        type=a_path,
        metavar="RUN",
        help="directory of an interrupted run, to continue it with its settings; --epochs can give it more epochs, and "
        "--data the new place of its text",
    )
    train.add_argument("--overwrite", action="store_true", help="replace the run in RUN")
    train.add_argument(
        "--from",
        type=a_path,
        metavar="RUN",
        help="start with the model of another run, usually on another text; words that are new to the model begin with "
        "the mean of its words",
    )
    train.add_argument(
        "--text-cache",
        type=a_path,
        metavar="DIR",
        help="directory for the text's word ids, which later runs read again, for texts larger than memory",
    )
    train.add_argument("--preset", metavar="NAME", help="one of those below (default: tiny, or that of --from)")
    train.add_argument(
        "--min-count",
        type=int,
        metavar="N",
        help="words that occur less often become <unk> (default: 1; 3 without --data)",
    )
    train.add_argument(
        "--unit", metavar="NAME", help="what the text is cut into: word, character or byte (default: the preset's)"
    )
    train.add_argument("--seed", type=int, metavar="N", help="of weights, masks and window lengths (default: 0)")
    train.add_argument(
        "--length-multiple",
        type=int,
        metavar="N",
        help="windows are multiples of N tokens, so that fewer programs are compiled (default: on jax, the number that "
        "leaves at most five lengths, which is 7 for windows of 70; otherwise 1)",
    )
    train.add_argument(
        "--backwards",
        action="store_true",
        help="read the text from its end, so that the model predicts the previous word",
    )
    train.add_argument(
        "--skip-nonfinite",
        action="store_true",
        help="leave out steps whose loss or gradients aren't finite, instead of ending the run",
    )
    add_devices(train, "1")
    own = train.add_argument_group("instead of the preset's values")
    own.add_argument("--epochs", type=int, metavar="N", help="passes over the text")
    own.add_argument("--batch-size", type=int, metavar="N", help="number of rows that the training text is cut into")
    own.add_argument(
        "--bptt", type=int, metavar="N", help="mean length of a window, in tokens (backpropagation through time)"
    )
    for option, kind, metavar, text in (*_MODEL_OPTIONS, *_OPTIMIZER_OPTIONS):
        own.add_argument(f"--{option}", type=kind, metavar=metavar, help=text)
    own.add_argument(
        "--learning-rate-drops",
        type=int,
        nargs="*",
        metavar="N",
        help="epochs after which the learning rate is divided by 10",
    )
    own.add_argument(
        "--no-tie-weights", action="store_true", help="give the logits their own weights instead of the embedding's"
    )


def run_train(options):
    """Trains, and prints the result."""
    if options.resume is not None:
        return report(options.resume, lambda: _resume(options))
    return report(options.output, lambda: _start(options))


def _start(options):
    from awd_keras import runs
    from awd_keras.checks import check_choice
    from awd_keras.models import PRESETS

    if options.text_cache is not None and options.data is None:
        raise ValueError("Option --text-cache needs --data: without it, Python's documentation is read, uncached.")
    if options.preset is not None:
        check_choice("preset", options.preset, PRESETS)
    check_choice("dtype", options.dtype or "float32", ("float32", "mixed_bfloat16"))
    model = _given(options, _MODEL_OPTIONS)
    if options.no_tie_weights:
        model["tie_weights"] = False
    optimizer = _given(options, _OPTIMIZER_OPTIONS)
    for option, argument in (("clip", "global_clipnorm"), ("optimizer", "name")):
        if option in optimizer:
            optimizer[argument] = optimizer.pop(option)
    start_from = getattr(options, "from")
    old = None if start_from is None else open_run(start_from, "Option --from")
    if options.unit is not None:
        unit = options.unit
    elif options.preset is None and old is not None:
        unit = old.vocabulary().unit
    else:
        unit = PRESETS[options.preset or "tiny"].unit
    if old is not None and old.vocabulary().unit != unit:
        raise ValueError(
            f"Option --from must be a run whose text is cut by {unit}, as that of --output is. "
            f"Received: {start_from!r}, whose text is cut by {old.vocabulary().unit}"
        )
    corpus = read_corpus(options.data, unit, options.min_count, options.text_cache)
    result = runs.train(
        options.output,
        corpus,
        options.preset,
        start_from=start_from,
        model=model,
        optimizer=optimizer,
        learning_rate_drops=options.learning_rate_drops,
        epochs=options.epochs,
        batch_size=options.batch_size,
        bptt=options.bptt,
        backwards=options.backwards,
        length_multiple=options.length_multiple,
        seed=options.seed or 0,
        skip_nonfinite=options.skip_nonfinite,
        devices=1 if options.devices is None else options.devices,
        overwrite=options.overwrite,
        verbose=verbosity(),
    )
    return result, corpus


def _resume(options):
    from awd_keras import runs

    given = [name for name, value in vars(options).items() if value is not None and value is not False]
    own = [name for name in given if name not in _OF_RESUME]
    if own:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in own)
        raise ValueError(f"Option --resume keeps the settings of the run. Leave out: {names}")
    run = open_run(options.resume, "Option --resume")
    corpus = runs.corpus_of(run, read_corpus_again(options.data, run))
    before = run.result
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
    return result, corpus


def _given(options, table):
    names = [option.replace("-", "_") for option, *_ in table]
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def add_finetune(commands, common):
    """Declares the command."""
    finetune = commands.add_parser(
        "finetune",
        parents=[common],
        help="train the model of a finished run further, averaging from the first step",
        **explained(
            "Trains the model of a finished run further, averaging from the first step, until validation stops "
            "improving; then scores it.",
            "finetune runs/ptb",
            "finetune runs/ptb --epochs 50 --output runs/finer",
        ),
    )
    finetune.set_defaults(command=run_finetune, trains=True)
    add_run(finetune, "the finished run")
    add_data(finetune, "where the run had its text from")
    finetune.add_argument(
        "--output",
        type=a_path,
        metavar="DIR",
        help="directory of the new run, which train --resume can continue (default: RUN-finetuned)",
    )
    finetune.add_argument("--overwrite", action="store_true", help="replace the run in --output")
    add_devices(finetune, "the run's")
    finetune.add_argument("--epochs", type=int, metavar="N", help="the most epochs (default: the preset's)")


def run_finetune(options):
    """Trains, and prints the result."""
    from awd_keras import runs

    run = open_run(options.run)
    output = _beside(options.run) if options.output is None else options.output
    return report(
        output,
        lambda: (
            runs.finetune(
                options.run,
                output,
                epochs=options.epochs,
                corpus=read_corpus_again(options.data, run),
                devices=options.devices,
                overwrite=options.overwrite,
                verbose=verbosity(),
            ),
            None,
        ),
    )


def _beside(run):
    directory = pathlib.Path(run)
    if directory.name in ("", ".."):
        directory = directory.resolve()
    return directory.with_name(f"{directory.name}-finetuned")
