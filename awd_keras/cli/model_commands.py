"""What looks at a model: `awd-keras analyse` and `verify`."""

import os

from awd_keras.cli.options import tell_unknown


def add_analyse(commands, common):
    """Declares the command."""
    analyse = commands.add_parser(
        "analyse",
        parents=[common],
        help="pictures of what the LSTMs of a run's model do with a text",
        description="For each LSTM of the model writes LAYER_gates.png (the forget, input and output gate at each "
        "word), LAYER_memory.png (how strongly each word is held in memory after each other) and LAYER.json (the "
        "figures).",
    )
    analyse.set_defaults(command=run_analyse, trains=False)
    analyse.add_argument("run", metavar="RUN", help="directory of the run")
    analyse.add_argument("--text", required=True, metavar="TEXT", help="the words to read, whitespace between them")
    analyse.add_argument("--output", required=True, metavar="DIR", help="where to write; made if it isn't there")


def run_analyse(options):
    """Prints the paths of the files, and on the standard error stream the words that the vocabulary lacks."""
    from awd_keras import analysis, runs
    from awd_keras.data.vocabulary import split_words

    run = runs.Run.open(options.run)
    found = analysis.analyse(run.model(), run.vocabulary(), options.text)
    tell_unknown(split_words(options.text), run.vocabulary())
    for path in analysis.write_analysis(found, options.output):
        print(path)
    return 0


def add_verify(commands, common):
    """Declares the command."""
    verify = commands.add_parser("verify", parents=[common], help="show that the regularization is really on")
    verify.set_defaults(command=run_verify, trains=True)


def run_verify(options):
    """Prints the checks; the exit status is 1 where one failed."""
    from awd_keras import verification

    checks = verification.verify()
    width = max(len(check.name) for check in checks)
    for check in checks:
        state = "ok    " if check.passed else "FAILED"
        print(f"{state}  {check.name:{width}}  {check.figure}  ({check.detail})")
    failed = sum(not check.passed for check in checks)
    print(f"{len(checks) - failed} of {len(checks)} checks passed on {os.environ['KERAS_BACKEND']}")
    return 1 if failed else 0
