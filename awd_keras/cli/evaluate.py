"""`awd-keras evaluate`."""

from awd_keras.cli.text import add_data, read_corpus_in


def add(commands, common):
    """Declares the command."""
    evaluate = commands.add_parser(
        "evaluate", parents=[common], help="perplexity of a run's model on valid.txt and test.txt"
    )
    evaluate.set_defaults(command=main)
    evaluate.add_argument("run", metavar="RUN", help="directory of the run")
    add_data(evaluate)


def main(options):
    """Prints perplexities."""
    from awd_keras import evaluation, models, runs

    run = runs.Run.open(options.run)
    preset = models.PRESETS[run.setting("preset")]
    corpus = read_corpus_in(run.vocabulary(), options.data)
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
