"""How fast texts of growing sizes are read with their ids in files, and how much memory they need.

Memory is the process's own, without the pages of files. That of training is the difference from a short text.
"""

import argparse
import concurrent.futures
import multiprocessing
import pathlib
import tempfile
import threading
import time

import numpy as np
from measure import report

COLUMNS = (
    "MB of text",
    "tokens",
    "words",
    "first time, s",
    "tokens/s",
    "again, s",
    "memory to read, MB",
    "memory to train, MB",
)
# The number of words of WikiText-103. They are drawn by Zipf's law.
WORDS = 267_735


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--megabytes", type=int, nargs="+", default=[10, 100, 1000], metavar="N", help="sizes (default: 10 100 1000)"
    )
    options.add_argument("--steps", type=int, default=20, metavar="N", help="training steps (default: %(default)s)")
    options.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write the figures to FILE too")
    options = options.parse_args()
    rows = []
    for megabytes in options.megabytes:
        # A process for each size, as a process doesn't always return memory to the system.
        spawn = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as executor:
            rows.append(executor.submit(measure, megabytes, options.steps).result())
    report(options, COLUMNS, rows)


def measure(megabytes, steps):
    """The row of the table for a size."""
    from awd_keras.data import BPTTDataset, Corpus
    from awd_keras.models import AWDLSTM

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write(folder, megabytes)
        with PeakMemory() as reading:
            begin, processor = time.perf_counter(), time.process_time()
            corpus = Corpus.from_directory(folder, cache=folder / "cache", verbose=0)
            first, processor = time.perf_counter() - begin, time.process_time() - processor
        begin = time.perf_counter()
        corpus = Corpus.from_directory(folder, cache=folder / "cache", verbose=0)
        again = time.perf_counter() - begin
        model = AWDLSTM(len(corpus.vocabulary), embedding_dim=4, hidden_units=4, num_layers=1)
        model.compile()
        # A few windows of a short text, to subtract the memory of the model.
        with PeakMemory() as short:
            model.fit(BPTTDataset(corpus.valid, batch_size=20, variable=False), verbose=0)
        with PeakMemory() as training:
            model.fit(BPTTDataset(corpus.train, batch_size=20, variable=False), steps_per_epoch=steps, verbose=0)
        tokens = sum(len(ids) for ids in (corpus.train, corpus.valid, corpus.test))
        return {
            "MB of text": megabytes,
            "tokens": tokens,
            "words": len(corpus.vocabulary),
            "first time, s": first,
            "tokens/s": tokens / processor,
            "again, s": again,
            "memory to read, MB": reading.most - reading.before,
            "memory to train, MB": training.most - short.most,
        }


def write(folder, megabytes):
    """Writes a training text of random words, and two short ones for validation and test."""
    rng = np.random.default_rng(0)
    shares = 1 / np.arange(1, WORDS + 1)
    cumulative = np.cumsum(shares / shares.sum())
    words = np.array([f"w{number}" for number in range(WORDS)], dtype=object)

    def line():
        drawn = np.searchsorted(cumulative, rng.random(20_000)).clip(max=WORDS - 1)
        return (" ".join(words[drawn]) + "\n").encode()

    for split in ("valid", "test"):
        (folder / f"{split}.txt").write_bytes(line())
    with (folder / "train.txt").open("wb") as file:
        while file.tell() < megabytes * 1e6:
            file.write(line())


class PeakMemory:
    """The process's peak memory and its memory before, without pages of files, in MB."""

    def __enter__(self):
        self.before = self.most = anonymous()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._over.set()
        self._thread.join()

    def _watch(self):
        while not self._over.wait(0.01):
            self.most = max(self.most, anonymous())


def anonymous():
    """The process's anonymous memory in MB, from Linux's /proc."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("/proc/self/status has no RssAnon: this benchmark needs Linux.")


if __name__ == "__main__":
    main()
