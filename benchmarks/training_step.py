"""Whole training steps: ours, stock Keras on the same backend, a PyTorch reference, and only the matrix products."""

import statistics

from measure import Subject, compare_steps, interleaved, ratio
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
    compare_steps(__doc__, COLUMNS, compare)


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
