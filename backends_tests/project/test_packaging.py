"""The wheel that a user gets from `pip install`, built here without the network."""

import re
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from importlib import import_module
from pathlib import Path

import pytest

import awd_keras

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def named(wheel, ending):
    (text,) = (text for name, text in wheel.items() if name.endswith(f".dist-info/{ending}"))
    return text


def test_wheel_holds_the_package_and_nothing_else(wheel):
    package = {path.relative_to(ROOT).as_posix() for path in (ROOT / "awd_keras").rglob("*.py")} | {
        "awd_keras/py.typed"
    }
    assert {name for name in wheel if ".dist-info/" not in name} == package


def test_version_is_that_of_the_package(wheel):
    assert Parser().parsestr(named(wheel, "METADATA"))["Version"] == awd_keras.__version__


def test_links_of_the_readme_work_from_pypi(wheel):
    text = Parser().parsestr(named(wheel, "METADATA")).get_payload()
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert [link for link in links if not link.startswith("https://")] == []
    for link in links:
        if link.startswith(urls["Source"]):
            _, _, path = link.removeprefix(f"{urls['Source']}/").split("/", 2)
            assert (ROOT / path).exists(), link
    assert any(link.startswith(f"{urls['Source']}/raw/main/docs/") for link in links), "the picture"


def test_addresses_have_one_place():
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*.cff"), ROOT / "mkdocs.yml"]
    assert [path.name for path in pages if "example.org" in path.read_text(encoding="utf-8")] == []


def test_citation_and_changelog_are_of_this_version():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert set(re.findall(r"^ *version: ([\w.]+)", citation, re.MULTILINE)) == {awd_keras.__version__}
    # A version under development has no release date, and its changes are under "Unreleased".
    dates = set(re.findall(r"^ *date-released: (.+)$", citation, re.MULTILINE))
    heading, *_ = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    if ".dev" in awd_keras.__version__:
        assert (dates, heading) == (set(), "[Unreleased]")
    else:
        assert {f"[{awd_keras.__version__}] - {date}" for date in dates} == {heading}
    assert f"version = {{{awd_keras.__version__}}}" in (ROOT / "docs/citing.md").read_text(encoding="utf-8")


def test_version_is_written_once():
    written = f'"{awd_keras.__version__}"'
    places = [ROOT / "pyproject.toml", ROOT / "noxfile.py", *(ROOT / "awd_keras").rglob("*.py")]
    assert [path.name for path in places if written in path.read_text(encoding="utf-8")] == ["_version.py"]


def test_every_backend_has_an_extra(wheel):
    extras = Parser().parsestr(named(wheel, "METADATA")).get_all("Provides-Extra")
    assert {"torch", "jax", "tensorflow", "plot"} <= set(extras)


def test_console_script_names_a_function(wheel):
    (line,) = (line for line in named(wheel, "entry_points.txt").splitlines() if line.startswith("awd-keras"))
    module, function = line.partition("=")[2].strip().split(":")
    assert callable(getattr(import_module(module), function))


def test_licence_travels(wheel):
    assert named(wheel, "licenses/LICENSE") == (ROOT / "LICENSE").read_text(encoding="utf-8")
