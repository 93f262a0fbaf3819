"""A training step of one layer of each cell: the GRU against stock Keras's, and the others against the LSTM."""

import statistics

from measure import Subject, interleaved, parser, ratio, report
from shapes import SHAPES

# The cell that each cell is compared with.
AGAINST = {"gru": "keras gru", "mogrifier": "lstm", "qrnn": "lstm"}
COLUMNS = ("backend", "cell", "ms", "against", "its ms", "times as fast")


def main():
    options = parser(__doc__, rounds=5)
    options.add_argument("--shape", choices=SHAPES, default="ptb", metavar="NAME", help=", ".join(SHAPES))
    options.add_argument("--steps", type=int, default=1, metavar="N", help="steps in a sample (default: %(default)s)")
    options = options.parse_args()
    rows, samples = [], {}
    for backend in options.backend:
        subjects = [
            Subject(cell, backend, "one_layer", "training", SHAPES[options.shape], cell=cell, steps=options.steps)
            for cell in dict.fromkeys((*AGAINST, *AGAINST.values()))
        ]
        taken = samples[backend] = interleaved(subjects, options.rounds)
        for subject in subjects:
            subject.close()
        took = {cell: 1000 * statistics.median(seconds) / options.steps for cell, seconds in taken.items()}
        for cell, other in AGAINST.items():
            rows.append(
                {
                    "backend": backend,
                    "cell": cell,
                    "ms": took[cell],
                    "against": other,
                    "its ms": took[other],
                    "times as fast": ratio(taken, cell, other),
                }
            )
    report(options, COLUMNS, rows, samples=samples)


if __name__ == "__main__":
    main()
