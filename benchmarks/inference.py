"""Compares our evaluation at batch 10 and our generation of a single stream with a PyTorch reference."""

import statistics

from measure import Subject, interleaved, parser, ratio, report
from shapes import SHAPES

COLUMNS = ("shape", "backend", "work", "ours, tokens/s", "reference, tokens/s", "ours, times as fast")
BATCH_SIZE = 10
# The windows of an evaluation, which share its fixed cost. Penn Treebank's validation set has 105.
WINDOWS = 16
WORDS = 60


def main():
    options = parser(__doc__, rounds=9)
    options.add_argument("--shape", nargs="+", choices=SHAPES, default=["ptb"], metavar="NAME", help=", ".join(SHAPES))
    options = options.parse_args()
    rows, samples = [], {}
    for name in options.shape:
        shape = SHAPES[name]
        for backend in options.backend:
            for work, tokens, arguments in (
                (
                    "evaluation",
                    BATCH_SIZE * WINDOWS * shape.bptt,
                    {"batch_size": BATCH_SIZE, "windows": WINDOWS},
                ),
                ("generation", WORDS, {"words": WORDS}),
            ):
                subjects = [
                    Subject("ours", backend, "ours", work, shape, **arguments),
                    Subject("reference", "torch", "reference_torch", work, shape, **arguments),
                ]
                taken = interleaved(subjects, options.rounds)
                for subject in subjects:
                    subject.close()
                samples[f"{name} {backend} {work}"] = taken
                rows.append(
                    {
                        "shape": name,
                        "backend": backend,
                        "work": work,
                        "ours, tokens/s": tokens / statistics.median(taken["ours"]),
                        "reference, tokens/s": tokens / statistics.median(taken["reference"]),
                        "ours, times as fast": ratio(taken, "ours", "reference"),
                        "device": subjects[0].facts["device"],
                    }
                )
    report(options, COLUMNS, rows, samples=samples)


if __name__ == "__main__":
    main()
