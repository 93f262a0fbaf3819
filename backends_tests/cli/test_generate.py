"""`awd-keras generate`."""

import builtins

import numpy as np
import pytest

from awd_keras import cli, generation, inference, runs
from awd_keras.backend.devices import program
from awd_keras.data import Vocabulary
from awd_keras.models import AWDLSTM

pytestmark = pytest.mark.once

WORDS = ["<eos>", "<unk>", "the", "cat", "sat", "on", "mat"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    model = AWDLSTM(len(WORDS), embedding_dim=4, hidden_units=4, num_layers=1, seed=1)
    model.build((3, None))
    run = runs.Run.create(tmp_path_factory.mktemp("run"), {}, Vocabulary(WORDS))
    run.write_model(model)
    return str(run.directory)


def test_every_option_reaches_the_writing(directory, monkeypatch):
    called = {}

    def stream(model, vocabulary, prompt, **settings):
        called.update(settings, words=vocabulary.words, prompt=prompt, model=type(model))
        return iter(())

    monkeypatch.setattr(generation, "stream", stream)
    assert cli.main(["generate", directory]) == 0
    assert called == {
        "model": AWDLSTM,
        "words": tuple(WORDS),
        "prompt": [""],
        "max_words": 50,
        "temperature": 1.0,
        "top_k": None,
        "top_p": None,
        "seed": None,
        "stop": (),
        "min_p": None,
        "repetition_penalty": 1.0,
        "banned": (),
        "allow_unknown": False,
        "num_beams": None,
        "length_penalty": 1.0,
    }
    options = "--words 9 --temperature 0.5 --top-k 3 --top-p 0.8 --seed 7 --stop <eos> --stop cat --prompt a --prompt"
    more = "--min-p 0.2 --repetition-penalty 1.3 --banned sat --banned mat --allow-unknown --num-beams 4"
    more = f"{more} --length-penalty 0.5"
    assert cli.main(["generate", directory, *more.split(), *options.split(), "b c"]) == 0
    assert called == {
        "model": AWDLSTM,
        "words": tuple(WORDS),
        "prompt": ["a", "b c"],
        "max_words": 9,
        "temperature": 0.5,
        "top_k": 3,
        "top_p": 0.8,
        "seed": 7,
        "stop": ["<eos>", "cat"],
        "min_p": 0.2,
        "repetition_penalty": 1.3,
        "banned": ["sat", "mat"],
        "allow_unknown": True,
        "num_beams": 4,
        "length_penalty": 0.5,
    }


def test_prints_the_texts_of_generate(directory, capsys):
    run = runs.Run.open(directory)
    prompts = ["the cat", "", "on\nthe zebra"]
    texts = generation.generate(run.model(), run.vocabulary(), prompts, max_words=6, top_p=0.9, seed=4, stop="mat")
    arguments = ["--words", "6", "--top-p", "0.9", "--seed", "4", "--stop", "mat"]
    command = ["generate", directory, *arguments, *(part for prompt in prompts for part in ("--prompt", prompt))]
    assert cli.main(command) == 0
    assert capsys.readouterr().out == "\n\n".join(texts) + "\n"
    assert cli.main(["generate", directory, *arguments, "--prompt", "the cat"]) == 0
    assert capsys.readouterr().out == texts[0] + "\n"


def test_tells_of_words_that_the_model_does_not_know(directory, capsys):
    prompts = ["--prompt", "the zebra", "--prompt", "a cat\nthe zebra"]
    assert cli.main(["generate", directory, "--words", "2", "--seed", "1", *prompts]) == 0
    said = capsys.readouterr()
    assert said.err == ("awd-keras: 3 of 7 words read as <unk>, as the vocabulary lacks them: 'zebra', 'a'\n")
    assert said.out.startswith("the zebra")
    assert cli.main(["generate", directory, "--words", "2", "--prompt", "the <unk>\ncat"]) == 0
    assert capsys.readouterr().err == ""


def test_words_appear_as_they_are_drawn(directory, monkeypatch):
    """Each word is printed and flushed before the model runs for the next one."""
    seen = []

    def recorded(function, model):
        run = program(function, model)
        return lambda ids: seen.append("run") or run(ids)

    def printed(*text, end="\n", flush=False):
        seen.append((text, end, flush))

    monkeypatch.setattr(inference, "program", recorded)
    monkeypatch.setattr(builtins, "print", printed)
    assert cli.main(["generate", directory, "--prompt", "the", "--words", "3", "--seed", "1"]) == 0
    assert seen[0] == (("the",), "", True)
    assert [entry == "run" for entry in seen] == [False, *[True, False] * 3, False]
    assert all(entry == "run" or entry[1:] == ("", True) for entry in seen[:-1])
    assert seen[-1] == ((), "\n", False)


def test_a_model_that_diverged(directory, tmp_path, capsys):
    run = runs.Run.open(directory)
    model = run.model()
    model.embedding.bias.assign(np.full(len(WORDS), np.nan))
    broken = runs.Run.create(tmp_path / "broken", {}, run.vocabulary())
    broken.write_model(model)
    assert cli.main(["generate", str(tmp_path / "broken"), "--prompt", "the cat"]) == 2
    captured = capsys.readouterr()
    # The unfinished line of the text is ended.
    assert captured.out == "the cat\n"
    assert captured.err.startswith("awd-keras: error: Argument `model` must give finite logits")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--top-k", "0"], "--top-k"),
        (["--top-p", "1.5"], "--top-p"),
        (["--words", "0"], "--words"),
        (["--stop", "zebra"], "'zebra'"),
        (["--banned", "zebra"], "--banned"),
        (["--num-beams", "2", "--seed", "1"], "--num-beams"),
        (["--prompt", "the"] * 4, "Option --prompt must hold at most as many"),
    ],
)
def test_bad_options(directory, capsys, options, named):
    assert cli.main(["generate", directory, *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("awd-keras: error: ")
    assert named in error
    assert error.count("\n") == 1
