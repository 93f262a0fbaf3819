"""`awd-keras analyse`."""

import json

import numpy as np
import pytest

from awd_keras import analysis, cli, runs
from awd_keras.data import Vocabulary
from awd_keras.models import AWDLSTM

pytestmark = pytest.mark.once

WORDS = ["<eos>", "<unk>", "the", "cat", "sat"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    model = AWDLSTM(len(WORDS), embedding_dim=4, hidden_units=4, num_layers=1, seed=1)
    model.build((1, None))
    run = runs.Run.create(tmp_path_factory.mktemp("run"), {}, Vocabulary(WORDS))
    run.write_model(model)
    return str(run.directory)


def test_writes_pictures_and_figures(directory, tmp_path, capsys):
    output = tmp_path / "new" / "folder"
    assert cli.main(["analyse", directory, "--text", "the zebra sat on", "--output", str(output)]) == 0
    said = capsys.readouterr()
    names = ["lstm_0.json", "lstm_0_gates.png", "lstm_0_memory.png"]
    assert said.out.splitlines() == [str(output / name) for name in names]
    assert said.err == "awd-keras: 2 of 4 words read as <unk>, as the vocabulary lacks them: 'zebra', 'on'\n"
    assert sorted(path.name for path in output.iterdir()) == names
    for name in names[1:]:
        assert (output / name).read_bytes().startswith(b"\x89PNG")
    run = runs.Run.open(directory)
    found = analysis.analyse(run.model(), run.vocabulary(), "the zebra sat on")
    written = json.loads((output / names[0]).read_text(encoding="utf-8"))
    assert list(written) == ["layer", "words", "gates", "memory"]
    assert (written["layer"], written["words"]) == ("lstm_0", ["the", "<unk>", "sat", "<unk>"])
    for part, arrays in (("gates", found.layers[0].gates), ("memory", found.layers[0].memory)):
        assert list(written[part]) == list(arrays._fields)
        for name, array in arrays._asdict().items():
            np.testing.assert_allclose(written[part][name], array[0], rtol=1e-5)


@pytest.mark.parametrize(
    ("text", "output", "named"),
    [
        (" ", "output", "Option --text must have at least one word"),
        ("the cat", "file", "Option --output must be a directory that can be written"),
        ("the " * 20_000, "output", "give a shorter text"),
    ],
)
def test_bad_options(directory, tmp_path, capsys, monkeypatch, text, output, named):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("not a folder")
    assert cli.main(["analyse", directory, "--text", text, "--output", output]) == 2
    error = capsys.readouterr().err
    assert error.startswith("awd-keras: error: ")
    assert named in error
    assert error.count("\n") == 1


def test_no_run_and_no_text(directory, tmp_path, capsys):
    assert cli.main(["analyse", str(tmp_path), "--text", "the", "--output", str(tmp_path / "output")]) == 2
    assert "Argument RUN must be the directory of a run" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        cli.main(["analyse", directory, "--output", str(tmp_path / "output")])
    assert "--text" in capsys.readouterr().err
    assert not (tmp_path / "output").exists()
