"""Everything that the documentation names exists: files, classes, methods and tests."""

import ast
import pkgutil
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# A path on a page may begin in one of these folders, or in the page's own.
BASES = (ROOT, ROOT / "awd_keras", ROOT / "backends_tests")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("experiments/**/*.md")]
FOLDERS = ("awd_keras/", "backends_tests/", "benchmarks/", "docs/", "examples/", "experiments/")


def problems(text, place):
    """The names on a page in the directory `place` that don't exist."""
    text = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    found = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
    missing = [link for link in found if not (place / link).exists()]
    for line in text.splitlines():
        # `::name` belongs to the previous file on the same line.
        last = None
        for code in re.findall(r"`([^`]+)`", line):
            path, _, name = code.partition("::")
            if names_a_file(path) or (name and not path):
                last = file_of(path, place) if path else last
                if last is None or (name and name not in definitions(last)):
                    missing.append(code)
            elif re.match(r"awd_keras\.\w", code) and not importable(code.partition("(")[0]):
                missing.append(code)
    return missing


def names_a_file(code):
    # `my_layer.py` and `NAME.py` stand for the reader's files.
    is_path = re.fullmatch(r"[\w./-]+", code) and not re.search(r"my_|NAME", code)
    return bool(is_path) and (code.endswith((".py", ".md")) or code.startswith(FOLDERS))


def file_of(path, place):
    found = [base / path for base in (*BASES, place) if (base / path).exists()]
    if not found and "/" not in path:
        # A name without a folder: the text says in which folders the file is.
        found = [file for folder in FOLDERS for file in (ROOT / folder).rglob(path)]
    return found[0] if found else None


@cache
def definitions(path):
    """The names that a Python file defines: functions, classes, `Class.method`, and what it assigns."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case ast.FunctionDef(name=name):
                names.add(name)
            case ast.ClassDef(name=name, body=body):
                names.add(name)
                names.update(f"{name}.{part.name}" for part in body if isinstance(part, ast.FunctionDef))
            case ast.Assign(targets=targets):
                names.update(target.id for target in targets if isinstance(target, ast.Name))
    return names


def importable(name):
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_is_there(page):
    assert problems(page.read_text(encoding="utf-8"), page.parent) == []


def test_pages_are_found():
    assert {"README.md", "paper_map.md", "reliability.md"} <= {page.name for page in PAGES}


@pytest.mark.parametrize(
    "text",
    [
        "`layers/no_such_file.py`",
        "`docs/no_such_folder/`",
        "`layers/locked_dropout.py::Locked`",
        "`layers/locked_dropout.py::LockedDropout.no_method`",
        "`layers/test_locked_dropout.py::test_rate`, `::test_no_such_rate`",
        "`layers/test_locked_dropout.py`\n`::test_rate`",
        "`awd_keras.layers.NoSuchLayer(0.5)`",
        "[a page](no_such_page.md#part)",
    ],
)
def test_what_is_not_there_is_noticed(text):
    assert len(problems(text, ROOT / "docs")) == 1


def test_what_is_there_passes():
    text = (
        "`layers/locked_dropout.py::LockedDropout.call`\n"
        "`layers/test_locked_dropout.py::test_rate`, `::test_bad_rate`\n"
        "`models/presets.py::PRESETS`, `awd_keras/layers`, `awd_keras.models.AWDLSTM.from_preset('ptb', 10)`, "
        "[another](reliability.md), [elsewhere](https://example.org), `model.keras`, `runs/first`\n"
        "`test_locked_dropout.py`, `performance.md`, `awd_keras/layers/my_layer.py`, `docs/NAME.md`\n"
        "```\n`no_such_file.py`\n```\n"
    )
    assert problems(text, ROOT / "docs") == []


# In a table, a heading or an address, a line can't be broken.
_UNBROKEN = ("|", "#", "![", "<", "[", "    ")


def too_wide(text):
    """The lines of prose beyond 100 columns, and those of code beyond 88."""
    wide, fenced = [], False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif len(line.strip() if fenced else line) > (88 if fenced else 100) and (
            fenced or not line.startswith(_UNBROKEN)
        ):
            wide.append(line)
    return wide


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_can_be_read_in_a_narrow_window(page):
    assert too_wide(page.read_text(encoding="utf-8")) == []


def test_a_snippet_fits_as_other_code_does():
    pages = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    examples = re.findall(r'--8<-- "(examples/.+)"', pages)
    assert len(examples) == 6
    for example in examples:
        assert too_wide(f"```\n{(ROOT / example).read_text(encoding='utf-8')}\n```") == [], example


def test_what_is_too_wide_is_noticed():
    assert len(too_wide("word " * 21)) == 1
    assert len(too_wide(f"```\n{'x' * 89}\n```\n{'x' * 89}")) == 1
    assert too_wide(f"| {'x' * 100} |\n```\n{'x' * 88}\n```") == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_picture_has_an_alternative_text(page):
    texts = re.findall(r"!\[([^\]]*)\]\(", page.read_text(encoding="utf-8"))
    assert [text for text in texts if len(text.split()) < 5] == []


def test_the_site_s_navigation_has_every_page():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("nav:")[2]
    listed = set(re.findall(r"[\w/]+\.md", text))
    assert listed == {path.relative_to(ROOT / "docs").as_posix() for path in ROOT.glob("docs/**/*.md")}
    # The navigation uses the page's own heading, so that both are the same.
    assert not re.search(r": [\w/]+\.md", text)


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 110


@pytest.mark.parametrize(
    "word",
    ["AR", "AWD-LSTM", "BPTT", "cuDNN", "GPU", "JSON", "LSTM", "NT-ASGD", "ONNX", "PTB", "SGD", "TAR", "TF32", "XLA"],
)
def test_an_abbreviation_is_in_the_glossary(word):
    assert re.search(rf"^\| {word}\b", (ROOT / "docs/glossary.md").read_text(encoding="utf-8"), re.MULTILINE)
