"""Trained models under Keras's NumPy backend, in another process.

With this backend, Keras imports JAX for convolutions and Fourier transforms. Here an empty module replaces JAX. This
shows that JAX isn't used, and lets the test run where it isn't installed.
"""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.once

SCRIPT = """
import contextlib, io, json, sys
from pathlib import Path

from backends_tests.stand_in import stand_in_for

stand_in_for("jax", "jaxlib")

import keras
import numpy as np

import awd_keras
from awd_keras import analysis, cli, data, evaluation, generation, models, runs
from backends_tests import oracle

assert keras.backend.backend() == "numpy"
assert not {"torch", "tensorflow"} & set(sys.modules)
assert not hasattr(sys.modules["jax"], "__file__")
here = Path(sys.argv[1])
vocabulary = data.Vocabulary([*"abcdefghi", "<unk>", "<eos>"])


def weights(model):
    return [np.asarray(variable) for variable in model.trainable_variables]


for saved in ("torch", "jax", "tensorflow"):
    model = keras.saving.load_model(f"backends_tests/models/saved/{saved}.keras")
    example = json.loads(Path(f"backends_tests/models/saved/{saved}.json").read_text(encoding="utf-8"))
    ids = np.array(example["ids"])
    logits = model(ids)
    assert isinstance(logits, np.ndarray)
    np.testing.assert_allclose(logits, np.array(example["logits"]), atol=1e-5)
    reference = oracle.AWDLSTM(weights(model), len(ids))
    for window in (ids, ids[:, ::-1]):
        expected = reference.forward(window)[0]
    np.testing.assert_allclose(model(ids[:, ::-1]), expected, atol=1e-5)  # with the state of the first window

# Greedy words, from the model and from its step.
reference = oracle.AWDLSTM(weights(model), 1)
words = ["b", "e"]
expected = reference.forward(vocabulary.encode(words)[None])[0]
for _ in range(6):
    word = np.argmax(expected[:, -1:], axis=-1)
    words += vocabulary.decode(word[0])
    expected = reference.forward(word)[0]
text = generation.generate(model, vocabulary, "b e", max_words=6, temperature=0)
assert text.replace("\\n", " <eos> ").split() == words, (text, words)
step, reference = models.inference_step(model), oracle.AWDLSTM(weights(model), 2)
state = [np.zeros((2, units), "float32") for units in (7, 7, 7, 7, 5, 5)]
for tokens in ([[3], [1]], [[4], [1]]):
    logits, *state = step([np.array(tokens), *state])
    np.testing.assert_allclose(logits, reference.forward(np.array(tokens))[0], atol=1e-5)

# Scores.
tokens = np.random.default_rng(0).integers(0, 11, 61)
rows, targets = tokens[:-1].reshape(2, 30), tokens[1:].reshape(2, 30)
log_p = oracle.log_softmax(oracle.AWDLSTM(weights(model), 2).forward(rows)[0])
loss = -np.take_along_axis(log_p, targets[..., None], axis=-1).mean()
score = evaluation.perplexity(model, tokens, batch_size=2, bptt=7)
assert abs(score.loss - loss) < 1e-5 and score.tokens == 60, (score, loss)

# The command line.
run = runs.Run.create(here / "run", {"preset": "tiny", "bptt": 7}, vocabulary)
largest = models.AWDLSTM(11, embedding_dim=5, hidden_units=7, num_layers=3)
largest.build((10, None))  # as evaluate reads validation text
for variable, value in zip(largest.trainable_variables, weights(model)):
    variable.assign(value)
run.write_model(largest)
for split in ("train", "valid", "test"):
    (here / f"{split}.txt").write_text("a b c d e f g h\\n" * 30, encoding="utf-8")


def said(status, *arguments):
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        actual = cli.main([*arguments, "--backend", "numpy"])
    assert actual == status, error.getvalue()
    return error.getvalue() if status else out.getvalue()


assert said(0, "generate", str(here / "run"), "--prompt", "b e", "--words", "6", "--temperature", "0") == text + "\\n"
assert "test  perplexity" in said(0, "evaluate", str(here / "run"), "--data", str(here))

# What is inside.
gates = analysis.analyse(model, vocabulary, "b e").layers[-1].gates
expected = oracle.AWDLSTM(weights(model), 1).forward(vocabulary.encode(["b", "e"])[None])[1][-1]
np.testing.assert_allclose(gates.h, expected, atol=1e-5)
error = said(2, "analyse", str(here / "run"), "--text", " ", "--output", str(here / "analysis"))
assert "at least one word" in error, error

# What takes gradients.
for train in (model.fit, model.train_on_batch):
    try:
        model.compile()
        train(ids, ids)
    except NotImplementedError as error:
        assert "not implemented for NumPy backend" in str(error)
    else:
        raise AssertionError("trained")
for command in (["train", "--output", str(here / "new")], ["evaluate", str(here / "run"), "--dynamic"], ["verify"]):
    error = said(2, *command)
    assert "Option --backend must be one of jax, torch, tensorflow. Received: 'numpy', which can't train" in error
    assert error.count("\\n") == 1, error
assert not (here / "new").exists()
print("done")
"""


def test_numpy(tmp_path):
    run = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", SCRIPT, str(tmp_path)],
        env={**os.environ, "KERAS_BACKEND": "numpy", "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.endswith("done\n")
