"""A run that was interrupted on one backend goes on on another; on each, as NumPy says that it must."""

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from awd_keras import runs
from awd_keras.data import BPTTDataset
from awd_keras.models import AWDLSTM
from awd_keras.optimizers import NTASGD
from backends_tests import oracle
from backends_tests.runs.small_run import make_corpus

SAVED = Path(__file__).parent / "saved"


def optimizer_variables(directory, epoch):
    """The optimizer's variables in a checkpoint, by what they are."""
    config = runs.Run.open(directory).config
    model = AWDLSTM.from_config(config["model"])
    model.compile(NTASGD.from_config(config["optimizer"]))
    model.build((10, None))
    model.optimizer.build(model.trainable_variables)
    assert runs.Checkpoints(directory).load(model) == epoch
    optimizer = model.optimizer
    return {
        "iterates": [keras.ops.convert_to_numpy(v).astype("float64") for v in optimizer._iterates],
        "averages": [keras.ops.convert_to_numpy(v).astype("float64") for v in optimizer._averages],
        "num_averaged": int(keras.ops.convert_to_numpy(optimizer._num_averaged)),
        "measures": [
            *keras.ops.convert_to_numpy(optimizer._last_measures),
            keras.ops.convert_to_numpy(optimizer._best_older_measure),
        ],
        "iterations": int(keras.ops.convert_to_numpy(optimizer.iterations)),
    }


def perplexity(cross_entropies):
    """Of pairs (mean over a window, number of targets)."""
    total, count = np.sum([(mean * count, count) for mean, count in cross_entropies], axis=0)
    return np.exp(total / count)


def go_on(weights, averages, count, epochs, config, corpus):
    """The rest of the run in NumPy: the raw iterates, the averages, and both perplexities of each epoch."""
    model, optimizer = config["model"], config["optimizer"]
    train = BPTTDataset(corpus.train, config["batch_size"], config["bptt"], seed=config["seed"])
    valid = BPTTDataset(corpus.valid, 10, config["bptt"], variable=False)
    perplexities = []
    for epoch in epochs:
        train.set_epoch(epoch)
        network = oracle.AWDLSTM(weights, config["batch_size"], model["alpha"], model["beta"])
        seen = []
        for x, y in (train[i] for i in range(len(train))):
            _, cross_entropy, gradients = network.loss_and_gradients(x, y)
            seen.append((cross_entropy, y.size))
            norm = np.sqrt(sum(np.sum(g**2) for g in gradients))
            scale = min(1.0, optimizer["global_clipnorm"] / norm)
            rate = optimizer["learning_rate"] * x.shape[1] / config["bptt"]
            decay = optimizer["weight_decay"]
            weights = [w - rate * (scale * g + decay * w) for w, g in zip(weights, gradients, strict=True)]
            network.weights = weights
            count += 1
            averages = [a + (w - a) / count for a, w in zip(averages, weights, strict=True)]
        network = oracle.AWDLSTM(averages, 10)
        held_out = [(network.loss_and_gradients(x, y)[1], y.size) for x, y in (valid[i] for i in range(len(valid)))]
        perplexities.append((perplexity(seen), perplexity(held_out)))
    return weights, averages, count, perplexities


@pytest.mark.parametrize("saved_by", ["torch", "jax", "tensorflow"])
def test_goes_on_as_numpy_says(tmp_path, saved_by):
    directory = tmp_path / "run"
    shutil.copytree(SAVED / saved_by, directory)
    # Any model will do: the best one was of an earlier epoch, and isn't needed here.
    shutil.copy(directory / "checkpoint-3.keras", directory / "model.keras")
    corpus = make_corpus()
    run = runs.Run.open(directory)
    config, lines = run.config, run.metrics()
    assert config["backend"] == saved_by
    before = optimizer_variables(directory, 3)
    assert before["num_averaged"] == 1

    result = runs.resume(directory, corpus, verbose=0)
    after = optimizer_variables(directory, 5)
    weights, averages, count, perplexities = go_on(
        before["iterates"], before["averages"], before["num_averaged"], (3, 4), config, corpus
    )
    assert result["triggered_epoch"] == 3
    assert result["backend"] == keras.backend.backend()
    assert after["num_averaged"] == count == 5
    assert after["iterations"] == before["iterations"] + 4
    for name, expected in (("iterates", weights), ("averages", averages)):
        for mine, its in zip(after[name], expected, strict=True):
            np.testing.assert_allclose(mine, its, rtol=0, atol=1e-5)
    new = run.metrics()
    assert new[:3] == lines
    for line, (train, valid) in zip(new[3:], perplexities, strict=True):
        assert line["train_perplexity"] == pytest.approx(train, rel=1e-5)
        assert line["valid_perplexity"] == pytest.approx(valid, rel=1e-5)
        assert line["averaging"] is True
    # The log: the interval is 1, so that the last measure is kept, and the best of all before it.
    measures = [line["valid_perplexity"] for line in new]
    assert after["measures"] == pytest.approx([measures[-1], min(measures[:-1])], rel=1e-6)
