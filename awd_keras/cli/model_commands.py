"""What looks at a model: `awd-keras generate`, `analyse` and `verify`."""

import os

from awd_keras.cli.options import tell_unknown


def add_generate(commands, common):
    """Declares the command."""
    generate = commands.add_parser("generate", parents=[common], help="text from a run's model")
    generate.set_defaults(command=run_generate, trains=False)
    generate.add_argument("run", metavar="RUN", help="directory of the run")
    generate.add_argument(
        "--prompt",
        action="append",
        metavar="TEXT",
        help="the words to go on from; given more than once, a text for each (default: a new line)",
    )
    generate.add_argument("--words", type=int, default=50, metavar="N", help="at most, after the prompt (default: 50)")
    generate.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        metavar="X",
        help="below 1 keeps to likely words; 0 takes the likeliest (default: 1)",
    )
    generate.add_argument("--top-k", type=int, metavar="N", help="draw from the N likeliest words alone")
    generate.add_argument(
        "--top-p", type=float, metavar="P", help="draw from the likeliest words alone that together have probability P"
    )
    generate.add_argument("--seed", type=int, metavar="N", help="the same seed and prompt, the same text")
    generate.add_argument(
        "--stop",
        action="append",
        metavar="WORD",
        help='the word before which a text ends, "<eos>" for the end of a line; can be given more than once',
    )


def run_generate(options):
    """Prints the first text while it is written, and then the others, an empty line between."""
    from awd_keras import generation, runs
    from awd_keras.data.vocabulary import split_words

    run = runs.Run.open(options.run)
    vocabulary = run.vocabulary()
    prompts = options.prompt or [""]
    pieces = generation.stream(
        run.model(),
        vocabulary,
        prompts,
        max_words=options.words,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        seed=options.seed,
        stop=options.stop or (),
    )
    tell_unknown([word for text in prompts for word in split_words(text)], vocabulary)
    others = [""] * len(prompts)
    try:
        for row, piece in pieces:
            if row == 0:
                print(piece, end="", flush=True)
            else:
                others[row] += piece
    finally:
        print()
    for text in others[1:]:
        print(f"\n{text}")
    return 0


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
