"""Files that are damaged, of another kind, or malicious: one clear line, and no code from them runs."""

import io
import json
import pickle
import random
import zipfile

import keras
import numpy as np
import pytest

from awd_keras import cli
from awd_keras.data import Corpus, Vocabulary
from awd_keras.models import AWDLSTM
from awd_keras.optimizers import NTASGD
from awd_keras.runs import Checkpoints, Run

WORDS = ["<eos>", "a", "b", "<unk>"]
CONFIG, WEIGHTS = "config.json", "model.weights.h5"


def make_model(**sizes):
    sizes = {"vocabulary_size": 4, "embedding_dim": 2, "hidden_units": 2, "num_layers": 1, "name": "model", **sizes}
    model = AWDLSTM(**sizes, seed=1)
    model.build((10, None))
    return model


def saved(model, directory):
    model.save(directory / "saved.keras")
    return (directory / "saved.keras").read_bytes()


def members(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(contents):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return file.getvalue()


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def content(model, tmp_path_factory):
    return saved(model, tmp_path_factory.mktemp("saved"))


@pytest.fixture
def run(tmp_path, content):
    run = Run.create(tmp_path / "run", {"preset": "tiny", "bptt": 5}, Vocabulary(WORDS))
    run.path("model.keras").write_bytes(content)
    return run


@pytest.fixture
def data(tmp_path):
    directory = tmp_path / "text"
    directory.mkdir()
    for split in ("train", "valid", "test"):
        (directory / f"{split}.txt").write_text("a b a b b\n" * 8, encoding="utf-8")
    return str(directory)


def error_of(capsys, *arguments):
    """The error line of a command with bad input."""
    assert cli.main([str(argument) for argument in arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("awd-keras: error: ")
    assert said.err.count("\n") == 1
    assert said.err.endswith("\n")
    return said.err


def error_of_model(run, capsys, data):
    """The error about a run's model, which is the same in Python and in both commands."""
    with pytest.raises(ValueError) as error:
        run.model()
    line = str(error.value)
    assert len(line.splitlines()) == 1
    assert str(run.path("model.keras")) in line
    assert error_of(capsys, "evaluate", run.directory, "--data", data) == f"awd-keras: error: {line}\n"
    assert error_of(capsys, "generate", run.directory) == f"awd-keras: error: {line}\n"
    return line


def test_a_whole_run_is_read(run, model, data, capsys):
    for mine, its in zip(model.get_weights(), run.model().get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)
    run.write_result({"epochs": 1})
    assert cli.main(["evaluate", str(run.directory), "--data", data]) == 0
    assert cli.main(["generate", str(run.directory), "--words", "2"]) == 0
    assert capsys.readouterr().err == ""


def without(name):
    return lambda content: zipped({key: value for key, value in members(content).items() if key != name})


def with_member(name, value):
    return lambda content: zipped({**members(content), name: value})


def flipped(content):
    place = content.index(members(content)[WEIGHTS]) + 5000
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def with_config(**changes):
    def change(content):
        config = json.loads(members(content)[CONFIG])
        return with_member(CONFIG, json.dumps({**config, **changes}))(content)

    return change


@pytest.mark.once
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda content: b"", "not a zip"),
        (lambda content: b"a text", "not a zip"),
        (lambda content: pickle.dumps({"weights": [1.0]}), "not a zip"),
        (lambda content: content[: len(content) // 2], "not a zip"),
        (flipped, "model.weights.h5 in it is damaged"),
        (without(CONFIG), "must hold config.json"),
        (without(WEIGHTS), "must hold config.json, metadata.json, model.weights.h5"),
        (with_member("model.weights.npz", b""), "model.weights.npz"),
        (with_member("assets/words.txt", b"a"), "assets/words.txt"),
        (with_member(WEIGHTS, b"no weights"), "file signature not found"),
        (with_member(CONFIG, b"{"), "config.json in it is not JSON"),
        (with_member(CONFIG, b"[" * 100_000), "config.json in it is not JSON"),
        (with_member(CONFIG, b"[]"), "config.json in it must hold a JSON object"),
        (with_config(config={"vocabulary_size": "many"}), "vocabulary_size"),
        (with_config(config={"vocabulary_size": 4, "unheard_of": 1}), "unheard_of"),
        (with_config(build_config=None), "no weights"),
        (with_config(build_config={"input_shape": "abc"}), "model.keras"),
    ],
)
def test_a_damaged_model(run, capsys, data, content, damage, said):
    run.path("model.keras").write_bytes(damage(content))
    assert said in error_of_model(run, capsys, data)


@pytest.mark.parametrize("sizes", [{"vocabulary_size": 5}, {"embedding_dim": 3}, {"num_layers": 2, "hidden_units": 3}])
def test_weights_of_another_model(run, tmp_path, capsys, data, content, sizes):
    other = members(saved(make_model(**sizes), tmp_path))
    for mine, its in ((content, other[WEIGHTS]), (zipped(other), members(content)[WEIGHTS])):
        run.path("model.keras").write_bytes(with_member(WEIGHTS, its)(mine))
        error_of_model(run, capsys, data)


@pytest.mark.once
def test_another_class(run, tmp_path, capsys, data):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    run.path("model.keras").write_bytes(saved(model, tmp_path))
    assert "must be an AWDLSTM's. Received: ['Sequential'" in error_of_model(run, capsys, data)


@pytest.mark.once
def test_a_directory_for_a_file(run, capsys):
    for name in ("model.keras", "vocabulary.json", "config.json"):
        run.path(name).unlink()
        run.path(name).mkdir()
        with pytest.raises(FileNotFoundError, match=f"no {name}"):
            Run.open(run.directory).model()
        assert f"no {name}" in error_of(capsys, "generate", run.directory)
        run.path(name).rmdir()
        run.path(name).write_text('{"words": ["a"]}', encoding="utf-8")


def outcome(run, content, model):
    """The result of loading a model file: "equal", or the message. Any other exception fails the test."""
    run.path("model.keras").write_bytes(content)
    try:
        loaded = run.model()
    except ValueError as error:
        line = str(error)
        assert str(run.path("model.keras")) in line
        assert len(line.splitlines()) == 1
        return line
    assert loaded.get_config() == model.get_config()
    for mine, its in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)
    return "equal"


@pytest.mark.once
def test_a_model_cut_short_anywhere(run, content, model):
    for size in (*range(0, len(content), 61), *range(len(content) - 120, len(content))):
        assert "not a zip" in outcome(run, content[:size], model)
    assert outcome(run, content, model) == "equal"


@pytest.mark.once
def test_a_model_with_flipped_bits(run, content, model):
    rng = random.Random(0)
    data = [content.index(member) for member in members(content).values()]
    data = [range(start, start + len(member)) for start, member in zip(data, members(content).values(), strict=True)]
    # The zip's tables are at its end, and each file has a header before it.
    places = [*rng.sample(range(len(content)), 400), *range(data[-1].stop, len(content))]
    equal = 0
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.randrange(8)
        is_equal = outcome(run, bytes(damaged), model) == "equal"
        # If it loads, only a date or an unused flag was damaged.
        assert not (is_equal and any(place in part for part in data))
        equal += is_equal
    assert 0 < equal < len(places) / 4


@pytest.mark.once
def test_a_checkpoint_is_kept_where_memory_runs_out(model, tmp_path, monkeypatch):
    def load_weights(self, path):
        raise MemoryError

    checkpoints = Checkpoints(tmp_path)
    for epoch in (1, 2):
        checkpoints.write(epoch, model)
    monkeypatch.setattr(keras.Model, "load_weights", load_weights)
    with pytest.raises(MemoryError):
        checkpoints.load(model)
    assert [path.name for path in checkpoints.paths()] == ["checkpoint-2.keras", "checkpoint-1.keras"]


@pytest.mark.once
def test_members_that_fit_their_checksums_and_yet_are_damaged(run, content):
    rng = random.Random(0)
    parts = members(content)
    refused = []
    for name in [CONFIG, WEIGHTS] * 60:
        damaged = bytearray(parts[name])
        for place in rng.sample(range(len(damaged)), 4):
            damaged[place] = rng.randrange(256)
        run.path("model.keras").write_bytes(zipped({**parts, name: bytes(damaged)}))
        # Without a checksum, a changed weight can't be detected. There must only be no other kind of error.
        try:
            run.model()
        except ValueError as error:
            refused.append(str(error))
    assert len(refused) > 40
    assert all(len(line.splitlines()) == 1 for line in refused)


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def lambda_model(path, directory):
    inputs = keras.Input((2,))
    layer = keras.layers.Lambda(lambda x, path: [open(path, "w").close(), x][1], arguments={"path": path})
    outputs = layer(inputs)
    return saved(keras.Model(inputs, outputs), directory)


def lambda_config(content):
    layer = next(layer for layer in json.loads(members(content)[CONFIG])["config"]["layers"] if "Lambda" in str(layer))
    return layer["config"]["function"]


@pytest.mark.once
def test_code_in_a_model_is_not_run(run, tmp_path, capsys, data, content):
    made = tmp_path / "made by the payload"
    harm = lambda_model(str(made), tmp_path)
    assert made.exists()
    made.unlink()
    # Without the checks, the malicious files would work.
    keras.saving.load_model(tmp_path / "saved.keras", safe_mode=False)
    assert made.exists()
    made.unlink()
    pickle.loads(pickle.dumps(Payload(str(made)))).close()
    assert made.exists()
    made.unlink()

    function = lambda_config(harm)
    assert function["class_name"] == "__lambda__"
    good = json.loads(members(content)[CONFIG])
    touch = f"touch '{made}'"
    for bad, said in (
        (harm, "must be an AWDLSTM's"),
        (with_config(class_name="__lambda__", config=function["config"])(content), "must be an AWDLSTM's"),
        # With a registered name, Keras also deserializes a dtype.
        (
            with_config(config={**good["config"], "dtype": {**function, "registered_name": "awd_keras>AWDLSTM"}})(
                content
            ),
            "Requested the deserialization of a Python lambda",
        ),
        (with_config(config={**good["config"], "embedding_dim": function})(content), "embedding_dim"),
        *(
            (with_config(module=module, class_name=name, registered_name=registered, config=touch)(content), "AWDLSTM")
            for module, name, registered in (
                ("os", "system", None),
                ("os", "system", "os>system"),
                ("os", "function", "system"),
                ("builtins", "function", "exec"),
                ("subprocess", "Popen", "awd_keras>Popen"),
                ("os", "system", "awd_keras>AWDLSTM"),
            )
        ),
        *(
            (with_config(config={**good["config"], "dtype": inner})(content), "model.keras")
            for inner in (
                {"module": "os", "class_name": "system", "registered_name": "os>system", "config": {"command": touch}},
                {"module": "os", "class_name": "function", "registered_name": "system", "config": "system"},
            )
        ),
        (with_member("payload.pkl", pickle.dumps(Payload(str(made))))(content), "payload.pkl"),
        (with_member(WEIGHTS, pickle.dumps(Payload(str(made))))(content), "file signature not found"),
        (with_member(CONFIG, pickle.dumps(Payload(str(made))))(content), "config.json in it is not JSON"),
        (pickle.dumps(Payload(str(made))), "not a zip"),
    ):
        run.path("model.keras").write_bytes(bad)
        assert said in error_of_model(run, capsys, data)
        assert not made.exists()


@pytest.mark.once
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b"\xff\xfe", "can't decode"),
        (b"[" * 100_000, "recursion"),
        (b'["a", "b"]', 'no {"words": [...]}'),
        (b'{"words": ["<eos>", "a", "a", "<unk>"]}', "each word once. Received: 'a' twice"),
        (b'{"words": ["<eos>", "a", 3, "<unk>"]}', "must hold strings. Received: 3"),
        (b'{"words": ["<eos>", "a", ["b"], "<unk>"]}', "must hold strings"),
        (b'{"words": ["<eos>", "a", "\\ud800", "<unk>"]}', "surrogates"),
        (b'{"words": ["<eos>", "a\\nb", "a\\nb"]}', "each word once"),
    ],
)
def test_a_bad_vocabulary(run, capsys, data, text, said):
    path = run.path("vocabulary.json")
    path.write_bytes(text)
    for read in (run.vocabulary, run.model):
        with pytest.raises(ValueError, match="doesn't hold a vocabulary") as error:
            read()
        assert str(path) in str(error.value)
    for arguments in (("evaluate", run.directory, "--data", data), ("generate", run.directory)):
        line = error_of(capsys, *arguments)
        assert said in line
        assert str(path) in line


@pytest.mark.once
@pytest.mark.parametrize("words", [WORDS[:3], [*WORDS, "c"]])
def test_a_vocabulary_that_does_not_fit(run, capsys, data, words):
    Vocabulary(words).save(run.path("vocabulary.json"))
    for arguments in (("evaluate", run.directory, "--data", data), ("generate", run.directory)):
        line = error_of(capsys, *arguments)
        assert f"vocabulary.json doesn't fit the model: it has {len(words)} words" in line


@pytest.mark.once
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"preset": "large"}, "`preset` must be one of 'ptb', 'wikitext-2', 'ptb-small', 'tiny', 'ptb-character', "),
        ({"preset": "large"}, "'enwik8', 'tiny-character'. Received: 'large'"),
        ({"preset": ["tiny"]}, "Received: ['tiny']"),
        ({"preset": {}}, "Received: {}"),
        ({"preset": None}, "Received: None"),
        ({"bptt": "70"}, "`bptt` must be a positive integer. Received: bptt='70'"),
        ({"bptt": 7.5}, "bptt=7.5"),
        ({"bptt": True}, "bptt=True"),
        ({"bptt": 0}, "bptt=0"),
        ({"bptt": [[]]}, "bptt=[[]]"),
        ({"format": 2}, "is of format 2, and this version of awd_keras reads format 1"),
        ({"format": "1"}, "is of format '1'"),
        ({"format": None}, "is of format None"),
    ],
)
def test_a_bad_config(run, capsys, data, changes, said):
    config = {**run.config, **changes}
    run.path("config.json").write_text(json.dumps(config), encoding="utf-8")
    line = error_of(capsys, "evaluate", run.directory, "--data", data)
    assert said in line
    assert str(run.directory) in line


@pytest.fixture
def resumable(run, data):
    """A run that can be resumed, and in which no epoch has ended."""
    corpus = Corpus.from_directory(data)
    config = {
        **run.config,
        "model": make_model().get_config(),
        "optimizer": NTASGD().get_config(),
        "epochs": 1,
        "batch_size": 2,
        "length_multiple": 1,
        "seed": 0,
        "skip_nonfinite": False,
        "text": corpus.source,
        "text_digest": corpus.digest,
    }
    run.write_config(config)
    return run


@pytest.mark.once
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"preset": ["tiny"]}, "`preset`"),
        ({"epochs": "3"}, "`epochs` must be a positive integer"),
        ({"batch_size": None}, "`batch_size` must be a positive integer"),
        ({"variable": 1}, "`variable` must be a boolean"),
        ({"length_multiple": 0}, "`length_multiple` must be a positive integer"),
        ({"seed": -1}, "`seed` must be an integer"),
        ({"skip_nonfinite": "no"}, "`skip_nonfinite` must be a boolean"),
        ({"model": "an LSTM"}, "`model` must be an object"),
        ({"model": {"vocabulary_size": "many"}}, "'model' is no config of AWDLSTM: "),
        ({"model": {"vocabulary_size": 4, "unheard_of": 1}}, "unheard_of"),
        ({"optimizer": {"learning_rate": {"a": 1}}}, "'optimizer' is no config of NTASGD: "),
        ({"optimizer": {"unheard_of": 1}}, "'optimizer' is no config of NTASGD: "),
        ({"text": "/a/b"}, "`text` must be an object"),
        ({"text": {"directory": 1, "min_count": 1}}, "`text` must hold a directory"),
        ({"text": {"min_count": 1}}, "`text` must hold a directory"),
        ({"text": {"directory": "/a/b", "min_count": "x"}}, "`min_count`"),
        ({"text": {"directory": "/a/b", "min_count": 1, "cache": 2}}, "`text` must hold a cache's directory"),
        ({"text_digest": ["a"]}, "another text"),
    ],
)
def test_a_bad_config_of_a_run_that_is_resumed(resumable, capsys, changes, said):
    resumable.write_config({**resumable.config, **changes})
    assert said in error_of(capsys, "train", "--resume", resumable.directory)


@pytest.mark.once
def test_epochs_that_are_none_are_told_before_they_are_replaced(resumable, capsys):
    resumable.write_config({**resumable.config, "epochs": "3"})
    assert "epochs='3'" in error_of(capsys, "train", "--resume", resumable.directory, "--epochs", "2")


@pytest.mark.once
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"epoch": 1}', "line 1 must hold a number 'train_perplexity'"),
        ('{"epoch": "one"}', "line 1 must hold a number 'epoch'. Received: 'one'"),
        ('{"epoch": null}', "line 1 must hold a number 'epoch'. Received: None"),
        ("[]\n{}", "line 1 must hold a JSON object"),
    ],
)
def test_bad_metrics_of_a_run_that_is_resumed(resumable, capsys, line, said):
    resumable.path("metrics.jsonl").write_text(line + "\n", encoding="utf-8")
    assert said in error_of(capsys, "train", "--resume", resumable.directory)


@pytest.mark.once
def test_missing_settings(run, capsys, data):
    for name in ("preset", "bptt", "format"):
        config = {key: value for key, value in run.config.items() if key != name}
        run.path("config.json").write_text(json.dumps(config), encoding="utf-8")
        line = error_of(capsys, "evaluate", run.directory, "--data", data)
        assert "format None" in line if name == "format" else f"config.json has no '{name}'" in line
        run.path("config.json").write_text('{"format": 1, "preset": "tiny", "bptt": 5}', encoding="utf-8")


@pytest.mark.once
@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b"3", b"\xff", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"])
def test_json_that_is_none(run, capsys, text):
    run.path("config.json").write_bytes(text)
    assert "config.json" in error_of(capsys, "generate", run.directory)
    run.path("result.json").write_bytes(text)
    with pytest.raises(ValueError, match=r"result\.json (is not JSON|must hold a JSON object)"):
        _ = run.result
