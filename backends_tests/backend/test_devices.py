"""Training on several devices gives the same as on one, on each framework. All devices are CPUs."""

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from awd_keras import callbacks, cli, data, models, optimizers, runs
from awd_keras.backend import devices
from awd_keras.runs.loading import check_saved_model
from backends_tests.backend import several_devices
from backends_tests.backend.several_devices import BACKEND, DEVICES

SCRIPT = several_devices.__file__


def start(*arguments):
    # Warnings are errors there too, except those of TensorFlow and PyTorch when they are imported.
    return subprocess.Popen(
        [sys.executable, SCRIPT, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process):
    _, errors = process.communicate(timeout=900)
    assert process.returncode == 0, errors


@pytest.fixture(scope="module")
def directories(tmp_path_factory):
    """A run of five epochs on one device, the same run with the last four on several, and what was recorded in both."""
    names = ("one", "several", "found_on_one", "found_on_several")
    one, several, *found = directories = [tmp_path_factory.mktemp(name) for name in names]
    several_devices.train(one)
    shutil.copytree(one, several, dirs_exist_ok=True)
    process = start("resume", several, found[1])
    several_devices.resume(one, None, found[0])
    finish(process)
    return directories


def metrics(directory):
    """The metrics of a run, without times."""
    timed = ("seconds", "tokens_per_second")
    lines = runs.Run.open(directory).metrics()
    return [{name: value for name, value in line.items() if name not in timed} for line in lines]


@pytest.mark.thorough
def test_metrics_trigger_and_result(directories):
    one, several = (runs.Run.open(directory) for directory in directories[:2])
    assert several.setting("devices") == DEVICES[BACKEND]
    lines, expected = metrics(directories[1]), metrics(directories[0])
    assert [line["averaging"] for line in expected] == [False, False, True, True, True]
    for line, other in zip(lines, expected, strict=True):
        assert line == pytest.approx(other, rel=1e-4)
    names = ("valid_perplexity", "test_perplexity", "triggered_epoch", "skipped_steps", "epochs")
    results = [[run.result[name] for name in names] for run in (several, one)]
    assert results[0] == pytest.approx(results[1], rel=1e-4)


def variables(directory, epoch=5):
    """All variables of the last checkpoint: weights, averages, raw iterates, the trigger's log."""
    run = runs.Run.open(directory)
    network = models.AWDLSTM.from_config(run.setting("model"))
    network.build((1, None))
    network.compile(optimizers.NTASGD.from_config(run.setting("optimizer")))
    network.optimizer.build(network.trainable_variables)
    assert run.checkpoints.load(network) == epoch
    held = {v.path: v for v in (*network.trainable_variables, *network.optimizer.variables)}
    held |= {f"iterate {i}": iterate for i, iterate in enumerate(network.optimizer._iterates)}
    assert len(network.optimizer._iterates) == len(network.trainable_variables)
    return {name: keras.ops.convert_to_numpy(value) for name, value in held.items()}


@pytest.mark.thorough
def test_checkpoint(directories):
    several, one = (variables(directory) for directory in (directories[1], directories[0]))
    assert int(one["ntasgd/iteration"]) == several_devices.WINDOWS * 5
    assert set(several) == set(one)
    for path, value in one.items():
        np.testing.assert_allclose(several[path], value, rtol=1e-4, atol=1e-4 * np.abs(value).max(), err_msg=path)


@pytest.mark.thorough
def test_files_are_written_once(directories):
    one, several = (sorted(path.name for path in directory.iterdir()) for directory in directories[:2])
    assert several == one


@pytest.mark.thorough
def test_carried_state(directories):
    """Each device has the state of its own rows, in the order of the batch."""
    one, several = (
        np.concatenate([np.load(path) for path in sorted(directory.glob("states-*"))]) for directory in directories[2:]
    )
    assert one.shape == (several_devices.ROWS, 2 * (6 + 4))
    np.testing.assert_allclose(several, one, rtol=1e-4, atol=1e-4 * np.abs(one).max())
    # All rows differ, so that a wrong order would be seen.
    for row, other in itertools.combinations(one, 2):
        assert np.abs(row - other).max() > 1e-2 * np.abs(one).max()


@pytest.mark.thorough
def test_resumed_on_several_devices_to_the_last_bit(directories):
    """With masks, stopped in the second of two epochs: the result is as if uninterrupted."""
    whole, stopped = (directories[3] / name for name in ("whole", "stopped"))
    assert len(metrics(whole)) == 7
    assert metrics(stopped) == metrics(whole)
    after, expected = variables(stopped, 7), variables(whole, 7)
    for path, value in expected.items():
        np.testing.assert_array_equal(after[path], value, err_msg=path)


@pytest.mark.thorough
def test_gradient_accumulation(directories):
    """On TensorFlow it isn't possible, and an error says so before training begins."""
    found = directories[3]
    if BACKEND == "tensorflow":
        message = (found / "error.txt").read_text(encoding="utf-8")
        assert re.search("`gradient_accumulation_steps` must be None on several .*Received: .*steps=2", message)
        return
    model, loss = several_devices.fit_split(gradient_accumulation_steps=2)
    paths = sorted(found.glob("accumulated-*"))
    assert len(paths) == (DEVICES[BACKEND] if BACKEND == "torch" else 1)
    for several in map(np.load, paths):
        assert several["loss"] == pytest.approx(loss, rel=1e-4)
        for index, variable in enumerate(model.trainable_variables):
            value = variable.numpy()
            np.testing.assert_allclose(several[f"arr_{index}"], value, rtol=1e-4, atol=1e-4 * np.abs(value).max())


@pytest.mark.thorough
def test_another_optimizer(tmp_path):
    """The sum of all devices' gradients is clipped, and the weight decay is added once."""
    optimizer = {"name": "sgd", "learning_rate": 5.0, "weight_decay": 0.05, "global_clipnorm": 0.05}
    process = start("train", tmp_path / "several", repr(several_devices.MODEL), repr(optimizer))
    several_devices.train(tmp_path / "one", optimizer=optimizer)
    finish(process)
    one, several = (runs.Run.open(tmp_path / name).model().get_weights() for name in ("one", "several"))
    for value, expected in zip(several, one, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.thorough
def test_masks_differ_between_devices(directories):
    drawn = np.load(directories[3] / "drawn.npy")
    assert drawn.shape == (DEVICES[BACKEND], 2, 150)
    words, features, outputs = np.split(drawn, 3, axis=-1)
    # Words and weights are dropped in all rows of a device together, features in each row separately.
    np.testing.assert_array_equal(words[:, 0], words[:, 1])
    # `atol`, as some outputs are sums that are almost zero.
    np.testing.assert_allclose(outputs[:, 0], outputs[:, 1], rtol=1e-5, atol=1e-6)
    for masks in (words[:, 0], features.reshape(-1, 50)):
        assert set(np.unique(masks)) == {0, 2}
        for mine, theirs in itertools.combinations(masks, 2):
            assert 0.2 < np.mean(mine == theirs) < 0.8  # about half of them agree by chance
    for mine, theirs in itertools.combinations(outputs[:, 0], 2):
        assert np.abs(mine - theirs).max() > 1e-2


def test_a_dataset_that_every_process_reads_whole(monkeypatch):
    monkeypatch.setattr(devices, "process", lambda: (0, 2))
    dataset = data.BPTTDataset(np.arange(100) % 9, batch_size=4)
    model = models.AWDLSTM(9, embedding_dim=2, hidden_units=2, num_layers=1)
    model.compile()
    with pytest.raises(ValueError, match=r"2 processes.*`dataset.shard\(2, number\)`. Received: a dataset of 1 shards"):
        model.fit(dataset, callbacks=callbacks.awd_lstm(dataset), verbose=0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("0", "Option --devices must be a positive integer. Received: 0"),
        ("two", "Option --devices must be a positive integer, or all"),
        # More than there are; or on PyTorch, where any number of processes works, more than the rows can be split into.
        ("7", "There are only 1 devices. Received: devices=7|Option --devices must divide .*Received: 7 with batch_s"),
    ],
)
def test_devices_that_there_are_not(given, message, tmp_path, capsys):
    try:
        status = cli.main(["train", "--output", str(tmp_path / "run"), "--devices", given])
    except SystemExit as stop:  # raised by argparse
        status = stop.code
    lines = capsys.readouterr().err.splitlines()
    assert status == 2
    assert len(lines) == 1
    assert re.search(message, lines[0])
    assert not (tmp_path / "run").exists()


@pytest.mark.thorough
def test_a_run_keeps_its_number_of_devices(directories, tmp_path):
    """If it is resumed or fine-tuned on a machine with fewer, an error says so, and another number can be given."""
    with pytest.raises(ValueError, match="There are only 1 devices|must divide the rows"):
        runs.finetune(directories[0], tmp_path / "run", corpus=several_devices.corpus(), devices=7)
    several = tmp_path / "several"
    shutil.copytree(directories[1], several)
    if BACKEND != "torch":  # PyTorch allows any number of processes
        for go_on in (
            lambda: runs.finetune(several, tmp_path / "run", corpus=several_devices.corpus()),
            lambda: runs.resume(several, several_devices.corpus(), epochs=6, verbose=0),
        ):
            with pytest.raises(ValueError, match=f"There are only 1 devices. Received: devices={DEVICES[BACKEND]}"):
                go_on()
    runs.resume(several, several_devices.corpus(), epochs=6, devices=1, verbose=0)
    run = runs.Run.open(several)
    assert (run.setting("devices"), len(run.metrics())) == (1, 6)


def test_all_devices_are_one_here():
    """Without another setting, a CPU is one device, however many cores it has."""
    assert devices.count_devices("all") == 1
    assert devices.run_on(1, max, 2, 3) == 3


if BACKEND == "jax":

    @pytest.mark.thorough
    def test_rows_and_words_are_split(tmp_path):
        finish(start("split", tmp_path / "found.json"))
        found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
        model, loss = several_devices.fit_split()
        weights = [variable.numpy() for variable in model.trainable_variables]
        scores = several_devices.scores(model)
        for several in found.values():
            assert several["loss"] == pytest.approx(loss, rel=1e-4)
            assert several["scores"] == pytest.approx(scores, rel=1e-3)
            for value, expected in zip(several["weights"], weights, strict=True):
                np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
            for value, alone in zip(several["dropped_gradients"], several["gradients_alone"], strict=True):
                # The gradient of a weight is the sum over the devices that haven't dropped it.
                np.testing.assert_allclose(value, np.sum(alone, axis=0), rtol=1e-4, atol=1e-5)
                assert not np.allclose(alone[0], alone[1], atol=1e-3)
        rows, words = found["rows"], found["words"]
        assert rows["collectives"] == ["all-reduce"]  # the gradients, all at once
        assert set(words["collectives"]) == {"all-reduce"}  # no operation gathers the table or the logits
        batch, time, vocabulary, size = several_devices.ROWS, several_devices.BPTT, 8, 4
        assert rows["logits"] == [batch // 4, time, vocabulary]
        assert words["logits"] == [batch // 2, time, vocabulary // 2]
        assert rows["parts"]["awdlstm/lstm_0/training_h"] == [batch // 4, size]
        for path, shape in words["parts"].items():
            if "embedding" in path and "seed" not in path:
                expected = [vocabulary // 2] if "bias" in path else [vocabulary // 2, size]
                assert shape == expected, path

    def test_meshes_without_a_place_for_words():
        for shape, names in (((1,), ("batch",)), ((1,), ("model",)), ((1, 1), ("model", "batch"))):
            mesh = keras.distribution.DeviceMesh(shape, names)
            with pytest.raises(ValueError, match=r"`mesh` must have .* 'model'. Received: axis_names="):
                models.layout_map(mesh)

else:

    def test_variables_are_not_split():
        mesh = keras.distribution.DeviceMesh((1, 1), ("batch", "model"), devices=["cpu:0"])
        with pytest.raises(NotImplementedError, match=f"only JAX splits .* Received: the backend {BACKEND}"):
            models.layout_map(mesh)


if BACKEND == "torch":

    @pytest.mark.thorough
    def test_a_device_that_is_killed(tmp_path):
        """The run ends with a message, and can be resumed from a whole checkpoint."""
        run = tmp_path / "run"
        sizes = "--embedding-dim 4 --hidden-units 4 --num-layers 1 --batch-size 12 --bptt 70 --epochs 999"
        process = start("command", "train", "--output", run, "--devices", 2, *sizes.split())
        while not (run / "checkpoint-1.keras").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        # The newer one of the two processes.
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
        os.kill(int(children[-1]), signal.SIGKILL)
        _, errors = process.communicate(timeout=900)
        assert process.returncode == 2
        (checkpoint,) = runs.Checkpoints(run).paths()[:1]
        check_saved_model(checkpoint)
        kept = f"{checkpoint} is whole. To go on: awd-keras train --resume {run}"
        assert errors.splitlines()[-1] == f"awd-keras: error: Process 2 of 2 was ended by SIGKILL. {kept}"
