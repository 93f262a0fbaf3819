"""Computation in float64. It runs in another process, as JAX must be started with float64 enabled."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.once

SCRIPT = """
import keras
import numpy as np
from backends_tests import oracle
from awd_keras import backend
from awd_keras.analysis import gate_activations, memory_weights
from awd_keras.layers import AdaptiveSoftmax, WeightDropLSTM
from backends_tests.optimizers.test_ntasgd import check_step_of_dtypes
from backends_tests.test_contract import LAYERS, check_logits, check_policy, check_training

keras.config.set_floatx("float64")
rng = np.random.default_rng(0)
batch, time, features, units = 2, 5, 3, 4
x, direction = rng.normal(size=(batch, time, features)), rng.normal(size=(batch, time, units))
layer = WeightDropLSTM(units, weight_drop=0.0, return_sequences=True, dtype="float64")
layer.build(x.shape)
weights = [rng.normal(size=v.shape) for v in layer.trainable_variables]
layer.set_weights(weights)


def loss():
    return np.sum(keras.ops.convert_to_numpy(layer(x)) * direction) / (batch * time)


zeros = np.zeros((batch, units))
expected, _, _, saved = oracle.lstm(x, zeros, zeros, *weights)
actual = keras.ops.convert_to_numpy(layer(x))
assert actual.dtype == "float64"
np.testing.assert_allclose(actual, expected, atol=1e-12)
generic = keras.ops.convert_to_numpy(layer(x, mask=np.ones((batch, time), "bool")))
assert layer.computed_by == "generic"
assert generic.dtype == "float64"
# Keras's tanh computes in float32 on JAX, whatever it is given.
np.testing.assert_allclose(generic, expected, atol=1e-6 if keras.backend.backend() == "jax" else 1e-12)

differences = []
for variable, value in zip(layer.trainable_variables, weights):
    difference = {}
    for index in list(np.ndindex(value.shape))[:: value.size // 4]:
        step = np.zeros_like(value)
        step[index] = 1e-6
        variable.assign(value + step)
        above = loss()
        variable.assign(value - step)
        difference[index] = (above - loss()) / 2e-6
    variable.assign(value)
    differences.append(difference)

model = keras.Sequential([layer])
model.compile(keras.optimizers.SGD(1.0), loss=lambda y, p: keras.ops.sum(y * p, axis=-1), jit_compile=False)
model.train_on_batch(x, direction)
for variable, before, difference in zip(layer.trainable_variables, weights, differences):
    gradient = before - variable.numpy()
    for index, value in difference.items():
        np.testing.assert_allclose(gradient[index], value, atol=1e-7)

rows, table = rng.normal(size=(7, 3)), rng.normal(size=(5, 3))
ids, weights, bias = np.arange(7, dtype="int32") % 5, rng.normal(size=7), rng.normal(size=5)
tensors = [keras.ops.convert_to_tensor(array) for array in (ids, weights, rows, table, bias)]
total, _ = backend.linear_cross_entropy(*tensors, 3)
losses = -oracle.log_softmax(rows @ table.T + bias)[np.arange(7), ids]
np.testing.assert_allclose(keras.ops.convert_to_numpy(total), weights @ losses, rtol=1e-12)

norm = np.sqrt(np.sum(rows**2) + np.sum(table**2))
np.testing.assert_allclose(keras.ops.convert_to_numpy(backend.global_norm(tensors[2:4])), norm, rtol=1e-13)

adaptive = AdaptiveSoftmax(5, 3, [2], div_value=1)
adaptive.build()
log_p = keras.ops.convert_to_numpy(adaptive(rows, reverse=True))
np.testing.assert_allclose(np.exp(log_p).sum(1), 1, rtol=1e-13)
assert gate_activations(layer, x).c.dtype == memory_weights(layer, x).content.dtype == "float64"

keras.config.set_floatx("float32")
for cls in LAYERS:
    check_policy(cls, "float64")
check_logits("float64")
check_training("float64")
for dtypes in (("float32", "float64"), ("float64", "float32"), ("float16", "float64"), ("float64", "float64")):
    check_step_of_dtypes(*dtypes)
print("ran", layer.computed_by)
"""


def test_values_and_finite_differences():
    environment = {**os.environ, "JAX_ENABLE_X64": "1", "PYTHONPATH": "."}
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "ran" in result.stdout
