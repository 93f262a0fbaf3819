"""Time and peak memory of the softmax and its gradients as the vocabulary grows: plain, chunked, adaptive; and PyTorch.

The rest of the model isn't run. Windows have 80 rows of 70 tokens, as for WikiText-2. With larger vocabularies, they
have fewer rows, so that the number of logits is the same. PyTorch's own softmaxes are run with the backend torch.
"""

import dataclasses
import statistics

from measure import Subject, interleaved, parser, ratio, report
from shapes import SHAPES

COLUMNS = (
    "vocabulary",
    "tokens",
    "backend",
    "subject",
    "seconds",
    "from",
    "to",
    "of plain's time",
    "peak over idle, MiB",
    "of plain's memory",
)
SIZES = (10_000, 33_278, 100_000, 267_735)


def main():
    options = parser(__doc__, rounds=3)
    options.add_argument(
        "--vocabulary", nargs="+", type=int, default=list(SIZES), metavar="N", help="sizes (default: %(default)s)"
    )
    options = options.parse_args()
    rows, samples = [], {}
    for size in options.vocabulary:
        for backend in options.backend:
            rows += compare(size, backend, options, samples)
    report(options, COLUMNS, rows, samples=samples)


def compare(size, backend, options, samples):
    """The rows of one vocabulary on one backend."""
    shape = SHAPES["wikitext-2"]
    batch_size = min(shape.batch_size, max(shape.batch_size * shape.vocabulary_size // size, 1))
    shape = dataclasses.replace(shape, vocabulary_size=size, batch_size=batch_size)
    subjects = [Subject(name, backend, "softmax", name, shape) for name in ("plain", "chunked", "adaptive")]
    if backend == "torch":
        subjects += [
            Subject(f"PyTorch's {name}", "torch", "softmax_torch", name, shape) for name in ("plain", "adaptive")
        ]
    taken = interleaved(subjects, options.rounds)
    for subject in subjects:
        subject.close()
    samples[f"{size} {backend}"] = taken
    memory = {subject.name: subject.memory()["peak over idle, MiB"] for subject in subjects}
    return [
        {
            "vocabulary": size,
            "tokens": shape.tokens,
            "backend": backend,
            "subject": subject.name,
            "seconds": statistics.median(taken[subject.name]),
            "from": min(taken[subject.name]),
            "to": max(taken[subject.name]),
            "of plain's time": ratio(taken, "plain", subject.name),
            "peak over idle, MiB": memory[subject.name],
            "of plain's memory": memory[subject.name] / memory["plain"],
            "device": subject.facts["device"],
        }
        for subject in subjects
    ]


if __name__ == "__main__":
    main()
