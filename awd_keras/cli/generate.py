"""`awd-keras generate`."""

from awd_keras.cli.unknown_words import tell_unknown


def add(commands, common):
    """Declares the command."""
    generate = commands.add_parser("generate", parents=[common], help="text from a run's model")
    generate.set_defaults(command=main, trains=False)
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


def main(options):
    """Prints the first text while it is written, and then the others, an empty line between."""
    from awd_keras import generation, runs
    from awd_keras.data.words import split_words

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
