"""The processes that `test_devices.py` starts, as the number of a framework's devices is fixed when it starts.


python several_devices.py resume RUN FOUND      resumes a run on all devices, and writes what `look` and `draw` find
python several_devices.py train RUN MODEL [OPTIMIZER]    trains a run of this model for an epoch, on all devices
python several_devices.py split FILE            splits a vocabulary and rows, on JAX
python several_devices.py command ARGUMENT...   runs the command line
"""

import ast
import functools
import json
import os
import shutil
import sys
from pathlib import Path

# The number of CPU devices. Training rows can be split between them; validation rows can't on two of the backends.
DEVICES = {"jax": 4, "tensorflow": 3, "torch": 2}
BACKEND = os.environ["KERAS_BACKEND"]
ROWS, WINDOWS, BPTT = 12, 10, 6
RATES = ("input_dropout", "hidden_dropout", "output_dropout", "embedding_dropout", "weight_drop")


def make_devices():
    """Makes as many devices as `DEVICES` says. On PyTorch, each process has one device."""
    count = f"--xla_force_host_platform_device_count={DEVICES[BACKEND]}"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {count}".lstrip()
    if BACKEND == "tensorflow":
        import tensorflow as tf

        devices = [tf.config.LogicalDeviceConfiguration()] * DEVICES[BACKEND]
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], devices)


def corpus():
    """Validation has other words than training, so that validation only gets worse, and averaging begins."""
    import numpy as np

    from awd_keras import data

    rng = np.random.default_rng(0)
    train = rng.integers(0, 6, ROWS * WINDOWS * BPTT + 1)
    valid = rng.integers(3, 9, 10 * BPTT + 1)
    return data.Corpus(train, valid, valid[: BPTT + 1], data.Vocabulary(list("abcdefghi")))


MODEL = {"embedding_dim": 4, "hidden_units": 6, "num_layers": 2}


# With so small a norm, every step is clipped.
NTASGD = {"learning_rate": 5.0, "non_monotone_interval": 1, "global_clipnorm": 0.05}


def train(directory, model=MODEL, devices=1, optimizer=NTASGD):
    """Trains a run for an epoch, and returns its result."""
    from awd_keras import runs

    return runs.train(
        directory,
        corpus(),
        model={**model, **dict.fromkeys(RATES, 0.0)},
        devices=devices,
        optimizer=optimizer,
        epochs=1,
        batch_size=ROWS,
        bptt=BPTT,
        variable=False,
        verbose=0,
    )


def resume(directory, devices, found):
    """Trains four more epochs, while each process records what it sees."""
    from awd_keras import runs
    from awd_keras.backend import devices as engine

    run_on = engine.run_on
    engine.run_on = lambda count, train, *arguments: run_on(count, look, found, train, *arguments)
    try:
        runs.resume(directory, corpus(), epochs=5, devices=devices, verbose=0)
    finally:
        engine.run_on = run_on


def look(found, train, directory, *arguments):
    """Trains, and writes what only this process can see. On several devices, also runs `stop` and `accumulate`."""
    import numpy as np

    from awd_keras import models, runs
    from awd_keras.backend import devices

    fitted = []
    fit = models.AWDLSTM.fit

    @functools.wraps(fit)
    def keep(model, *arguments, **kwargs):
        fitted.append(model)
        return fit(model, *arguments, **kwargs)

    models.AWDLSTM.fit = keep
    try:
        result = train(directory, *arguments)
    finally:
        models.AWDLSTM.fit = fit
    (model,) = fitted
    states = [np.concatenate(on_each_device(part)) for lstm in model.lstms for part in lstm.training_state]
    np.save(Path(found, f"states-{devices.process()[0]}.npy"), np.concatenate(states, axis=-1))
    if runs.Run.open(directory).setting("devices") > 1:
        stop(found, train, directory, *arguments)
        accumulate(found)
    return result


def on_each_device(variable):
    """The rows of a variable on each device of this process, as many as belong to the device."""
    import numpy as np
    from keras import ops

    from awd_keras.backend import devices

    if BACKEND == "jax":
        parts = [shard.data for shard in sorted(variable.value.addressable_shards, key=lambda shard: shard.device.id)]
    elif BACKEND == "tensorflow":
        import tensorflow as tf

        parts = tf.distribute.get_strategy().experimental_local_results(variable.value)
    else:
        parts = [variable]
    own = ROWS // (len(parts) * devices.process()[1])
    return [np.array(ops.convert_to_numpy(part))[:own] for part in parts]


def stop(found, train, directory, *arguments):
    """Trains two more epochs with masks, and then the same again, but stopped in the second epoch and resumed."""
    from awd_keras import runs
    from awd_keras.backend import devices

    first = devices.process()[0] == 0
    whole, stopped = Path(found, "whole"), Path(found, "stopped")
    if first:
        shutil.copytree(directory, whole)
        run = runs.Run.open(whole)
        masks = {**run.setting("model"), **dict.fromkeys(RATES, 0.5)}
        run.write_config({**run.config, "model": masks, "epochs": 7})
    wait()
    train(whole, *arguments)
    if first:
        shutil.copytree(whole, stopped)
        Path(stopped, "checkpoint-7.keras").unlink()
    wait()
    train(stopped, *arguments)


def wait():
    """Waits until all processes are here."""
    if BACKEND == "torch":
        from torch import distributed

        distributed.barrier()


def accumulate(found):
    """Trains an epoch with gradient accumulation."""
    import numpy as np

    from awd_keras.backend import devices

    try:
        model, loss = fit_split(gradient_accumulation_steps=2)
    except ValueError as error:
        Path(found, "error.txt").write_text(str(error), encoding="utf-8")
        return
    weights = [variable.numpy() for variable in model.trainable_variables]
    np.savez(Path(found, f"accumulated-{devices.process()[0]}.npz"), *weights, loss=loss)


def draw():
    """What layers drop in two equal rows on each device of this process: words, features, and the outputs of an LSTM
    with dropped weights, each of shape (devices, 2, ...).
    """
    import numpy as np
    from keras import ops

    from awd_keras import layers

    embedding = layers.EmbeddingDropout(50, 1, 0.5, embeddings_initializer="ones", use_bias=False, seed=1)
    locked = layers.LockedDropout(0.5, seed=2)
    lstm = layers.WeightDropLSTM(50, weight_drop=0.5, seed=3)
    # On JAX, one program runs on all devices.
    rows = 2 * DEVICES[BACKEND] if BACKEND == "jax" else 2
    for layer in (embedding, locked, lstm):
        layer.build((rows, 2, 50))

    def masks():
        words = embedding(np.tile(np.arange(50), (rows, 1)), training=True)[..., 0]
        features = locked(ops.ones((rows, 2, 50)), training=True)[:, 0]
        return ops.concatenate([words, features, lstm(ops.ones((rows, 2, 50)), training=True)], axis=1)

    if BACKEND == "tensorflow":
        import tensorflow as tf

        strategy = tf.distribute.get_strategy()
        drawn = np.stack([np.array(x) for x in strategy.experimental_local_results(strategy.run(masks))])
    else:
        drawn = ops.convert_to_numpy(masks())
    return np.reshape(drawn, (-1, 2, 150))


def dropped_gradients(rows):
    """On JAX, the gradients of an LSTM with weight drop, for some rows of a batch with padding.

    With padding, Keras's loop runs; `fit_split` runs the fused loop.
    """
    import jax
    import numpy as np
    from keras.initializers import RandomUniform

    from awd_keras.layers import WeightDropLSTM

    x = np.random.default_rng(0).normal(size=(8, 3, 4)).astype("float32")[rows]
    padding = (np.arange(3) < np.array([[1], [2], [3], [3]] * 2))[rows]
    initializers = dict.fromkeys(("kernel_initializer", "recurrent_initializer"), RandomUniform(-1, 1, seed=1))
    layer = WeightDropLSTM(5, weight_drop=0.5, kernel_weight_drop=0.5, seed=1, **initializers)
    layer.build(x.shape)

    def loss(weights, state):
        outputs, _ = layer.stateless_call(weights, state, x, mask=padding, training=True)
        return (outputs**2).sum()

    weights, state = ([v.value for v in vs] for vs in (layer.trainable_variables, layer.non_trainable_variables))
    return [np.asarray(gradient) for gradient in jax.jit(jax.grad(loss))(weights, state)]


def fit_split(**kwargs):
    """Fits a model for an epoch on all existing devices. Returns the model and its loss."""
    from awd_keras import callbacks, models, optimizers
    from awd_keras.backend import devices
    from awd_keras.data import BPTTDataset

    words = 8
    number, count = devices.process()
    dataset = BPTTDataset(corpus().train, ROWS, BPTT, variable=False).shard(count, number)
    model = models.AWDLSTM(words, embedding_dim=4, hidden_units=6, num_layers=1, seed=1, **dict.fromkeys(RATES, 0.0))
    model.compile(optimizers.NTASGD(5.0, global_clipnorm=0.05, **kwargs))
    synchronize = callbacks.awd_lstm(dataset)[-1]
    loss = model.fit(dataset, epochs=1, callbacks=[synchronize], verbose=0).history["loss"]
    return model, loss


def scores(model):
    """For one row, which can't be split between devices: its perplexity, and sums of the gradients' mean squares."""
    from awd_keras import evaluation

    tokens = corpus().train[: BPTT + 1]
    rms = evaluation.gradient_rms(model, tokens, batch_size=1, bptt=BPTT)
    return [evaluation.perplexity(model, tokens, bptt=BPTT).perplexity, *(float((r**2).sum()) for r in rms)]


def collectives(model):
    """The names and the sizes of JAX's operations by which devices exchange data in a training step."""
    import re

    import jax
    import numpy as np
    from keras.src.backend.jax.trainer import _distribute_data

    window = np.zeros((ROWS, BPTT), "int32")
    state = model._get_jax_state(True, True, True, True)
    # Compiled as Keras compiles it, so that it needn't be compiled again.
    step = jax.jit(model.train_step, donate_argnums=0, out_shardings=(None, model._get_state_sharding_spec()))
    program = step.lower(state, _distribute_data((window, window, None))).compile().as_text()
    kinds = "all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter"
    return re.findall(rf" ({kinds})(?:-start)?\(", program)


def split(path):
    """Fits on four devices, first data parallel and then as a mesh of two by two, and writes the results."""
    import jax
    import keras
    import numpy as np

    from awd_keras import models
    from awd_keras.backend import devices

    parallel = keras.distribution.DataParallel()
    mesh = keras.distribution.DeviceMesh((2, 2), ("batch", "model"))
    vocabulary = keras.distribution.ModelParallel(layout_map=models.layout_map(mesh))
    found = {}
    for name, distribution in (("rows", parallel), ("words", vocabulary)):
        with distribution.scope():
            model, loss = fit_split()
            logits = model(np.zeros((ROWS, BPTT), "int32"))
            found[name] = {
                "loss": loss,
                "weights": [v.numpy().tolist() for v in model.trainable_variables],
                "collectives": collectives(model),
                "parts": {
                    variable.path: variable.value.addressable_shards[0].data.shape
                    for variable in (*model.variables, *model.optimizer.variables)
                },
                "logits": logits.addressable_shards[0].data.shape,
            }
            found[name]["scores"] = scores(model)
            found[name]["dropped_gradients"] = [g.tolist() for g in dropped_gradients(slice(None))]
            own = 8 // distribution.num_model_replicas
        # The gradients of each device separately, with the masks that it draws.
        own_seed = devices.own_seed
        alone = []
        for number in range(8 // own):
            devices.own_seed = lambda seed, number=number: jax.random.fold_in(seed, number)
            alone.append(dropped_gradients(slice(number * own, (number + 1) * own)))
        devices.own_seed = own_seed
        found[name]["gradients_alone"] = [np.array(g).tolist() for g in zip(*alone, strict=True)]
    Path(path).write_text(json.dumps(found), encoding="utf-8")


def main(command, *arguments):
    make_devices()
    count = "all" if BACKEND != "torch" else DEVICES[BACKEND]
    if command == "train":
        directory, *settings = arguments
        model, optimizer = [*map(ast.literal_eval, settings), NTASGD][:2]
        train(directory, model, count, optimizer)
    elif command == "resume":
        import numpy as np

        from awd_keras.backend import devices

        run, found = arguments
        resume(run, count, found)
        if BACKEND == "torch":
            from awd_keras.backend.devices import torch as engine

            # Simulates one process after the other, as processes take long to start.
            drawn = []
            for number in range(DEVICES[BACKEND]):
                engine.process = devices.process = lambda number=number: (number, DEVICES[BACKEND])
                drawn.append(draw())
            drawn = np.concatenate(drawn)
        else:
            drawn = devices.run_on(DEVICES[BACKEND], draw)
        np.save(Path(found, "drawn.npy"), drawn)
    elif command == "split":
        split(*arguments)
    else:
        from awd_keras import cli

        sys.exit(cli.main(arguments))


if __name__ == "__main__":
    main(*sys.argv[1:])
