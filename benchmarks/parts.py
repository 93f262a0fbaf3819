"""Where the time of a training step goes: how much less, or more, it takes without one of its parts."""

import dataclasses
import statistics

from measure import Subject, compare_steps, interleaved
from shapes import SHAPES

COLUMNS = ("shape", "backend", "part", "seconds a step", "share of the step")
# Part -> the arguments that leave it out.
LEFT_OUT = {
    "weight drop": {"weight_drop": 0.0},
    "the other dropout": {
        "input_dropout": 0.0,
        "hidden_dropout": 0.0,
        "output_dropout": 0.0,
        "embedding_dropout": 0.0,
    },
    "the vocabulary: embedding, logits, cross-entropy, perplexity": {"vocabulary_size": 16},
}


def main():
    compare_steps(__doc__, COLUMNS, parts)


def parts(name, backend, options, samples):
    """The rows of one shape on one backend."""
    shape = SHAPES[name]

    def subject(label, module="ours", shape=shape, **arguments):
        return Subject(label, backend, module, "training", shape, steps=options.steps, **arguments)

    subjects = [
        subject("step"),
        subject("averaging", averaging=True),
        subject("products", "products"),
        *(subject(part, shape=dataclasses.replace(shape, **change)) for part, change in LEFT_OUT.items()),
    ]
    taken = interleaved(subjects, options.rounds)
    for each in subjects:
        each.close()
    samples[f"{name} {backend}"] = taken

    def median(label):
        return statistics.median(taken[label]) / options.steps

    def cost(more, less):
        # The differences within each round, as its samples have the same state of the machine.
        return statistics.median(a - b for a, b in zip(taken[more], taken[less], strict=True)) / options.steps

    seconds = {
        "the whole step": median("step"),
        "its matrix products alone": median("products"),
        "averaging, once it has begun": cost("averaging", "step"),
        **{part: cost("step", part) for part in LEFT_OUT},
    }
    return [
        {
            "shape": name,
            "backend": backend,
            "part": part,
            "seconds a step": value,
            "share of the step": f"{value / seconds['the whole step']:.1%}",
        }
        for part, value in seconds.items()
    ]


if __name__ == "__main__":
    main()
