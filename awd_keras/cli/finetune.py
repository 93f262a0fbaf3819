"""`awd-keras finetune`."""

import pathlib

from awd_keras.cli.devices import add_devices
from awd_keras.cli.report import report, verbosity
from awd_keras.cli.text import add_data, read_corpus_again


def add(commands, common):
    """Declares the command."""
    finetune = commands.add_parser(
        "finetune",
        parents=[common],
        help="train a finished run's model on, averaging from the first step, until validation stops improving",
    )
    finetune.set_defaults(command=main, trains=True)
    finetune.add_argument("run", metavar="RUN", help="directory of the finished run")
    add_data(finetune, "where the run had its text from")
    finetune.add_argument(
        "--output",
        metavar="DIR",
        help="directory of the new run, with which train --resume goes on (default: RUN-finetuned)",
    )
    finetune.add_argument("--overwrite", action="store_true", help="replace the run in --output")
    add_devices(finetune, "the run's")
    finetune.add_argument("--epochs", type=int, metavar="N", help="the most epochs (default: the preset's)")


def main(options):
    """Trains, and prints what came of it."""
    from awd_keras import runs

    output = _beside(options.run) if options.output is None else options.output
    return report(
        output,
        lambda: runs.finetune(
            options.run,
            output,
            epochs=options.epochs,
            corpus=read_corpus_again(options.data, options.run),
            devices=options.devices,
            overwrite=options.overwrite,
            verbose=verbosity(),
        ),
    )


def _beside(run):
    directory = pathlib.Path(run)
    if directory.name in ("", ".."):
        directory = directory.resolve()
    return directory.with_name(f"{directory.name}-finetuned")
