"""The commands that use a trained model: `generate`, `next`, `score` and `analyse`; and `verify`."""

import contextlib
import itertools
import os
import sys

from awd_keras.cli.options import a_path, add_run, explained, open_forward, tell_unknown

# How many lines are read before their scores are printed.
_PART = 4096
# Without the byte-order mark that some programs begin a text with.
_UTF8 = "utf-8-sig"


def add_generate(commands, common):
    """Declares the command."""
    generate = commands.add_parser(
        "generate",
        parents=[common],
        help="text from a run's model",
        **explained(
            "Writes a text word by word. Each word is drawn from the probabilities of a run's model.",
            'generate runs/first --prompt "the"',
            'generate runs/first --prompt "the" --temperature 0.8 --top-p 0.9 --seed 1',
        ),
    )
    generate.set_defaults(command=run_generate, trains=False)
    add_run(generate)
    generate.add_argument(
        "--prompt",
        action="append",
        metavar="TEXT",
        help="the text to continue; can be given more than once (default: a new line)",
    )
    generate.add_argument(
        "--words", type=int, default=50, metavar="N", help="the most words after the prompt (default: 50)"
    )
    generate.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        metavar="X",
        help="below 1, likely words are drawn more often; 0 takes the likeliest (default: 1)",
    )
    generate.add_argument("--top-k", type=int, metavar="N", help="draw from the N likeliest words only")
    generate.add_argument(
        "--top-p", type=float, metavar="P", help="draw only from the likeliest words that together have probability P"
    )
    generate.add_argument(
        "--min-p",
        type=float,
        metavar="P",
        help="draw only from words that are at least P times as likely as the likeliest",
    )
    generate.add_argument(
        "--repetition-penalty",
        type=float,
        default=1.0,
        metavar="X",
        help="above 1, words that have occurred become less likely (default: 1)",
    )
    generate.add_argument(
        "--banned", action="append", metavar="WORD", help="never write this word; can be given more than once"
    )
    generate.add_argument("--allow-unknown", action="store_true", help="allow <unk> in the text")
    generate.add_argument(
        "--num-beams", type=int, metavar="N", help="beam search for the likeliest text with N beams, instead of drawing"
    )
    generate.add_argument(
        "--length-penalty",
        type=float,
        default=1.0,
        metavar="X",
        help="for --num-beams: the larger it is, the longer the text (default: 1)",
    )
    generate.add_argument("--seed", type=int, metavar="N", help="the same seed and prompt give the same text")
    generate.add_argument(
        "--stop",
        action="append",
        metavar="WORD",
        help='end the text before this word, "<eos>" for the end of a line; can be given more than once',
    )


def run_generate(options):
    """Prints the first text while it is written, and then the others, separated by empty lines."""
    from awd_keras import generation

    run = open_forward(options.run, "generate")
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
        min_p=options.min_p,
        repetition_penalty=options.repetition_penalty,
        banned=options.banned or (),
        allow_unknown=options.allow_unknown,
        num_beams=options.num_beams,
        length_penalty=options.length_penalty,
    )
    tell_unknown(prompts, vocabulary)
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


def add_next(commands, common):
    """Declares the command."""
    following = commands.add_parser(
        "next",
        parents=[common],
        help="the likeliest next words, with their probabilities",
        **explained(
            "Prints the words that are likeliest after a text by the model of a run, each with its probability.",
            'next runs/first --prompt "the"',
            'next runs/first --prompt "the value of" --words 3',
        ),
    )
    following.set_defaults(command=run_next, trains=False)
    add_run(following)
    following.add_argument(
        "--prompt", default="", metavar="TEXT", help="the text that comes before (default: a new line)"
    )
    following.add_argument(
        "--words", type=int, default=10, metavar="N", help="the number of words to print (default: 10)"
    )


def run_next(options):
    """Prints one line for each word."""
    from awd_keras import generation
    from awd_keras.data.units import label

    run = open_forward(options.run, "next")
    vocabulary = run.vocabulary()
    words = generation.next_words(run.model(), vocabulary, options.prompt, options.words)
    tell_unknown([options.prompt], vocabulary)
    for word, probability in words:
        print(f"{probability:8.4f}  {label(word)}")
    return 0


def add_score(commands, common):
    """Declares the command."""
    score = commands.add_parser(
        "score",
        parents=[common],
        help="the probability of each line of a file",
        **explained(
            "Scores each line of a file by itself. Prints, separated by tabs, its log-probability (natural logarithm), "
            "perplexity, number of words, how many of them are <unk>, and the line.",
            "score runs/first --text FILE",
            "score runs/first < FILE",
        ),
    )
    score.set_defaults(command=run_score, trains=False)
    add_run(score)
    score.add_argument(
        "--text",
        type=a_path,
        metavar="FILE",
        help="a file with a text on each line, in UTF-8 (default: the standard input)",
    )
    score.add_argument(
        "--batch-size", type=int, default=32, metavar="N", help="texts that are read together (default: 32)"
    )


def run_score(options):
    """Prints one line for each text."""
    from awd_keras.checks import check_positive_integer

    check_positive_integer("batch_size", options.batch_size)
    run = open_forward(options.run, "score")
    try:
        with contextlib.nullcontext(sys.stdin) if options.text is None else open(options.text, encoding=_UTF8) as lines:
            _score(run, lines, options.batch_size)
    except UnicodeDecodeError as error:
        name = "standard input" if options.text is None else options.text
        raise ValueError(f"Option --text must be a text in UTF-8. Received: {name}: {error}") from error
    return 0


def _score(run, lines, batch_size):
    from awd_keras import evaluation

    model, vocabulary = run.model(), run.vocabulary()
    texts = (line.rstrip("\n") for line in lines)
    while part := list(itertools.islice(texts, _PART)):
        for score, text in zip(evaluation.score_texts(model, vocabulary, part, batch_size), part, strict=True):
            figures = f"{score.log_probability:.4f}\t{score.perplexity:.4f}\t{score.words}\t{score.unknown_words}"
            print(f"{figures}\t{text}")


def add_analyse(commands, common):
    """Declares the command."""
    analyse = commands.add_parser(
        "analyse",
        parents=[common],
        help="pictures of the gates and the memory of a run's LSTMs while they read a text",
        **explained(
            "Writes three files for each LSTM of the model: LAYER_gates.png (the forget, input and output gate at each "
            "word), LAYER_memory.png (how strongly each word is still held at each later word), and LAYER.json (the "
            "numbers).",
            'analyse runs/first --text "the value of the expression" --output pictures',
            'analyse runs/first --backend torch --text "a list of lists" --output pictures',
        ),
    )
    analyse.set_defaults(command=run_analyse, trains=False)
    add_run(analyse)
    analyse.add_argument("--text", required=True, metavar="TEXT", help="the text to read")
    analyse.add_argument(
        "--output", type=a_path, required=True, metavar="DIR", help="directory to write to, made if it isn't there"
    )


def run_analyse(options):
    """Prints the paths of the files, and on the standard error stream the words that the vocabulary lacks."""
    from awd_keras import analysis

    run = open_forward(options.run, "analyse")
    found = analysis.analyse(run.model(), run.vocabulary(), options.text)
    tell_unknown([options.text], run.vocabulary())
    for path in analysis.write_analysis(found, options.output):
        print(path)
    return 0


def add_verify(commands, common):
    """Declares the command."""
    verify = commands.add_parser(
        "verify",
        parents=[common],
        help="check that the regularization really acts",
        **explained(
            "Measures whether weight drop, the masks, the carried state and averaging act as they should on this "
            "backend. Prints one line for each check; the exit status is 1 if one failed.",
            "verify",
            "verify --backend torch",
        ),
    )
    verify.set_defaults(command=run_verify, trains=True)


def run_verify(options):
    """Prints the checks; the exit status is 1 if one failed."""
    from awd_keras import verification

    checks = verification.verify()
    width = max(len(check.name) for check in checks)
    for check in checks:
        state = "ok    " if check.passed else "FAILED"
        print(f"{state}  {check.name:{width}}  {check.figure}  ({check.detail})")
    failed = sum(not check.passed for check in checks)
    print(f"{len(checks) - failed} of {len(checks)} checks passed on {os.environ['KERAS_BACKEND']}")
    return 1 if failed else 0
