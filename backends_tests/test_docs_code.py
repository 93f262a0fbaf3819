"""The code in the README and in docs/ runs unchanged on every backend, on a short text and for one epoch."""

import re
import shlex
from pathlib import Path

import pytest

from awd_keras import cli, data, verification

ROOT = Path(__file__).parents[1]
# The pages of results aren't run: their commands take hours.
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "guides").glob("*.md"))]
BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<code>.*?)^```", re.DOTALL | re.MULTILINE)
SMALL = "--epochs 1 --embedding-dim 8 --hidden-units 8 --num-layers 1"
# Shell commands on pages that aren't awd-keras: installations, benchmarks, and those that stand for the user's own.
NOT_RUN = ("pip ", "python3 -m venv ", "nox ", "python benchmarks/", "KERAS_BACKEND=torch python train.py")


def blocks(page):
    text = page.read_text(encoding="utf-8")
    return [(match["language"], match["code"]) for match in BLOCK.finditer(text)]


def run_shell(code):
    for line in code.replace("\\\n", " ").splitlines():
        command = line.partition("#")[0].strip()
        if not command.startswith("awd-keras "):
            assert not command or command.startswith(NOT_RUN), f"not run by the tests: {command}"
            continue
        arguments = shlex.split(command)[1:]
        if arguments[0] == "train" and "--resume" not in arguments:
            arguments += shlex.split(SMALL)
        if arguments[0] == "finetune":
            arguments += ["--epochs", "1"]
        if "--backend" in arguments:
            index = arguments.index("--backend")
            del arguments[index : index + 2]  # the suite's backend is in use
        assert cli.main(arguments) == 0, command


def runnable(page):
    return any(language == "python" or (language == "sh" and "awd-keras " in code) for language, code in blocks(page))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory of the pages' code, with a small text."""
    corpus = data.Corpus.python_docs()
    # Few windows with few lengths, as JAX compiles each length.
    short = data.Corpus(corpus.train[:711], corpus.valid[:711], corpus.test[:300], corpus.vocabulary)
    monkeypatch.setattr(data.Corpus, "python_docs", lambda **_: short)
    # All checks run in verification/test_verify.py.
    monkeypatch.setattr(verification, "verify", lambda: [verification.Check("masks", True, "0.5", "of 0.5")])
    monkeypatch.chdir(tmp_path)
    Path("text").mkdir()
    Path("DIR").symlink_to("text")  # the README's name for the reader's text
    for split in ("train", "valid", "test"):
        Path("text", f"{split}.txt").write_text("the cat sat on the mat\nand the <unk> ran\n" * 31, encoding="utf-8")
    return tmp_path


@pytest.mark.once
def test_snippets_are_there():
    """Everything that looks like a snippet's marker is one, as the site would show any other as text."""
    markers = [line.strip() for page in PAGES for line in page.read_text(encoding="utf-8").splitlines() if "8<" in line]
    assert len(markers) >= 5
    for marker in markers:
        found = re.fullmatch(r'--8<-- "(.+)"', marker)
        assert found, marker
        assert (ROOT / found[1]).is_file(), marker


@pytest.mark.once
def test_there_are_pages():
    assert sum(map(runnable, PAGES)) > 5


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.stem, marks=[] if page.stem == "README" else pytest.mark.once)
        for page in PAGES
        if runnable(page)
    ],
)
def test_page(page, folder):
    names: dict = {"__name__": page.stem}
    for language, code in blocks(page):
        if language == "python" and "--8<--" not in code:
            exec(re.sub(r"epochs=\d+", "epochs=1", code), names)
        elif language == "sh":
            run_shell(code)
