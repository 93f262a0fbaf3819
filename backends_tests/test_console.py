"""Characters that a console can't show are replaced and reported, whichever command prints them."""

import contextlib
import io

import pytest

from awd_keras import cli, runs
from awd_keras.data import Vocabulary
from awd_keras.evaluation import SurprisalTable
from awd_keras.models import AWDLSTM
from awd_keras.output import replacing

pytestmark = pytest.mark.once

TOLD = (
    "awd-keras: a ? stands for each character that cp1252 doesn't have; with the environment variable "
    "PYTHONIOENCODING=utf-8 they are written as they are\n"
)


@contextlib.contextmanager
def console():
    """A context with a list, which has the shown text after the context's end."""
    shown = []
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="cp1252", newline="\n")) as stream:
        yield shown
    assert stream.errors == "strict"
    stream.flush()
    shown.append(stream.buffer.getvalue())


def test_a_command(tmp_path, capsys):
    words = ["<eos>", "<unk>", "\u732b", "caf\xe9"]
    model = AWDLSTM(len(words), embedding_dim=4, hidden_units=4, num_layers=1, seed=1)
    model.build((1, None))
    runs.Run.create(tmp_path, {}, Vocabulary(words)).write_model(model)
    with console() as shown:
        assert cli.main(["generate", str(tmp_path), "--prompt", "caf\xe9 \u732b", "--words", "1", "--seed", "1"]) == 0
    assert shown[0].startswith(b"caf\xe9 ?")
    assert capsys.readouterr().err == TOLD


def test_a_table(capsys):
    with console() as shown:
        SurprisalTable(["\u732b\u732b", "caf\xe9"], [1.0, 2.0], even_guess=2.0).show()
    assert shown[0] == b"   bits  word\n   1.00  ??\n   2.00  caf\xe9\n"
    assert capsys.readouterr().err == TOLD


def test_what_can_be_shown_is_left_alone(capsys):
    with console() as shown, replacing():
        print("caf\xe9")
    assert shown[0] == b"caf\xe9\n"
    assert capsys.readouterr().err == ""


def test_an_output_that_does_not_encode():
    with contextlib.redirect_stdout(io.StringIO()) as text, replacing():
        print("\u732b")
    assert text.getvalue() == "\u732b\n"
