"""`awd-keras analyse`."""

from awd_keras.cli.unknown_words import tell_unknown


def add(commands, common):
    """Declares the command."""
    analyse = commands.add_parser(
        "analyse",
        parents=[common],
        help="pictures of what the LSTMs of a run's model do with a text",
        description="For each LSTM of the model writes LAYER_gates.png (the forget, input and output gate at each "
        "word), LAYER_memory.png (how strongly each word is held in memory after each other) and LAYER.json (the "
        "figures).",
    )
    analyse.set_defaults(command=main, trains=False)
    analyse.add_argument("run", metavar="RUN", help="directory of the run")
    analyse.add_argument("--text", required=True, metavar="TEXT", help="the words to read, whitespace between them")
    analyse.add_argument("--output", required=True, metavar="DIR", help="where to write; made if it isn't there")


def main(options):
    """Prints the paths of the files, and on the standard error stream the words that the vocabulary lacks."""
    from awd_keras import analysis, runs
    from awd_keras.data.words import split_words

    run = runs.Run.open(options.run)
    found = analysis.analyse(run.model(), run.vocabulary(), options.text)
    tell_unknown(split_words(options.text), run.vocabulary())
    for path in analysis.write_analysis(found, options.output):
        print(path)
    return 0
