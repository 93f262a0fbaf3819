import json

import keras
import numpy as np
import pytest

from awd_keras.data import Vocabulary
from awd_keras.models import AWDLSTM
from awd_keras.runs import Run

pytestmark = pytest.mark.once

VOCABULARY = Vocabulary(["<eos>", "a", "é", "<unk>"])


def make_model(vocabulary_size=4):
    model = AWDLSTM(vocabulary_size, embedding_dim=4, hidden_units=4, num_layers=1, seed=1)
    model.build((1, None))
    return model


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "parent" / "run", {"seed": 3}, VOCABULARY)


def test_holds_what_it_was_given(run):
    model = make_model()
    lines = [{"epoch": 1, "valid_perplexity": 5.5}, {"epoch": 2, "valid_perplexity": 4.5}]
    run.write_model(model)
    run.write_metrics(lines)
    assert run.result is None
    run.write_result({"valid_perplexity": 4.5})

    opened = Run.open(run.directory)
    assert opened.config == {"format": 1, "seed": 3}
    assert opened.vocabulary() == VOCABULARY
    assert opened.metrics() == lines
    assert opened.result == {"valid_perplexity": 4.5}
    for mine, its in zip(model.get_weights(), opened.model().get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)


def test_a_diverged_run_is_still_json(run):
    run.write_metrics([{"epoch": 1, "valid_perplexity": float("nan")}])
    run.write_result({"test_perplexity": float("inf"), "versions": {"keras": "3"}})
    assert run.metrics() == [{"epoch": 1, "valid_perplexity": None}]
    assert run.result == {"test_perplexity": None, "versions": {"keras": "3"}}


def test_numpys_numbers_are_numbers(run):
    run.write_config({"epochs": np.int64(3), "model": {"weight_drop": np.float32(0.5)}})
    run.write_result({"test_perplexity": np.float32("nan")})
    assert run.config == {"format": 1, "epochs": 3, "model": {"weight_drop": 0.5}}
    assert run.result == {"test_perplexity": None}


def test_settings_that_are_no_json_leave_the_old_run(run):
    before = {path.name: path.read_bytes() for path in run.directory.iterdir()}
    with pytest.raises(ValueError, match="Argument `config` must hold .* set is not JSON serializable"):
        Run.create(run.directory, {"model": {1, 2}}, VOCABULARY, overwrite=True)
    assert {path.name: path.read_bytes() for path in run.directory.iterdir()} == before


def test_a_failed_write_leaves_the_file_as_it_was(run):
    run.write_result({"epochs": 1})

    def fail(path):
        path.write_text("half", encoding="utf-8")
        raise RuntimeError("the disk is full")

    before = sorted(run.directory.iterdir())
    with pytest.raises(RuntimeError, match="full"):
        run.write("result.json", fail)
    assert run.result == {"epochs": 1}
    assert sorted(run.directory.iterdir()) == before


@pytest.mark.parametrize("name", [*Run.FILES, "checkpoint-7.keras"])
def test_refuses_to_replace_a_run(tmp_path, name):
    (tmp_path / name).write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match="already holds a run"):
        Run.create(tmp_path, {}, VOCABULARY)
    assert (tmp_path / name).read_text(encoding="utf-8") == "mine"


def test_overwrite_replaces_the_run_alone(run):
    run.write_result({"epochs": 1})
    (run.directory / "notes.txt").write_text("mine", encoding="utf-8")
    new = Run.create(run.directory, {"seed": 4}, VOCABULARY, overwrite=True)
    assert new.config["seed"] == 4
    assert new.result is None
    assert (run.directory / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_a_directory_of_other_files_is_taken(tmp_path):
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    assert Run.create(tmp_path, {}, VOCABULARY).vocabulary() == VOCABULARY


def test_a_file_is_no_directory(tmp_path):
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match="is a file"):
        Run.create(tmp_path / "file", {}, VOCABULARY, overwrite=True)


def test_missing(tmp_path, run):
    with pytest.raises(FileNotFoundError, match="There is no run in .*nowhere"):
        Run.open(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"has no model\.keras"):
        run.model()
    run.path("vocabulary.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no vocabulary\.json"):
        run.vocabulary()


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff\xfe", b""])
def test_broken_config(run, content):
    run.path("config.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"config\.json (is not JSON|must hold)"):
        Run.open(run.directory)


def test_broken_files(run):
    run.path("metrics.jsonl").write_text('{"epoch": 1}\n{"epo\n{"epoch": 3}\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 2 is not JSON"):
        run.metrics()
    run.path("model.keras").write_bytes(b"half a zip")
    with pytest.raises(ValueError, match=r"model\.keras is not a whole Keras model"):
        run.model()


@pytest.mark.parametrize("rest", [b'{"epo', b"{", b"\0\0\0\0", b'{"epoch": 2}garbage\n', b"\xff\n"])
def test_a_torn_last_line_is_stepped_over(run, capsys, rest):
    run.path("metrics.jsonl").write_bytes(b'{"epoch": 1}\n' + rest)
    assert run.metrics() == [{"epoch": 1}]
    said = capsys.readouterr().err
    assert "metrics.jsonl, line 2 is not JSON" in said
    assert "left out" in said
    assert said.count("\n") == 1


def test_a_last_line_without_its_end_is_whole(run, capsys):
    run.path("metrics.jsonl").write_bytes(b'{"epoch": 1}\n{"epoch": 2}')
    assert run.metrics() == [{"epoch": 1}, {"epoch": 2}]
    assert capsys.readouterr().err == ""


def test_another_format(run):
    config = json.dumps({"format": 99})
    run.path("config.json").write_text(config, encoding="utf-8")
    with pytest.raises(ValueError, match="format 99.* reads format 1"):
        Run.open(run.directory)


def test_vocabulary_that_does_not_fit(run):
    run.write_model(make_model(vocabulary_size=7))
    with pytest.raises(ValueError, match=r"vocabulary\.json doesn't fit.* 4 words.* on 7"):
        run.model()


def test_model_is_read_by_keras_too(run):
    model = make_model()
    run.write_model(model)
    loaded = keras.saving.load_model(run.path("model.keras"), compile=False)
    assert loaded.get_config() == model.get_config()
