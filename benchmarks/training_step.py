"""Whole training steps: ours, stock Keras on the same backend, a PyTorch reference, and the matrix products alone."""

import statistics

from measure import Subject, interleaved, parser, ratio, report
from shapes import SHAPES

COLUMNS = (
    "shape",
    "backend",
    "subject",
    "seconds a step",
    "from",
    "to",
    "tokens/s",
    "ours, times as fast",
)


def main():
    options = parser(__doc__, rounds=9)
    options.add_argument("--shape", nargs="+", choices=SHAPES, default=["ptb"], metavar="NAME", help=", ".join(SHAPES))
    options.add_argument("--steps", type=int, default=3, metavar="N", help="steps in a sample (default: %(default)s)")
    options = options.parse_args()
    rows, samples = [], {}
    for name in options.shape:
        for backend in options.backend:
            rows += compare(name, backend, options, samples)
    report(options, COLUMNS, rows, samples=samples)


def compare(name, backend, options, samples):
    """The rows of one shape on one backend."""
    shape = SHAPES[name]
    subjects = [
        Subject(label, on, module, "training", shape, steps=options.steps, **more)
        for label, on, module, more in (
            ("ours", backend, "ours", {}),
            ("ours, averaging", backend, "ours", {"averaging": True}),
            ("stock Keras", backend, "stock_keras", {}),
            ("PyTorch reference", "torch", "reference_torch", {}),
            ("matrix products alone", backend, "products", {}),
        )
    ]
    taken = interleaved(subjects, options.rounds)
    for subject in subjects:
        subject.close()
    samples[f"{name} {backend}"] = taken
    rows = []
    for subject in subjects:
        seconds = [sample / options.steps for sample in taken[subject.name]]
        median = statistics.median(seconds)
        rows.append(
            {
                "shape": name,
                "backend": backend,
                "subject": subject.name,
                "seconds a step": median,
                "from": min(seconds),
                "to": max(seconds),
                "tokens/s": shape.tokens / median,
                "ours, times as fast": ratio(taken, "ours", subject.name),
                "device": subject.facts["device"],
            }
        )
    return rows


if __name__ == "__main__":
    main()
