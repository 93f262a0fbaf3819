"""The strategies aren't for text alone: forecasting with and without them, the same LSTM otherwise.

The series is Mackey and Glass's (1977), which is chaotic, seen through noise. From 30 noisy values the model tells the
clean one 6 steps ahead. There are 250 windows to learn from, so that an LSTM of 64 units can learn them by heart.

    KERAS_BACKEND=jax python examples/time_series.py

Arguments: the number of epochs (default 40) and of seeds (default 3).

What came of it (PyTorch on a CPU, 40 epochs, 3 seeds; errors of a series of unit deviation): the LSTM alone 0.098, from
0.089 to 0.107; with Keras's dropouts 0.136, from 0.128 to 0.142; with these strategies 0.137, from 0.115 to 0.153. Here
they don't help: with noisy inputs, and the best epoch kept, there is little left to regularize.
"""

import itertools
import sys

import keras
import numpy as np

from awd_keras.layers import LockedDropout, WeightDropLSTM
from awd_keras.regularizers import ActivationRegularizer, TemporalActivationRegularizer

WINDOW, AHEAD, NOISE, UNITS = 30, 6, 0.15, 64


def mackey_glass(length, delay=17):
    """x' = 0.2 x(t - delay) / (1 + x(t - delay)^10) - 0.1 x, by Euler's method, ten steps for each value."""
    steps = 10
    x = [1.2] * (delay * steps + 1)
    for _ in range((length + 200) * steps):
        late = x[-delay * steps - 1]
        x.append(x[-1] + (0.2 * late / (1 + late**10) - 0.1 * x[-1]) / steps)
    return np.array(x[::-steps][:length][::-1])


def windows(series, noisy):
    count = len(series) - WINDOW - AHEAD + 1
    x = np.stack([noisy[start : start + WINDOW] for start in range(count)])
    return x[..., None].astype("float32"), series[WINDOW + AHEAD - 1 :][:count, None].astype("float32")


series = mackey_glass(1800)
series = (series - series.mean()) / series.std()
noisy = series + np.random.default_rng(0).normal(0, NOISE, len(series))
edges = [0, 250 + WINDOW + AHEAD - 1, 800, 1800]
train, valid, test = (windows(series[a:b], noisy[a:b]) for a, b in itertools.pairwise(edges))


def plain():
    return [keras.layers.LSTM(UNITS, return_sequences=True), keras.layers.LSTM(UNITS)]


def with_dropout():
    # What Keras offers: other masks in every time step for the inputs, and the hidden state dropped.
    return [
        keras.layers.LSTM(UNITS, return_sequences=True, dropout=0.1, recurrent_dropout=0.2),
        keras.layers.LSTM(UNITS, dropout=0.1, recurrent_dropout=0.2),
    ]


def with_strategies():
    tar = TemporalActivationRegularizer(0.02)
    return [
        WeightDropLSTM(UNITS, weight_drop=0.3, return_sequences=True),
        LockedDropout(0.1),
        WeightDropLSTM(UNITS, weight_drop=0.3, return_sequences=True, activity_regularizer=tar),
        LockedDropout(0.1, activity_regularizer=ActivationRegularizer(0.02)),
        keras.layers.Cropping1D((WINDOW - 1, 0)),  # the last time step
        keras.layers.Flatten(),
    ]


def error(layers, seed, epochs):
    """Test error of the best epoch by validation, as a root mean square, of a series of unit deviation."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((WINDOW, 1)), *layers(), keras.layers.Dense(1)])
    best = keras.callbacks.EarlyStopping(monitor="val_mse", patience=epochs, restore_best_weights=True, mode="min")
    model.compile(keras.optimizers.Adam(0.003), "mse", metrics=["mse"])
    model.fit(*train, epochs=epochs, batch_size=25, validation_data=valid, callbacks=[best], verbose=0)
    return np.sqrt(np.mean((model.predict(test[0], verbose=0) - test[1]) ** 2))


epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 40
seeds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
print(f"last value as the forecast      {np.sqrt(np.mean((test[0][:, -1] - test[1]) ** 2)):.3f}")
for name, layers in (
    ("LSTM", plain),
    ("LSTM with Keras's dropouts", with_dropout),
    ("WeightDropLSTM, AR, TAR", with_strategies),
):
    errors = [error(layers, seed, epochs) for seed in range(seeds)]
    print(f"{name:30}  test error {np.mean(errors):.3f}, from {min(errors):.3f} to {max(errors):.3f}")
