"""How a step's time and memory grow with the window, the hidden units, the vocabulary and the batch."""

import dataclasses
import statistics

from measure import Subject, interleaved, parser, ratio, report
from shapes import SHAPES

COLUMNS = (
    "backend",
    "axis",
    "value",
    "seconds a step",
    "tokens/s",
    "peak over idle, MiB",
    "reference, seconds a step",
    "reference, peak over idle, MiB",
    "ours, times as fast",
)
AXES = {
    "bptt": (35, 70, 140, 280),
    "hidden_units": (256, 512, 1024, 2048),
    "vocabulary_size": (10_000, 30_000, 90_000, 270_000),
    "batch_size": (10, 20, 40, 80, 160),
}


def main():
    options = parser(__doc__, rounds=3)
    options.add_argument("--shape", choices=SHAPES, default="ptb", metavar="NAME", help=", ".join(SHAPES))
    options.add_argument("--axis", nargs="+", choices=AXES, default=list(AXES), metavar="NAME", help=", ".join(AXES))
    options = options.parse_args()
    rows = []
    for backend in options.backend:
        for axis in options.axis:
            for value in AXES[axis]:
                shape = dataclasses.replace(SHAPES[options.shape], **{axis: value})
                rows.append({"backend": backend, "axis": axis, "value": value, **compare(shape, backend, options)})
    report(options, COLUMNS, rows)


def compare(shape, backend, options):
    subjects = [
        Subject("ours", backend, "ours", "training", shape, steps=1),
        Subject("reference", "torch", "reference_torch", "training", shape, steps=1),
    ]
    taken = interleaved(subjects, options.rounds)
    for subject in subjects:
        subject.close()
    ours, reference = (statistics.median(taken[subject.name]) for subject in subjects)
    memory, reference_memory = (subject.memory()["peak over idle, MiB"] for subject in subjects)
    return {
        "seconds a step": ours,
        "tokens/s": shape.tokens / ours,
        "peak over idle, MiB": memory,
        "reference, seconds a step": reference,
        "reference, peak over idle, MiB": reference_memory,
        "ours, times as fast": ratio(taken, "ours", "reference"),
        "device": subjects[0].facts["device"],
    }


if __name__ == "__main__":
    main()
