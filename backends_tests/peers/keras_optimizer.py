"""Tests of `SGD` and of loss scaling in Keras's suite, applied to `NTASGD`."""

import keras
import numpy as np
import pytest
from keras import ops

from awd_keras.optimizers import NTASGD

PLAIN = {"weight_decay": None, "global_clipnorm": None}


def steps(optimizer, gradients, start):
    variable = keras.Variable(np.array(start, "float32"))
    optimizer.build([variable])
    for gradient in gradients:
        optimizer.apply([ops.convert_to_tensor(np.array(gradient, "float32"))])
    return ops.convert_to_numpy(variable)


@pytest.mark.parametrize(
    ("arguments", "gradient", "expected"),
    [
        ({}, [1.0, 6.0, 7.0, 2.0], [0.5, -1.0, -0.5, 3.0]),
        ({"weight_decay": 0.1}, [0.0] * 4, [0.95, 1.9, 2.85, 3.8]),
        ({"clipvalue": 1.0}, [100.0, -100.0, 0.5, 0.0], [0.5, 2.5, 2.75, 4.0]),
        ({"clipnorm": 1.0}, [100.0, 0.0, 100.0, 0.0], [1 - 0.5**1.5, 2.0, 3 - 0.5**1.5, 4.0]),
        ({"global_clipnorm": 1.0}, [3.0, 4.0, 0.0, 0.0], [0.7, 1.6, 3.0, 4.0]),
    ],
    ids=["step", "weight_decay", "clipvalue", "clipnorm", "global_clipnorm"],
)
def test_a_step(arguments, gradient, expected):
    start = [1.0, 2.0, 3.0, 4.0]
    made = steps(NTASGD(learning_rate=0.5, **{**PLAIN, **arguments}), [gradient], start)
    np.testing.assert_allclose(made, expected, atol=1e-6)
    # Keras's own SGD makes the same step.
    same = steps(keras.optimizers.SGD(learning_rate=0.5, **{**PLAIN, **arguments}), [gradient], start)
    np.testing.assert_allclose(made, same, atol=1e-6)


def test_a_schedule_is_followed():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([2], [0.5, 0.1])
    made = steps(NTASGD(learning_rate=schedule, **PLAIN), [[1.0]] * 4, [2.0])
    same = steps(keras.optimizers.SGD(learning_rate=schedule), [[1.0]] * 4, [2.0])
    np.testing.assert_allclose(made, same, atol=1e-6)


def test_accumulated_gradients_are_one_step():
    gradients = [[1.0, 4.0], [3.0, 2.0]] * 2
    made = steps(NTASGD(learning_rate=0.5, gradient_accumulation_steps=2, **PLAIN), gradients, [9.0, 9.0])
    np.testing.assert_allclose(made, [7.0, 6.0], atol=1e-6)


def test_a_fixed_loss_scale():
    optimizer = NTASGD(learning_rate=0.5, loss_scale_factor=8.0, **PLAIN)
    assert float(optimizer.scale_loss(2.0)) == 16.0
    np.testing.assert_allclose(steps(optimizer, [[8.0, 16.0]], [2.0, 2.0]), [1.5, 1.0], atol=1e-6)


def scaled(gradients, **arguments):
    """Steps of a model whose gradients are its inputs. On JAX, Keras scales a loss only in a compiled step."""
    inner = NTASGD(learning_rate=0.5, **PLAIN)
    outer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=4.0, **arguments)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    model.compile(outer, loss=lambda y, products: products)
    for gradient in gradients:
        model.train_on_batch(np.array([gradient], "float32"), np.zeros((1, 1), "float32"))
    return model.get_weights()[0].ravel(), float(ops.convert_to_numpy(outer.dynamic_scale)), inner


def test_a_dynamic_loss_scale_skips_what_is_not_finite_and_halves():
    weights, scale, inner = scaled([[np.inf, 4.0], [np.nan, 4.0]])
    np.testing.assert_array_equal(weights, [1.0, 1.0])
    assert scale == 1.0
    assert int(ops.convert_to_numpy(inner.iterations)) == 0


def test_a_dynamic_loss_scale_doubles_after_steps_that_are_finite():
    weights, scale, inner = scaled([[1.0, 0.0], [1.0, 0.0]], dynamic_growth_steps=2)
    np.testing.assert_allclose(weights, [0.0, 1.0], atol=1e-6)
    assert scale == 8.0
    assert int(ops.convert_to_numpy(inner.iterations)) == 2


def test_state_goes_on_in_another_optimizer():
    variable, first = keras.Variable(np.ones(2, "float32")), NTASGD(learning_rate=0.5, **PLAIN)
    first.build([variable])
    first.apply([ops.ones((2,))])
    store = {}
    first.save_own_variables(store)
    second = NTASGD.from_config(first.get_config())
    second.build([variable])
    second.load_own_variables(store)
    assert int(ops.convert_to_numpy(second.iterations)) == 1
