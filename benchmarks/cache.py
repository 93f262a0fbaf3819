"""Compares our continuous cache over a test set with the published loop over tokens, written in PyTorch.

Both get the model's hidden states and probabilities, which are random here, and mix in the cache. The time of the model
isn't included, and is measured separately. The loop is timed on a slice of the tokens, and extrapolated to all of them.
"""

import statistics

from measure import Subject, interleaved, parser, ratio, report
from shapes import SHAPES

COLUMNS = (
    "shape",
    "backend",
    "tokens",
    "cache words",
    "ours, s",
    "loop (extrapolated), s",
    "ours, times as fast",
    "model, s (extrapolated)",
    "with the model, times as fast",
)
# The number of windows on which the loop and the model are timed.
SLICE = 4


def main():
    options = parser(__doc__, rounds=3)
    options.add_argument("--shape", choices=SHAPES, default="ptb", metavar="NAME", help=", ".join(SHAPES))
    options.add_argument("--tokens", type=int, default=82_430, metavar="N", help="(default: %(default)s)")
    options.add_argument("--cache", type=int, default=500, metavar="WORDS", help="(default: %(default)s)")
    options = options.parse_args()
    shape, window, tokens = SHAPES[options.shape], options.cache, options.tokens
    rows, samples = [], {}
    for backend in options.backend:
        subjects = [
            Subject("ours", backend, "ours", "cache", shape, tokens=tokens, window=window),
            Subject("loop", "torch", "reference_torch", "cache", shape, tokens=SLICE * shape.bptt, window=window),
            Subject("model", backend, "ours", "evaluation", shape, batch_size=1, windows=SLICE),
        ]
        taken = interleaved(subjects, options.rounds)
        for subject in subjects:
            subject.close()
        share = tokens / (SLICE * shape.bptt)
        taken = {name: [s if name == "ours" else s * share for s in seconds] for name, seconds in taken.items()}
        samples[backend] = taken
        whole = {name: [a + b for a, b in zip(taken[name], taken["model"], strict=True)] for name in ("ours", "loop")}
        rows.append(
            {
                "shape": options.shape,
                "backend": backend,
                "tokens": tokens,
                "cache words": window,
                "ours, s": statistics.median(taken["ours"]),
                "loop (extrapolated), s": statistics.median(taken["loop"]),
                "ours, times as fast": ratio(taken, "ours", "loop"),
                "model, s (extrapolated)": statistics.median(taken["model"]),
                "with the model, times as fast": ratio(whole, "ours", "loop"),
                "device": subjects[0].facts["device"],
            }
        )
    report(options, COLUMNS, rows, samples=samples)


if __name__ == "__main__":
    main()
