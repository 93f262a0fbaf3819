"""`awd-keras evaluate` with what makes use of the text just read: a continuous cache, dynamic evaluation."""

import functools
import inspect

from awd_keras.cli.score_line import score_line

# The setting in Python, and the argument of its search.
_CACHE = {"window": "windows", "interpolation": "interpolations", "theta": "thetas"}
_DYNAMIC = {"learning_rate": "learning_rates", "decay": "decays"}
# What `--cache` without a number says.
_BY_DEFAULT = object()
# The best of a search that are shown.
_SHOWN = 10


def add_adaptive(parser):
    """Declares the options."""
    adaptive = parser.add_argument_group("with what makes use of the text just read")
    adaptive.add_argument(
        "--cache",
        dest="window",
        type=int,
        nargs="?",
        const=_BY_DEFAULT,
        metavar="WORDS",
        help="also with a continuous cache of so many words (default: 500)",
    )
    adaptive.add_argument("--interpolation", type=float, metavar="X", help="share of the cache (default: 0.1)")
    adaptive.add_argument("--theta", type=float, metavar="X", help="how much like states count (default: 1)")
    adaptive.add_argument(
        "--dynamic",
        dest="trains",  # as other commands do
        action="store_true",
        help="also with dynamic evaluation: the model learns from the text while it reads on",
    )
    adaptive.add_argument("--learning-rate", type=float, metavar="X", help="of dynamic evaluation (default: 5e-5)")
    adaptive.add_argument("--decay", type=float, metavar="X", help="of dynamic evaluation (default: 0.002)")
    adaptive.add_argument(
        "--tune",
        action="store_true",
        help="first search the settings above that aren't given, on valid.txt: minutes for a cache, for dynamic "
        "evaluation a whole one each",
    )


def check_adaptive(options):
    """Raises ValueError where an option is bad or isn't used, before anything is scored."""
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
    """Prints the scores that are asked for, of the `texts`; the gradients and the search are of the `splits`."""
    from awd_keras import evaluation

    vocabulary = run.vocabulary()
    if options.window is not None:
        bptt = run.setting("bptt")
        score = functools.partial(evaluation.cache_perplexity, model, bptt=bptt, vocabulary=vocabulary)
        tune = functools.partial(evaluation.tune_cache, model, bptt=bptt, verbose=1, vocabulary=vocabulary)
        _report("with a cache", _CACHE, options, texts, splits, score, tune)
    if options.trains:
        print("gradients on the training set:")
        rms = evaluation.gradient_rms(model, splits["train"], batch_size=run.setting("batch_size"), verbose=1)
        score = functools.partial(evaluation.dynamic_perplexity, model, rms=rms, vocabulary=vocabulary)
        tune = functools.partial(evaluation.tune_dynamic, model, rms=rms, verbose=1, vocabulary=vocabulary)
        _report("with dynamic evaluation", _DYNAMIC, options, texts, splits, score, tune)


def _report(title, names, options, texts, splits, score, tune):
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
        print(score_line(name, known.get(name) or score(tokens, **settings), batch_size=1))


def _given(options, names):
    return {name: getattr(options, name) for name in names if getattr(options, name) not in (None, _BY_DEFAULT)}


def _print_table(trials):
    names = list(trials[0].settings)
    print("  ".join(f"{name:>13}" for name in [*names, "perplexity"]))
    for settings, score in trials[:_SHOWN]:
        print("  ".join([*(f"{settings[name]:13g}" for name in names), f"{score.perplexity:13.2f}"]))
    if len(trials) > _SHOWN:
        print(f"... and {len(trials) - _SHOWN} more, up to {trials[-1].score.perplexity:.2f}")
