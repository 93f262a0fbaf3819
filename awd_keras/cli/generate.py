"""`awd-keras generate`."""


def add(commands, common):
    """Declares the command."""
    generate = commands.add_parser("generate", parents=[common], help="text from a run's model")
    generate.set_defaults(command=main)
    generate.add_argument("run", metavar="RUN", help="directory of the run")
    generate.add_argument("--prompt", default="", help="the words to go on from")
    generate.add_argument("--words", type=int, default=50, metavar="N", help="(default: 50)")
    generate.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        metavar="X",
        help="below 1 keeps to likely words; 0 takes the likeliest (default: 1)",
    )
    generate.add_argument("--seed", type=int, metavar="N", help="the same seed, the same text")


def main(options):
    """Prints a text."""
    from awd_keras import generation, runs

    run = runs.Run.open(options.run)
    text = generation.generate(
        run.model(),
        run.vocabulary(),
        options.prompt,
        max_words=options.words,
        temperature=options.temperature,
        seed=options.seed,
    )
    print(text)
    return 0
