"""What `test_devices.py` runs in processes of its own, as a framework's devices are counted when it starts.

python several_devices.py resume RUN MASKS      a run goes on, on all devices; and what each of these draws
python several_devices.py split FILE            a vocabulary and rows that are split, on JAX
python several_devices.py command ARGUMENT...   the command line
"""

import os
import sys
from pathlib import Path

# How many devices there are, a CPU's; rows that can be split between them, and not those of the validation on two of
# the backends.
DEVICES = {"jax": 4, "tensorflow": 3, "torch": 2}
BACKEND = os.environ["KERAS_BACKEND"]
ROWS, WINDOWS, BPTT = 12, 10, 6
RATES = ("input_dropout", "hidden_dropout", "output_dropout", "embedding_dropout", "weight_drop")


def make_devices():
    """As many devices as `DEVICES` says; a process of PyTorch's has one."""
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={DEVICES[BACKEND]}"
    if BACKEND == "tensorflow":
        import tensorflow as tf

        devices = [tf.config.LogicalDeviceConfiguration()] * DEVICES[BACKEND]
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], devices)


def corpus():
    """Other words to validate on than to train on, so that validation only becomes worse, and averaging begins."""
    import numpy as np

    from awd_keras import data

    rng = np.random.default_rng(0)
    train = rng.integers(0, 6, ROWS * WINDOWS * BPTT + 1)
    valid = rng.integers(3, 9, 10 * BPTT + 1)
    return data.Corpus(train, valid, valid[: BPTT + 1], data.Vocabulary(list("abcdefghi")))


def train(directory):
    """An epoch of a run, on one device."""
    from awd_keras import runs

    runs.train(
        directory,
        corpus(),
        model={"embedding_dim": 4, "hidden_units": 6, "num_layers": 2, **dict.fromkeys(RATES, 0.0)},
        # Each step is clipped.
        optimizer={"learning_rate": 5.0, "non_monotone_interval": 1, "global_clipnorm": 0.05},
        epochs=1,
        batch_size=ROWS,
        bptt=BPTT,
        variable=False,
        verbose=0,
    )


def resume(directory, devices):
    """Four epochs more."""
    from awd_keras import runs

    runs.resume(directory, corpus(), epochs=5, devices=devices, verbose=0)


def draw(directory):
    """The masks of two layers, the second's alike on each row, in a file for each device that draws for itself."""
    import numpy as np
    from keras import ops

    from awd_keras import layers
    from awd_keras.backend import devices

    locked = layers.LockedDropout(0.5, seed=1)
    dropped = layers.WeightDropLSTM(20, weight_drop=0.5, seed=1)
    locked.build((2, 1, 50))
    dropped.build((2, 1, 50))

    def masks():
        rows = locked(ops.ones((2, 1, 50)), training=True)
        kernel = dropped._drop(ops.ones((20, 80)), 0.5)
        return ops.concatenate([ops.reshape(rows, (-1,)), ops.reshape(kernel, (-1,))])

    if BACKEND == "tensorflow":
        import tensorflow as tf

        strategy = tf.distribute.get_strategy()
        drawn = [np.array(x) for x in strategy.experimental_local_results(strategy.run(masks))]
    else:
        drawn = [ops.convert_to_numpy(masks())]
    for number, values in enumerate(drawn, start=devices.process()[0]):
        np.save(Path(directory, f"{number}.npy"), values)


def fit_split():
    """Fits a model for an epoch, on whatever devices there are; the model and its loss."""
    from awd_keras import callbacks, models, optimizers
    from awd_keras.data import BPTTDataset

    words = 8
    dataset = BPTTDataset(corpus().train, ROWS, BPTT, variable=False)
    model = models.AWDLSTM(words, embedding_dim=4, hidden_units=6, num_layers=1, seed=1, **dict.fromkeys(RATES, 0.0))
    model.compile(optimizers.NTASGD(5.0, global_clipnorm=0.05))
    synchronize = callbacks.awd_lstm(dataset)[-1]
    loss = model.fit(dataset, epochs=1, callbacks=[synchronize], verbose=0).history["loss"]
    return model, loss


def collectives(model):
    """What devices exchange in a training step: the names and the sizes of JAX's operations."""
    import re

    import jax
    import numpy as np
    from keras.src.backend.jax.trainer import _distribute_data

    window = np.zeros((ROWS, BPTT), "int32")
    state = model._get_jax_state(True, True, True, True)
    # As Keras compiles it, so that it needn't be compiled again.
    step = jax.jit(model.train_step, donate_argnums=0, out_shardings=(None, model._get_state_sharding_spec()))
    program = step.lower(state, _distribute_data((window, window, None))).compile().as_text()
    kinds = "all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter"
    return re.findall(rf" ({kinds})(?:-start)?\(", program)


def split(path):
    """Fits on four devices, data parallel and then on two by two, and writes what came of it."""
    import json

    import keras
    import numpy as np

    from awd_keras import models

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
    Path(path).write_text(json.dumps(found), encoding="utf-8")


def main(command, *arguments):
    make_devices()
    if command == "resume":
        from awd_keras.backend import devices

        run, masks = arguments
        resume(run, "all" if BACKEND != "torch" else DEVICES[BACKEND])
        if BACKEND == "torch":
            # Each number in turn, as processes take long to start.
            for number in range(DEVICES[BACKEND]):
                devices.framework.process = devices.process = lambda number=number: (number, DEVICES[BACKEND])
                draw(masks)
        else:
            devices.run_on(DEVICES[BACKEND], draw, masks)
    elif command == "split":
        split(*arguments)
    else:
        from awd_keras import cli

        sys.exit(cli.main(arguments))


if __name__ == "__main__":
    main(*sys.argv[1:])
