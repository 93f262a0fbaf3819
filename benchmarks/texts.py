"""Compares scoring sentences separately with the perplexity of the same words as one stream."""

import statistics

from measure import Subject, interleaved, parser, ratio, report
from shapes import SHAPES

COLUMNS = ("shape", "backend", "sentences, words/s", "one stream, words/s", "sentences, times as fast")
WORDS = 20


def main():
    options = parser(__doc__, rounds=5)
    options.add_argument(
        "--shape", nargs="+", choices=SHAPES, default=["small"], metavar="NAME", help=", ".join(SHAPES)
    )
    options.add_argument("--count", type=int, default=10_000, metavar="N", help="sentences (default: %(default)s)")
    options = options.parse_args()
    rows, samples = [], {}
    for name in options.shape:
        for backend in options.backend:
            sizes = {"count": options.count, "words": WORDS}
            subjects = [
                Subject(title, backend, "ours", "texts", SHAPES[name], together=together, **sizes)
                for title, together in (("sentences", False), ("one stream", True))
            ]
            taken = interleaved(subjects, options.rounds)
            for subject in subjects:
                subject.close()
            samples[f"{name} {backend}"] = taken
            speeds = {
                f"{title}, words/s": options.count * WORDS / statistics.median(taken[title])
                for title in ("sentences", "one stream")
            }
            rows.append(
                {
                    "shape": name,
                    "backend": backend,
                    **speeds,
                    "sentences, times as fast": ratio(taken, "sentences", "one stream"),
                    "device": subjects[0].facts["device"],
                }
            )
    report(options, COLUMNS, rows, samples=samples)


if __name__ == "__main__":
    main()
