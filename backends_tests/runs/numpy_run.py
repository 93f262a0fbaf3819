"""The epochs of a run in NumPy, and the corresponding values of a run's checkpoint."""

from pathlib import Path

import keras
import numpy as np

from awd_keras import runs
from awd_keras.data import BPTTDataset
from awd_keras.models import AWDLSTM
from awd_keras.optimizers import NTASGD
from backends_tests import oracle

# A run of each backend, without dropout, after 3 of 5 epochs; make_saved.py wrote them.
SAVED = Path(__file__).parent / "saved"


def optimizer_variables(directory, epoch):
    """The optimizer's variables in a checkpoint, by their meaning."""
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
    """The perplexity from pairs (mean cross-entropy of a window, number of targets)."""
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
