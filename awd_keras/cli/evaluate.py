"""`awd-keras evaluate`."""

import sys

from awd_keras.cli.adaptive import add_adaptive, check_adaptive, report_adaptive
from awd_keras.cli.score_line import score_line
from awd_keras.cli.text import add_data, read_splits


def add(commands, common):
    """Declares the command."""
    evaluate = commands.add_parser(
        "evaluate",
        parents=[common],
        help="perplexity of a run's model on a text",
        description="Scores the model of a run on valid.txt and test.txt, those that are there, or on FILE. It also "
        "tells how many of the tokens are <unk>, which is what the model reads where it doesn't know a word: with many "
        "of them a perplexity is low and says nothing.",
    )
    evaluate.set_defaults(command=main, trains=False)
    evaluate.add_argument("run", metavar="RUN", help="directory of the run")
    text = evaluate.add_mutually_exclusive_group()
    text.add_argument("--text", metavar="FILE", help="a text of which to have the perplexity, instead of those two")
    add_data(text, "the text that the run is trained on")
    add_adaptive(evaluate)
    evaluate.add_argument(
        "--worst", type=int, metavar="N", help="list the N words that cost most in the first of the texts too"
    )


def main(options):
    """Prints perplexities."""
    from awd_keras import evaluation, models, runs
    from awd_keras.checks import check_positive_integer
    from awd_keras.data import encode_file

    if options.worst is not None:
        check_positive_integer("worst", options.worst)
    check_adaptive(options)
    run = runs.Run.open(options.run)
    preset = models.PRESETS[run.setting("preset")]
    vocabulary = run.vocabulary()
    wanted = [*["train"] * options.trains, *["valid"] * options.tune]
    if options.text is None:
        splits = read_splits(run, options.data, wanted)
        texts = {name: splits[name] for name in ("valid", "test") if name in splits}
    else:
        texts = {"text": encode_file(options.text, vocabulary)}
        # What else there is to read is the run's own.
        splits = read_splits(run, None, wanted) if wanted else {}
    model = run.model()
    bptt = run.setting("bptt")
    rows = {name: preset.valid_batch_size if name == "valid" else preset.test_batch_size for name in texts}
    # Behind all that may be bad input, of which one line is to tell.
    if not run.path("result.json").is_file():
        print(f"awd-keras: the run in {run.directory} isn't finished; this is its best model so far", file=sys.stderr)
    for name, tokens in texts.items():
        score = evaluation.perplexity(model, tokens, batch_size=rows[name], bptt=bptt, vocabulary=vocabulary)
        print(score_line(name, score, rows[name]))
    report_adaptive(options, model, texts, splits, run)
    if options.worst is not None:
        name = next(iter(texts))
        table = evaluation.surprisal(model, vocabulary, texts[name], batch_size=rows[name], bptt=bptt)
        print("\n  total bits  occurrences  mean bits  word")
        for cost in table.worst(options.worst):
            print(f"{cost.total_bits:12.1f}  {cost.occurrences:11}  {cost.mean_bits:9.2f}  {cost.word}")
    return 0
