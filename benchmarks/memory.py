"""Peak memory of training: of the whole process on a CPU, of the device's allocator on a GPU; ours and a reference."""

from measure import Subject, parser, report
from shapes import SHAPES

COLUMNS = ("shape", "backend", "subject", "idle, MiB", "peak, MiB", "peak over idle, MiB", "times the reference's")


def main():
    options = parser(__doc__, rounds=1)
    options.add_argument("--shape", nargs="+", choices=SHAPES, default=["ptb"], metavar="NAME", help=", ".join(SHAPES))
    options.add_argument("--steps", type=int, default=3, metavar="N", help="steps in a sample (default: %(default)s)")
    options = options.parse_args()
    rows = []
    for name in options.shape:
        reference = row(name, "torch", "reference_torch", options)
        # Without the memory that a framework needs when it does nothing.
        rows.append({**reference, "subject": "PyTorch reference", "times the reference's": 1.0})
        for backend in options.backend:
            ours = row(name, backend, "ours", options)
            times = ours["peak over idle, MiB"] / reference["peak over idle, MiB"]
            rows.append({**ours, "subject": "ours", "times the reference's": times})
    report(options, COLUMNS, rows)


def row(name, backend, module, options):
    # With averaging, which needs the most memory.
    subject = Subject(
        f"{module} on {backend}", backend, module, "training", SHAPES[name], steps=options.steps, averaging=True
    )
    for _ in range(options.rounds):
        subject.run()
    subject.close()
    return {
        "shape": name,
        "backend": backend,
        **subject.memory(),
        "device": subject.facts["device"],
    }


if __name__ == "__main__":
    main()
