"""`awd-keras evaluate`, also with a continuous cache or dynamic evaluation, which adapt to the text just read."""

import functools
import inspect
import sys

from awd_keras.cli.errors import reading
from awd_keras.cli.options import a_path, add_data, add_run, explained, open_run, read_splits


def score_line(name, score, vocabulary, batch_size):
    """The line that is printed for a `Score`."""
    token = "character" if vocabulary.cut_by.of_characters else "token"
    return (
        f"{name:5} perplexity {score.perplexity:.2f}  loss {score.loss:.4f}  "
        f"bits/{token} {score.bits_per_token:.4f}  tokens {score.tokens}  "
        f"<unk> {score.unknown_tokens} ({score.unknown_tokens / score.tokens:.1%})  "
        f"batch size {batch_size}  seconds {score.seconds:.1f}"
    )


def add_evaluate(commands, common):
    """Declares the command."""
    evaluate = commands.add_parser(
        "evaluate",
        parents=[common],
        help="perplexity of a run's model on a text",
        **explained(
            "Scores the model of a run on valid.txt and test.txt, or on FILE. Also prints how many of the tokens are "
            "<unk>, which the model reads in place of a word that it doesn't know: with many of them, a perplexity is "
            "low and says nothing.",
            "evaluate runs/first",
            "evaluate runs/first --text FILE --cache",
        ),
    )
    evaluate.set_defaults(command=run_evaluate, trains=False)
    add_run(evaluate)
    text = evaluate.add_mutually_exclusive_group()
    text.add_argument("--text", type=a_path, metavar="FILE", help="score this text instead of valid.txt and test.txt")
    add_data(text, "the text that the run is trained on")
    add_adaptive(evaluate)
    evaluate.add_argument(
        "--worst", type=int, metavar="N", help="also list the N words of the first text with the largest loss"
    )


def run_evaluate(options):
    """Prints perplexities."""
    from awd_keras import evaluation, models
    from awd_keras.checks import check_positive_integer, check_rows
    from awd_keras.data import encode_file
    from awd_keras.data.units import label

    if options.worst is not None:
        check_positive_integer("worst", options.worst)
    check_adaptive(options)
    run = open_run(options.run)
    preset = models.PRESETS[run.setting("preset")]
    vocabulary = run.vocabulary()
    wanted = [*["train"] * options.trains, *["valid"] * options.tune]
    if options.text is None:
        splits = read_splits(run, options.data, wanted)
        texts = {name: splits[name] for name in ("valid", "test") if name in splits}
    else:
        with reading("--text"):
            texts = {"text": encode_file(options.text, vocabulary)}
        # The training and validation splits are those of the run's text.
        splits = read_splits(run, None, wanted) if wanted else {}
    if run.setting("backwards"):
        print("The texts are read from the end: the run was trained with --backwards.")
        texts, splits = ({name: ids[::-1] for name, ids in each.items()} for each in (texts, splits))
    model = run.model()
    bptt = run.setting("bptt")
    rows = {name: preset.valid_batch_size if name == "valid" else preset.test_batch_size for name in texts}
    for name, tokens in texts.items():
        check_rows("text" if options.text else "data", None if options.text else name, tokens, rows[name])
    # Printed after everything that checks the input, so that an error is one line.
    if not run.path("result.json").is_file():
        print(f"awd-keras: the run in {run.directory} isn't finished; this is its best model so far", file=sys.stderr)
    for name, tokens in texts.items():
        score = evaluation.perplexity(model, tokens, batch_size=rows[name], bptt=bptt, vocabulary=vocabulary)
        print(score_line(name, score, vocabulary, rows[name]))
    report_adaptive(options, model, texts, splits, run)
    if options.worst is not None:
        name = next(iter(texts))
        table = evaluation.surprisal(model, vocabulary, texts[name], batch_size=rows[name], bptt=bptt)
        print("\n  total bits  occurrences  mean bits  word")
        for cost in table.worst(options.worst):
            print(f"{cost.total_bits:12.1f}  {cost.occurrences:11}  {cost.mean_bits:9.2f}  {label(cost.word)}")
    return 0


# The setting in Python, and the argument of its search.
_CACHE = {"window": "windows", "interpolation": "interpolations", "theta": "thetas"}
_DYNAMIC = {"learning_rate": "learning_rates", "decay": "decays"}
# The value of `--cache` without a number.
_BY_DEFAULT = object()
# How many of the best settings of a search are shown.
_SHOWN = 10


def add_adaptive(parser):
    """Declares the options."""
    adaptive = parser.add_argument_group("adapting to the text just read")
    adaptive.add_argument(
        "--cache",
        dest="window",
        type=int,
        nargs="?",
        const=_BY_DEFAULT,
        metavar="WORDS",
        help="also score with a continuous cache of the last WORDS words (default: 500)",
    )
    adaptive.add_argument(
        "--interpolation", type=float, metavar="X", help="the cache's share of a probability (default: 0.1)"
    )
    adaptive.add_argument(
        "--theta", type=float, metavar="X", help="how much the cache prefers similar hidden states (default: 1)"
    )
    adaptive.add_argument(
        "--dynamic",
        dest="trains",  # as other commands do
        action="store_true",
        help="also score with dynamic evaluation, in which the model learns from the text while it reads",
    )
    adaptive.add_argument("--learning-rate", type=float, metavar="X", help="of dynamic evaluation (default: 5e-5)")
    adaptive.add_argument("--decay", type=float, metavar="X", help="of dynamic evaluation (default: 0.002)")
    adaptive.add_argument(
        "--tune",
        action="store_true",
        help="first search for the best values of the settings above that aren't given, on valid.txt. For a cache, it "
        "takes minutes; for dynamic evaluation, each trial reads the whole text",
    )


def check_adaptive(options):
    """Raises ValueError if an option is out of its range or would have no effect, before anything is scored."""
    from awd_keras.checks import check_not_negative, check_positive_integer, check_rate

    used = {"--cache": options.window is not None, "--dynamic": options.trains}
    for name, needed, check in (
        ("window", "--cache", check_positive_integer),
        ("interpolation", "--cache", check_rate),
        ("theta", "--cache", check_not_negative),
        ("learning_rate", "--dynamic", check_not_negative),
        ("decay", "--dynamic", check_not_negative),
    ):
        for value in _given(options, [name]).values():
            check(name, value)
            if not used[needed]:
                raise ValueError(f"Option --{name.replace('_', '-')} needs {needed}.")
    if options.tune and not any(used.values()):
        raise ValueError("Option --tune needs --cache or --dynamic.")


def report_adaptive(options, model, texts, splits, run):
    """Prints the scores of the `texts` with --cache and --dynamic; gradients and search read the `splits`."""
    from awd_keras import evaluation

    vocabulary = run.vocabulary()
    if options.window is not None:
        bptt = run.setting("bptt")
        score = functools.partial(evaluation.cache_perplexity, model, bptt=bptt, vocabulary=vocabulary)
        tune = functools.partial(evaluation.tune_cache, model, bptt=bptt, verbose=1, vocabulary=vocabulary)
        _report("with a cache", _CACHE, options, texts, splits, vocabulary, score, tune)
    if options.trains:
        print("gradients on the training set:")
        rms = evaluation.gradient_rms(model, splits["train"], batch_size=run.setting("batch_size"), verbose=1)
        score = functools.partial(evaluation.dynamic_perplexity, model, rms=rms, vocabulary=vocabulary)
        tune = functools.partial(evaluation.tune_dynamic, model, rms=rms, verbose=1, vocabulary=vocabulary)
        _report("with dynamic evaluation", _DYNAMIC, options, texts, splits, vocabulary, score, tune)


def _report(title, names, options, texts, splits, vocabulary, score, tune):
    given = _given(options, names)
    known = {}
    if options.tune:
        trials = tune(splits["valid"], **{names[name]: [value] for name, value in given.items()})
        _print_table(trials)
        settings, known["valid"] = trials[0]
    else:
        parameters = inspect.signature(score).parameters
        settings = {name: given.get(name, parameters[name].default) for name in names}
    print(", ".join([title, *(f"{name.replace('_', ' ')} {value:g}" for name, value in settings.items())]))
    for name, tokens in texts.items():
        print(score_line(name, known.get(name) or score(tokens, **settings), vocabulary, batch_size=1))


def _given(options, names):
    return {name: getattr(options, name) for name in names if getattr(options, name) not in (None, _BY_DEFAULT)}


def _print_table(trials):
    names = list(trials[0].settings)
    print("  ".join(f"{name:>13}" for name in [*names, "perplexity"]))
    for settings, score in trials[:_SHOWN]:
        print("  ".join([*(f"{settings[name]:13g}" for name in names), f"{score.perplexity:13.2f}"]))
    if len(trials) > _SHOWN:
        print(f"... and {len(trials) - _SHOWN} more, up to {trials[-1].score.perplexity:.2f}")
