"""`awd-keras evaluate`."""

import sys

from awd_keras.cli.adaptive import add_adaptive, check_adaptive, report_adaptive
from awd_keras.cli.score_line import score_line
from awd_keras.cli.text import add_data, read_corpus_of


def add(commands, common):
    """Declares the command."""
    evaluate = commands.add_parser(
        "evaluate", parents=[common], help="perplexity of a run's model on valid.txt and test.txt"
    )
    evaluate.set_defaults(command=main, trains=False)
    evaluate.add_argument("run", metavar="RUN", help="directory of the run")
    add_data(evaluate, "the text that the run is trained on")
    add_adaptive(evaluate)
    evaluate.add_argument("--worst", type=int, metavar="N", help="list the N words that cost most in valid.txt too")


def main(options):
    """Prints perplexities."""
    from awd_keras import evaluation, models, runs
    from awd_keras.checks import check_positive_integer

    if options.worst is not None:
        check_positive_integer("worst", options.worst)
    check_adaptive(options)
    run = runs.Run.open(options.run)
    preset = models.PRESETS[run.setting("preset")]
    corpus = read_corpus_of(run, options.data)
    model = run.model()
    bptt = run.setting("bptt")
    # Behind all that may be bad input, of which one line is to tell.
    if not run.path("result.json").is_file():
        print(f"awd-keras: the run in {run.directory} isn't finished; this is its best model so far", file=sys.stderr)
    for name, tokens, batch_size in (
        ("valid", corpus.valid, preset.valid_batch_size),
        ("test", corpus.test, preset.test_batch_size),
    ):
        score = evaluation.perplexity(model, tokens, batch_size=batch_size, bptt=bptt)
        print(score_line(name, score, batch_size))
    report_adaptive(options, model, corpus, run)
    if options.worst is not None:
        table = evaluation.surprisal(
            model, corpus.vocabulary, corpus.valid, batch_size=preset.valid_batch_size, bptt=bptt
        )
        print("\n  total bits  occurrences  mean bits  word")
        for cost in table.worst(options.worst):
            print(f"{cost.total_bits:12.1f}  {cost.occurrences:11}  {cost.mean_bits:9.2f}  {cost.word}")
    return 0
