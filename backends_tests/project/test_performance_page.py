"""The tables of times and memory in the docs have the numbers of the files in docs/results/performance."""

import json
import statistics
from pathlib import Path

import pytest

from backends_tests import tables

DOCS = Path(__file__).parents[2] / "docs"
FOLDER = DOCS / "results" / "performance"
BACKENDS = ("torch", "jax", "tensorflow")
PAGES = ("performance.md", "measurements.md", "guides/classifier.md")
TEXT = "\n".join((DOCS / name).read_text(encoding="utf-8") for name in PAGES)


def rows_of(name):
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["rows"]


def row_of(rows, **facts):
    (row,) = [row for row in rows if facts.items() <= row.items()]
    return row


def on_page(heading):
    """The rows of a section's tables, without the targets in brackets."""
    _, found, section = TEXT.partition(f"\n## {heading}\n")
    assert found
    return [[cell.partition("(")[0].strip() for cell in row] for row in tables.rows_of(section.partition("\n## ")[0])]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["ptb_{}", "avx2", "small", "wikitext-2"])
def test_a_training_step(name, backend):
    rows = rows_of(f"training_step_{name.format(backend)}")
    ours = row_of(rows, backend=backend, subject="ours")
    faster = {
        subject: row_of(rows, backend=backend, subject=subject)["ours, times as fast"]
        for subject in ("PyTorch reference", "stock Keras", "matrix products alone")
    }
    assert [
        backend,
        f"{ours['seconds a step']:.3f}",
        f"{ours['from']:.2f} - {ours['to']:.2f}",
        f"{faster['PyTorch reference']:.2f}",
        f"{faster['stock Keras']:.2f}",
        f"{faster['matrix products alone']:.0%}",
    ] in on_page("A training step" if "ptb" in name else "The training step")


def test_steps_with_averaging():
    took = [
        row_of(rows_of(f"training_step_ptb_{backend}"), subject="ours, averaging")["ours, times as fast"]
        for backend in BACKENDS
    ]
    said = "{:.2f} (torch), {:.2f} (jax) and {:.2f} (tensorflow) times as long".format(*took)
    assert said in " ".join(TEXT.split())


@pytest.mark.parametrize("backend", BACKENDS)
def test_evaluation_and_generation(backend):
    rows = rows_of("inference_ptb")
    expected = [backend]
    for work, digits in (("evaluation", 2), ("generation", 1)):
        row = row_of(rows, backend=backend, work=work)
        expected += [f"{row[f'{name}, tokens/s']:,.0f}" for name in ("ours", "reference")]
        expected.append(f"{row['ours, times as fast']:.{digits}f}")
    assert expected in on_page("Evaluation and generation")


@pytest.mark.parametrize("name", ["PyTorch reference", *BACKENDS])
def test_memory(name):
    facts = {"backend": name, "subject": "ours"} if name in BACKENDS else {"subject": name}
    row = row_of(rows_of("memory_ptb"), **facts)
    figures = [f"{row[f'{part}, MiB']:,.0f}" for part in ("idle", "peak", "peak over idle")]
    assert [name, *figures, f"{row['''times the reference's''']:.2f}"] in on_page("Memory")


@pytest.mark.parametrize("cell", ["gru", "qrnn", "mogrifier"])
def test_other_cells(cell):
    figures = [f"{row_of(rows_of(f'cells_{backend}'), cell=cell)['times as fast']:.2f}" for backend in BACKENDS]
    (row,) = [row for row in on_page("Other cells") if cell in row[0].lower()]
    assert row[2:] == figures


LONG_TEXTS = rows_of("long_texts")


@pytest.mark.parametrize("tokens", sorted({row["tokens of a text"] for row in LONG_TEXTS}))
def test_long_texts(tokens):
    rows = [row_of(LONG_TEXTS, **{"tokens of a text": tokens, "max_gradient_tokens": most}) for most in (1400, "None")]
    assert [f"{tokens:,}", *(f"{row['peak over idle, MiB']:,.0f}" for row in rows)] in on_page("Long texts")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("what", ["forward", "training"])
def test_an_associative_scan(what, backend):
    row = row_of(rows_of(f"associative_scan_{backend}"), what=what)
    figures = [f"{row['lstm, ms']:.0f}", f"{row['scan, ms']:.0f}", f"{row['the scan, times as fast']:.2f}"]
    assert [backend, what, *figures] in on_page("An associative scan")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cache(backend):
    row = row_of(rows_of("cache"), backend=backend)
    assert [
        backend,
        f"{row['ours, s']:.1f}",
        f"{row['loop (extrapolated), s']:.0f}",
        f"{row['ours, times as fast']:.0f}",
        f"{row['model, s (extrapolated)']:.0f}",
        f"{row['with the model, times as fast']:.1f}",
    ] in on_page("A cache")


AXES = {"bptt": "window", "hidden_units": "hidden units", "vocabulary_size": "words", "batch_size": "rows of a batch"}


def test_as_the_sizes_grow():
    rows = [row for row in on_page("As the sizes grow") if row[0] in AXES.values()]
    # A table of times, and one of peak memory.
    (times, peaks) = ({tuple(row[:2]): row[2:] for row in rows if len(row) == length} for length in (8, 6))
    measured = [rows_of(f"scaling_ptb_{backend}") for backend in BACKENDS]
    assert len(times) == len(peaks) == len(measured[0])
    for rows in zip(*measured, strict=True):
        (size,) = {(row["axis"], row["value"]) for row in rows}
        shown = AXES[size[0]], f"{size[1]:,}"
        assert times[shown] == [
            figure for row in rows for figure in (f"{row['seconds a step']:.2f}", f"{row['ours, times as fast']:.2f}")
        ]
        assert peaks[shown] == [
            *(f"{row['peak over idle, MiB']:,.0f}" for row in rows),
            f"{statistics.median(row['reference, peak over idle, MiB'] for row in rows):,.0f}",
        ]


MEASURED = sorted({(row["vocabulary"], row["backend"]) for row in rows_of("vocabulary")})


@pytest.mark.parametrize(
    ("words", "backend"), [*MEASURED, *((words, "PyTorch's own") for words, on in MEASURED if on == "torch")]
)
def test_large_vocabularies(words, backend):
    rows = [row for row in rows_of("vocabulary") if row["vocabulary"] == words]

    def figure(subject, column, form):
        if backend in BACKENDS:
            return format(row_of(rows, backend=backend, subject=subject)[column], form)
        return "-" if subject == "chunked" else format(row_of(rows, subject=f"PyTorch's {subject}")[column], form)

    subjects = ("plain", "chunked", "adaptive")
    assert [
        f"{words:,}",
        backend,
        figure("plain", "seconds", ".1f"),
        *(figure(subject, "of plain's time", ".2f") for subject in subjects[1:]),
        *(figure(subject, "peak over idle, MiB", ",.0f") for subject in subjects),
    ] in on_page("Large vocabularies")


@pytest.mark.parametrize("size", [10, 100, 1000])
def test_a_text_larger_than_memory(size):
    row = row_of(rows_of("corpus"), **{"MB of text": size})
    assert [
        f"{size:,}",
        f"{row['tokens']:,}",
        f"{row['first time, s']:.0f}",
        f"{row['tokens/s']:,.0f}",
        f"{row['again, s']:.1f}",
        f"{row['memory to read, MB']:.0f}",
        f"{row['memory to train, MB']:.0f}",
    ] in on_page("A text larger than memory")
