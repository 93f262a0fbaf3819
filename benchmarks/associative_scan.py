"""Compares an LSTM layer with one whose gates depend only on the input, so that an associative scan computes it.

That is `AblatedLSTM(units, "-srnn-hidden")`. The LSTM has a matrix product in each time step, which waits for the
previous step; the scan has none. Both begin with one product for the inputs of all steps.
"""

import dataclasses
import statistics

from measure import Subject, interleaved, parser, ratio, report
from shapes import SHAPES

COLUMNS = ("backend", "units", "batch", "window", "what", "lstm, ms", "scan, ms", "the scan, times as fast")


def main():
    options = parser(__doc__, rounds=5)
    options.add_argument("--shape", choices=SHAPES, default="small", metavar="NAME", help=", ".join(SHAPES))
    options.add_argument("--length", type=int, nargs="+", default=[70, 280], metavar="N", help="(default: 70 280)")
    options.add_argument("--steps", type=int, default=2, metavar="N", help="windows in a sample (default: %(default)s)")
    options = options.parse_args()
    rows, samples = [], {}
    for backend in options.backend:
        for length in options.length:
            shape = dataclasses.replace(SHAPES[options.shape], bptt=length)
            for what in ("forward", "training"):
                subjects = [
                    Subject(name, backend, "one_layer", what, shape, cell=cell, steps=options.steps)
                    for name, cell in (("lstm", "lstm"), ("scan", "-srnn-hidden"))
                ]
                taken = interleaved(subjects, options.rounds)
                for subject in subjects:
                    subject.close()
                samples[f"{backend} {length} {what}"] = taken
                rows.append(
                    {
                        "backend": backend,
                        "units": shape.hidden_units,
                        "batch": shape.batch_size,
                        "window": length,
                        "what": what,
                        "lstm, ms": 1000 * statistics.median(taken["lstm"]) / options.steps,
                        "scan, ms": 1000 * statistics.median(taken["scan"]) / options.steps,
                        "the scan, times as fast": ratio(taken, "scan", "lstm"),
                        "device": subjects[0].facts["device"],
                    }
                )
    report(options, COLUMNS, rows, samples=samples)


if __name__ == "__main__":
    main()
