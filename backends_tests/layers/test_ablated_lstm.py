"""`AblatedLSTM`: its weights, which of them are dropped, and its carried state.

For its equations and gradients, see ../backend/test_ablated_equations.py; for config, files and dtypes,
../test_contract.py.
"""

import keras
import numpy as np
import pytest

from awd_keras.layers import AblatedLSTM, WeightDropLSTM
from backends_tests import oracle
from backends_tests.helpers import draw_weights, once, to_numpy, weights_that_run

BATCH, TIME, FEATURES, UNITS = 2, 5, 3, 4
ZEROS = np.zeros((BATCH, TIME, FEATURES), "float32")
# Kernel, recurrent kernel and bias, in units.
WIDTHS = {"lstm": (4, 4, 4), "-srnn": (4, 3, 3), "-srnn-out": (3, 2, 2), "-srnn-hidden": (4, 0, 3), "-gates": (1, 1, 1)}
PATHS = {"-srnn": "generic", "-srnn-out": "generic", "-srnn-hidden": "associative_scan", "-gates": "generic"}
variants = pytest.mark.parametrize("variant", AblatedLSTM.VARIANTS)
# The first step counts in both rows: before such a step, the outputs of Keras's loops differ between backends.
MASK = np.array([[True, False, True, True, False], [True, True, False, False, True]])


def built(variant, weight_drop=0.0, **arguments):
    """A layer with weights so large that wrong results show."""
    # Without initializers that JAX has to compile.
    zeros = {"kernel_initializer": "zeros", "recurrent_initializer": "zeros"}
    layer = AblatedLSTM(UNITS, variant, weight_drop, **{"return_sequences": True, **zeros, **arguments})
    layer.build((BATCH, None, FEATURES))
    rng = np.random.default_rng(7)
    draw_weights(layer, rng)
    return layer


def expected_of(layer, x, h=None, c=None, mask=None):
    zeros = np.zeros((len(x), UNITS))
    weights = [to_numpy(variable).astype("float64") for variable in layer.trainable_variables]
    weights = weights if len(weights) == 3 else [weights[0], None, weights[1]]
    state = [zeros if part is None else part for part in (h, c)]
    return oracle.ablated_lstm(layer.variant, x, *state, *weights, mask=mask)


def drawn(rng, *shape):
    return rng.normal(size=(BATCH, *shape)).astype("float32")


@variants
def test_a_call_equals_numpy(rng, variant):
    """With `go_backwards`, a mask and an initial state, in a compiled model."""
    layer = built(variant, return_state=True, go_backwards=True)
    inputs = [keras.Input(batch_shape=(BATCH, *shape)) for shape in ((TIME, FEATURES), (UNITS,), (UNITS,))]
    counts = keras.Input(batch_shape=(BATCH, TIME), dtype="bool")
    model = keras.Model([*inputs, counts], layer(inputs[0], initial_state=inputs[1:], mask=counts))
    x, h, c = drawn(rng, TIME, FEATURES), drawn(rng, UNITS), drawn(rng, UNITS)
    actual = model.predict_on_batch([x, h, c, MASK[:, ::-1]])
    for a, e in zip(actual, expected_of(layer, x[:, ::-1], h, c, MASK), strict=True):
        np.testing.assert_allclose(to_numpy(a), e, atol=1e-5)
    assert layer.computed_by == PATHS.get(variant, "generic")


@pytest.mark.once
def test_the_whole_lstm_is_weight_drop_lstm(rng):
    """Also its masks and its implementation."""
    x = drawn(rng, TIME, FEATURES)
    ours, theirs = AblatedLSTM(UNITS, seed=3), WeightDropLSTM(UNITS, seed=3)
    ours.build(x.shape), theirs.build(x.shape)
    ours.set_weights(theirs.get_weights())
    np.testing.assert_array_equal(to_numpy(ours(x, training=True)), to_numpy(theirs(x, training=True)))
    assert ours.computed_by == theirs.computed_by


@pytest.mark.once
@variants
def test_has_no_weights_that_it_does_not_use(variant):
    layer = AblatedLSTM(UNITS, variant, stateful=True)
    layer.build((BATCH, None, FEATURES))
    kernel, recurrent_kernel, bias = WIDTHS[variant]
    shapes = {"kernel": (FEATURES, kernel * UNITS), "bias": (bias * UNITS,)}
    if recurrent_kernel:
        shapes["recurrent_kernel"] = (UNITS, recurrent_kernel * UNITS)
    assert {weight.name: tuple(weight.shape) for weight in layer.trainable_weights} == shapes
    state = {f"{mode}_{part}" for mode in ("training", "inference") for part in "hc"}
    assert {variable.name for variable in layer.non_trainable_variables} == state | {"seed_generator_state"}
    assert not layer.non_trainable_weights
    # The forget gate's bias is initialized with ones, as Keras's is.
    begins = np.zeros((bias, UNITS))
    begins[1:2] = 1
    np.testing.assert_array_equal(to_numpy(layer.cell.bias).reshape(bias, UNITS), begins)
    layer = AblatedLSTM(UNITS, variant, bias_initializer="ones", unit_forget_bias=False, use_bias=variant != "-gates")
    layer.build((BATCH, None, FEATURES))
    assert layer.cell.bias is None if variant == "-gates" else (to_numpy(layer.cell.bias) == 1).all()


@variants
def test_drops_of_the_weights_that_there_are(variant):
    layer = built(variant, 0.5, kernel_weight_drop=0.25, seed=1)
    whole = [layer.cell.kernel, layer.cell.recurrent_kernel, layer.cell.bias]
    whole = [None if weight is None else to_numpy(weight) for weight in whole]
    for given, stored in zip(weights_that_run(layer, ZEROS, training=False), whole, strict=True):
        assert (given is None and stored is None) or (given == stored).all()
    kernel, recurrent_kernel, bias = weights_that_run(layer, ZEROS, training=True)
    for given, stored, rate in ((kernel, whole[0], 0.25), (recurrent_kernel, whole[1], 0.5)):
        if stored is None:
            assert given is None
            continue
        kept = given != 0
        np.testing.assert_allclose(given, np.where(kept, stored / (1 - rate), 0), rtol=1e-6)
        assert 0 < (~kept).mean() < 0.8
    np.testing.assert_array_equal(bias, whole[2])


@pytest.mark.parametrize("variant", ["-srnn-hidden", *once("-gates")])
def test_carries_its_state_from_window_to_window(rng, variant):
    """Training and inference have separate states, and both can be zeroed."""
    x = drawn(rng, 6, FEATURES)
    layer = built(variant, stateful=True)
    first, second = np.split(expected_of(layer, x)[0], 2, axis=1)
    for training in (False, True):
        for window, expected in ((x[:, :3], first), (x[:, 3:], second)):
            np.testing.assert_allclose(to_numpy(layer(window, training=training)), expected, atol=1e-5)
    layer.reset_training_state()
    np.testing.assert_allclose(to_numpy(layer(x[:, :3], training=True)), first, atol=1e-5)
    third = expected_of(layer, np.concatenate([x, x[:, :3]], axis=1))[0][:, 6:]
    np.testing.assert_allclose(to_numpy(layer(x[:, :3])), third, atol=1e-5)
    layer.reset_state()
    np.testing.assert_allclose(to_numpy(layer(x[:, :3])), first, atol=1e-5)


@pytest.mark.parametrize("variant", ["-srnn", "-gates"])
def test_an_empty_batch(variant):
    """For `"-srnn-hidden"`, see ../test_contract.py."""
    assert tuple(built(variant)(np.zeros((0, TIME, FEATURES), "float32")).shape) == (0, TIME, UNITS)


@pytest.mark.once
def test_bidirectional(rng):
    x = drawn(rng, TIME, FEATURES)
    layer = keras.layers.Bidirectional(built("-srnn-hidden", 0.5, seed=1), merge_mode=None)
    outputs = keras.Sequential([layer]).predict_on_batch(x)
    there, back = layer.forward_layer, layer.backward_layer
    np.testing.assert_allclose(to_numpy(outputs[0]), expected_of(there, x)[0], atol=1e-5)
    np.testing.assert_allclose(to_numpy(outputs[1]), expected_of(back, x[:, ::-1])[0][:, ::-1], atol=1e-5)
    assert (to_numpy(there.seed_generator.state) != to_numpy(back.seed_generator.state)).any()


@pytest.mark.once
def test_half_precision(rng):
    """For `"-srnn-hidden"` in half precision, see ../test_contract.py."""
    x = drawn(rng, TIME, FEATURES)
    layer = built("-srnn", dtype="mixed_bfloat16")
    outputs = keras.Sequential([layer]).predict_on_batch(x)
    assert layer.compute_dtype == "bfloat16"
    np.testing.assert_allclose(np.asarray(outputs, "float32"), expected_of(layer, x)[0], atol=0.2)


@pytest.mark.once
@variants
def test_config_keeps_every_argument(variant):
    arguments = {
        "units": 4,
        "variant": variant,
        "weight_drop": 0.2,
        "kernel_weight_drop": 0.1,
        "use_bias": False,
        "stateful": True,
        "seed": 3,
    }
    config = AblatedLSTM(**arguments).get_config()
    assert {name: config[name] for name in arguments} == arguments
    assert AblatedLSTM.from_config(config).get_config() == config


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "srnn"}, "`variant` must be one of 'lstm', '-srnn', .*'-gates'. Received: variant='srnn'"),
        ({"variant": None}, "`variant` must be one of .* Received: variant=None"),
        ({"weight_drop": 1.0}, "`weight_drop`.*Received: weight_drop=1.0"),
    ],
    ids=str,
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        AblatedLSTM(4, **arguments)


@pytest.mark.once
def test_use_cudnn_true_refuses_keras_loop(rng):
    with pytest.raises(ValueError, match="use_cudnn=True"):
        built("-gates", use_cudnn=True)(drawn(rng, TIME, FEATURES))
