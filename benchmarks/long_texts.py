"""Peak memory of a classifier's training step as texts get longer, with and without `max_gradient_tokens`."""

import dataclasses

from measure import Subject, parser, report
from shapes import SHAPES

COLUMNS = (
    "backend",
    "tokens of a text",
    "max_gradient_tokens",
    "idle, MiB",
    "peak, MiB",
    "peak over idle, MiB",
)


def main():
    options = parser(__doc__, rounds=1)
    options.add_argument("--shape", choices=SHAPES, default="small", metavar="NAME", help=", ".join(SHAPES))
    options.add_argument(
        "--batch-size", type=int, default=4, metavar="N", help="texts of a step (default: %(default)s)"
    )
    options.add_argument(
        "--tokens",
        type=int,
        nargs="+",
        default=[1400, 5600, 22_400],
        metavar="N",
        help="of a text (default: %(default)s)",
    )
    options.add_argument(
        "--max-gradient-tokens", type=int, default=1400, metavar="N", help="beside all of them (default: %(default)s)"
    )
    options = options.parse_args()
    shape = dataclasses.replace(SHAPES[options.shape], batch_size=options.batch_size)
    rows = [
        row(backend, shape, tokens, most, options.rounds)
        for backend in options.backend
        for tokens in options.tokens
        for most in (options.max_gradient_tokens, None)
    ]
    report(options, COLUMNS, rows)


def row(backend, shape, tokens, most, rounds):
    subject = Subject(f"{most} of {tokens}", backend, "ours", "classification", shape, tokens=tokens, most=most)
    for _ in range(rounds):  # `Subject` has made a first step
        subject.run()
    subject.close()
    return {
        "backend": backend,
        "tokens of a text": tokens,
        "max_gradient_tokens": "None" if most is None else most,
        **subject.memory(),
        "device": subject.facts["device"],
    }


if __name__ == "__main__":
    main()
