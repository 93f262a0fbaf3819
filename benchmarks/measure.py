"""Fair timing: each subject has its own process, samples are taken in turn, and ratios are within one round."""

import argparse
import dataclasses
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

from shapes import SHAPES

# Seconds between samples, as a thread pool goes on spinning for a moment after its work.
PAUSE = 0.3
BACKENDS = ("torch", "jax", "tensorflow")
MEBIBYTE = 2**20


class Subject:
    """A process that has built `module.function(shape, **arguments)` on a backend, and runs it on request."""

    def __init__(self, name, backend, module, function, shape, **arguments):
        self.name = name
        order = {"module": module, "function": function, "shape": dataclasses.asdict(shape), **arguments}
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": backend}
        # stdin and stdout are for requests and answers. What libraries print goes to stderr.
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(pathlib.Path(__file__).with_name("worker.py")), json.dumps(order)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **quiet},
        )
        self.facts = self._answer()

    def run(self):
        """Seconds of one sample."""
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        self.facts = self._answer()
        return self.facts["seconds"]

    def memory(self):
        """The memory of the process: before its first sample, its peak so far, and the difference."""
        idle, peak = (self.facts[key] / MEBIBYTE for key in ("idle", "peak"))
        return {"idle, MiB": idle, "peak, MiB": peak, "peak over idle, MiB": peak - idle}

    def close(self):
        self._process.stdin.close()
        self._process.wait()

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} has ended with status {self._process.wait()}; its output is above.")
        return json.loads(line)


def interleaved(subjects, rounds):
    """The samples of each subject, by name, taken in turn."""
    samples = {subject.name: [] for subject in subjects}
    for number in range(rounds):
        print(f"\rround {number + 1} of {rounds}", end="", file=sys.stderr, flush=True)
        for subject in subjects:
            time.sleep(PAUSE)
            samples[subject.name].append(subject.run())
    print(file=sys.stderr)
    return samples


def ratio(samples, faster, slower):
    """How many times as fast one subject is as another: the median over rounds, as the machine's speed changes."""
    return statistics.median(b / a for a, b in zip(samples[faster], samples[slower], strict=True))


def parser(description, rounds):
    """A parser with the options that the benchmarks share."""
    result = argparse.ArgumentParser(description=description)
    result.add_argument(
        "--backend", nargs="+", choices=BACKENDS, default=list(BACKENDS), metavar="NAME", help=", ".join(BACKENDS)
    )
    result.add_argument(
        "--rounds", type=int, default=rounds, metavar="N", help="samples of each (default: %(default)s)"
    )
    result.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write the figures to FILE too")
    return result


def compare_steps(description, columns, compare):
    """The main function of a benchmark of whole steps. Prints the rows of `compare` for each shape and backend.

    Args:
        description: the text of `--help`.
        columns: the columns of the table.
        compare: function of a shape's name, a backend, the options and a dictionary. It adds its samples to the
            dictionary, and returns the rows.
    """
    options = parser(description, rounds=9)
    options.add_argument("--shape", nargs="+", choices=SHAPES, default=["ptb"], metavar="NAME", help=", ".join(SHAPES))
    options.add_argument("--steps", type=int, default=3, metavar="N", help="steps in a sample (default: %(default)s)")
    options = options.parse_args()
    rows, samples = [], {}
    for name in options.shape:
        for backend in options.backend:
            rows += compare(name, backend, options, samples)
    report(options, columns, rows, samples=samples)


def report(options, columns, rows, **more):
    """Prints a table, and writes it with all other information to the file of `--json`."""
    print()
    print_table(columns, ([row[column] for column in columns] for row in rows))
    if options.json:
        write_json(options.json, {"rows": rows, **more})


def print_table(columns, rows):
    """Prints rows of cells in Markdown. A row may have fewer cells than there are columns."""
    print(f"| {' | '.join(columns)} |")
    print(f"|{'|'.join('---' for _ in columns)}|")
    for row in rows:
        print(f"| {' | '.join(map(_cell, row))} |")


def write_json(path, figures):
    """Writes figures and the machine to a file, whole or not at all; `awd_keras.output` would need Keras."""
    beside = path.with_name(f".writing-{path.name}")
    beside.write_text(json.dumps({**figures, "machine": machine()}, indent=2) + "\n", encoding="utf-8")
    beside.replace(path)


def machine():
    """The machine and the versions, on which the figures depend."""
    versions = {}
    for name in ("keras", "numpy", "torch", "jax", "jaxlib", "tensorflow-cpu", "tensorflow"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions,
        "command": " ".join(sys.argv),
    }


def processor():
    """The processor's name. On Linux, Python's own function returns only its architecture."""
    about = pathlib.Path("/proc/cpuinfo")
    lines = about.read_text(encoding="utf-8").splitlines() if about.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, None) or platform.processor() or platform.machine()


def _cell(value):
    if isinstance(value, float):
        return f"{value:,.3f}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
