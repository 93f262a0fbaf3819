import itertools

import keras
import numpy as np
import pytest
from keras import ops

from awd_keras.layers import WeightDropLSTM
from backends_tests import oracle
from backends_tests.helpers import draw_weights, once, to_numpy

BATCH, TIME, FEATURES, UNITS = 3, 6, 5, 8


def sequences(rng, batch=BATCH, time=TIME, features=FEATURES):
    return rng.normal(size=(batch, time, features)).astype("float32")


def built(batch=BATCH, units=UNITS, features=FEATURES, scale=0.5, **kwargs):
    """A layer with weights so large that wrong results show."""
    # Without initializers that JAX has to compile.
    zeros = {"kernel_initializer": "zeros", "recurrent_initializer": "zeros"}
    layer = WeightDropLSTM(units, **{"return_sequences": True, **zeros, **kwargs})
    layer.build((batch, None, features))
    rng = np.random.default_rng(7)
    draw_weights(layer, rng, scale)
    return layer


def gradients(layer, x, seed_state=None):
    """Gradients of a random linear function of the outputs, from the weights' change in one step of SGD."""
    if seed_state is not None:
        layer.seed_generator.state.assign(seed_state)
    direction = np.random.default_rng(3).normal(size=(*x.shape[:2], layer.units)).astype("float32")
    model = keras.Sequential([layer])
    model.compile(keras.optimizers.SGD(1.0), loss=lambda y, p: ops.sum(y * p, axis=-1))
    before = [to_numpy(v) for v in layer.trainable_variables]
    model.train_on_batch(x, direction)
    after = [to_numpy(v) for v in layer.trainable_variables]
    for variable, value in zip(layer.trainable_variables, before, strict=True):
        variable.assign(value)
    return [b - a for b, a in zip(before, after, strict=True)]


def mask_of(layer, x, seed_state):
    """The mask that a call with this state of the seeds draws: True where the stored kernel has a gradient."""
    return gradients(layer, x, seed_state)[1] != 0


def seed_state(layer):
    return to_numpy(layer.seed_generator.state)


def test_one_mask_for_all_time_steps_and_gates(rng):
    layer = built(weight_drop=0.4, seed=1)
    x = sequences(rng)
    state = seed_state(layer)
    mask = mask_of(layer, x, state)
    layer.seed_generator.state.assign(state)
    y = to_numpy(layer(x, training=True))
    kernel, recurrent_kernel, bias = (to_numpy(v) for v in layer.trainable_variables)
    zeros = np.zeros((BATCH, UNITS))
    expected, *_ = oracle.lstm(x, zeros, zeros, kernel, recurrent_kernel * mask / 0.6, bias)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    whole, *_ = oracle.lstm(x, zeros, zeros, kernel, recurrent_kernel, bias)
    assert np.abs(y - whole).max() > 1e-2


def test_gradient_of_the_stored_kernel(rng):
    layer = built(weight_drop=0.4, seed=1)
    x = sequences(rng)
    state = seed_state(layer)
    mask = mask_of(layer, x, state)
    direction = np.random.default_rng(3).normal(size=(BATCH, TIME, UNITS)).astype("float32")
    kernel, recurrent_kernel, bias = (to_numpy(v) for v in layer.trainable_variables)
    masked = recurrent_kernel * mask / 0.6
    zeros = np.zeros((BATCH, UNITS))
    *_, saved = oracle.lstm(x, zeros, zeros, kernel, masked, bias)
    # Keras's loss is a mean over batch and time.
    _, d_kernel, d_masked, d_bias = oracle.lstm_gradients(
        x.astype("float64"), kernel, masked, saved, direction / (BATCH * TIME)
    )
    actual = gradients(layer, x, state)
    np.testing.assert_allclose(actual[0], d_kernel, atol=1e-5)
    np.testing.assert_allclose(actual[1], d_masked * mask / 0.6, atol=1e-5)
    np.testing.assert_allclose(actual[2], d_bias, atol=1e-5)


@pytest.mark.parametrize("rate", [0.5, *once(0.1, 0.75)])
def test_mask_statistics(rng, rate):
    layer = built(units=48, scale=0.2, weight_drop=rate, seed=2)
    mask = mask_of(layer, sequences(rng), seed_state(layer))
    spread = np.sqrt(rate * (1 - rate) / mask.size)
    assert abs((~mask).mean() - rate) < 5 * spread
    for gate in np.split(mask, 4, axis=1):
        assert abs((~gate).mean() - rate) < 10 * spread
    # Single weights are dropped, not rows or columns.
    assert (~mask).mean(axis=0).max() < min(1, rate + 0.4)
    assert (~mask).mean(axis=1).max() < min(1, rate + 0.2)
    gates = np.split(mask, 4, axis=1)
    assert all((a != b).any() for a, b in itertools.combinations(gates, 2))


def test_kernel_weight_drop(rng):
    layer = built(weight_drop=0.0, kernel_weight_drop=0.5, units=32, seed=2)
    kernel_gradient, recurrent_gradient, _ = gradients(layer, sequences(rng))
    assert 0.4 < (kernel_gradient == 0).mean() < 0.6
    assert (recurrent_gradient != 0).all()


def test_other_masks_in_the_next_call_and_the_same_from_the_same_seed(rng):
    x = sequences(rng)
    layer, same, other = built(seed=1), built(seed=1), built(seed=2)
    first, second = to_numpy(layer(x, training=True)), to_numpy(layer(x, training=True))
    assert np.abs(first - second).max() > 1e-2
    np.testing.assert_array_equal(first, to_numpy(same(x, training=True)))
    np.testing.assert_array_equal(second, to_numpy(same(x, training=True)))
    assert np.abs(first - to_numpy(other(x, training=True))).max() > 1e-2


def test_close_seeds_never_share_a_mask(rng):
    """Keras's PyTorch generator draws from seed + count: seed 1's second mask would be seed 2's first."""
    x = sequences(rng)
    layers = [built(seed=seed) for seed in range(4)]
    draws = [to_numpy(layer(x, training=True)) for layer in layers for _ in range(4)]
    for a, b in itertools.combinations(draws, 2):
        assert np.abs(a - b).max() > 1e-3


def test_off_at_inference_and_on_again_in_training(rng):
    layer, x = built(seed=1), sequences(rng)
    whole = built(weight_drop=0.0)
    expected = to_numpy(whole(x, training=False))
    stored = [to_numpy(v) for v in layer.trainable_variables]
    for _ in range(2):
        assert np.abs(to_numpy(layer(x, training=True)) - expected).max() > 1e-2
        np.testing.assert_array_equal(to_numpy(layer(x, training=False)), expected)
        np.testing.assert_array_equal(to_numpy(layer(x)), expected)
    for variable, value in zip(layer.trainable_variables, stored, strict=True):
        np.testing.assert_array_equal(to_numpy(variable), value)


def test_on_in_fit_after_an_evaluation(rng):
    layer, x = built(seed=1), sequences(rng)
    model = keras.Sequential([layer])
    model.compile(keras.optimizers.SGD(0.0), loss="mse")
    y = np.zeros((BATCH, TIME, UNITS), "float32")
    losses = []
    for _ in range(2):
        losses += model.fit(x, y, epochs=2, verbose=0).history["loss"]
        losses.append(model.evaluate(x, y, verbose=0))
    assert losses[2] == losses[5]
    assert len({round(float(loss), 7) for loss in losses}) == 5


@pytest.mark.parametrize(
    "arguments",
    [
        {"return_sequences": False, "return_state": True},
        {"go_backwards": True},
        *once(
            {},
            {"return_sequences": False},
            {"return_state": True},
            {"go_backwards": True, "return_sequences": False},
            {"unroll": True},
            {"use_bias": False},
            {"activation": "relu", "recurrent_activation": "hard_sigmoid"},
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize(("masked", "with_state"), [(False, False), (True, True)])
def test_without_dropping_it_is_the_lstm_of_keras(rng, arguments, masked, with_state):
    arguments = {"return_sequences": True, **arguments}
    x = sequences(rng)
    mask = np.arange(TIME) < np.array([[6], [4], [2]]) if masked else None
    state = [rng.normal(size=(BATCH, UNITS)).astype("float32") for _ in "hc"] if with_state else None
    ours = WeightDropLSTM(UNITS, weight_drop=0.0, **arguments)
    theirs = keras.layers.LSTM(UNITS, **arguments)
    ours(x), theirs(x)
    ours.set_weights(theirs.get_weights())
    actual = ours(x, mask=mask, initial_state=state, training=True)
    expected = theirs(x, mask=mask, initial_state=state, training=True)
    for a, e in zip(_as_list(actual), _as_list(expected), strict=True):
        np.testing.assert_allclose(to_numpy(a), to_numpy(e), atol=1e-6)


def _as_list(x):
    return list(x) if isinstance(x, (list, tuple)) else [x]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("batch", "time", "features", "units"), [(1, 1, 1, 1), *once((1, 5, 3, 2), (4, 1, 2, 5)), (3, 4, 1, 3)]
)
def test_forward_equals_numpy(rng, batch, time, features, units, masked):
    layer = built(batch, units, features, weight_drop=0.0, return_state=True)
    x = sequences(rng, batch, time, features)
    mask = rng.random((batch, time)) < 0.7 if masked else None
    if masked:
        mask[:, 0] = True  # before the first step that counts, outputs differ between Keras's backends
    state = [rng.normal(size=(batch, units)).astype("float32") for _ in "hc"]
    weights = (to_numpy(v) for v in layer.trainable_variables)
    expected = oracle.lstm(x, *state, *weights, mask=mask)[:3]
    actual = layer(x, initial_state=state, mask=mask)
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(to_numpy(a), e, atol=1e-5)


def test_a_mask_in_a_list_is_the_mask(rng):
    """As in Keras's LSTM."""
    layer, x, mask = built(), sequences(rng), rng.random((BATCH, TIME)) < 0.7
    np.testing.assert_array_equal(to_numpy(layer(x, mask=[mask])), to_numpy(layer(x, mask=mask)))


def test_symbolic_calls():
    """When only shapes are computed, no seed is drawn."""
    layer = WeightDropLSTM(UNITS, return_sequences=True)
    assert layer(keras.Input((None, FEATURES)), training=True).shape == (None, None, UNITS)
    unrolled = WeightDropLSTM(UNITS, unroll=True)
    with pytest.raises(ValueError, match="must know the number of time steps"):
        unrolled.call(keras.KerasTensor((BATCH, None, FEATURES)))


@pytest.mark.parametrize(
    ("batch", "time", "features", "units"), [*once((1, 1, 1, 1), (1, 6, 2, 3), (4, 1, 3, 2)), (2, 9, 4, 5)]
)
def test_the_fast_path_equals_the_generic_loop(rng, batch, time, features, units):
    """Also the gradients: of kernels, bias, inputs and initial state."""
    x = sequences(rng, batch, time, features)
    y = rng.normal(size=(batch, time, units)).astype("float32")
    state = [rng.normal(size=(batch, units)).astype("float32") for _ in "hc"]
    results = []
    for use_cudnn in ("auto", False):
        lstm = built(batch, units, features, weight_drop=0.0, use_cudnn=use_cudnn)
        # Trained layers before the LSTM show the gradients of its inputs.
        inputs = [keras.Input(batch_shape=part.shape) for part in (x, *state)]
        scaled = [
            keras.layers.Dense(part.shape[-1], kernel_initializer="identity", name=name)(part)
            for part, name in zip(inputs, "xhc", strict=True)
        ]
        model = keras.Model(inputs, lstm(scaled[0], initial_state=scaled[1:]))
        model.compile(keras.optimizers.SGD(1.0), loss=lambda y, p: ops.sum(y * p, axis=-1))
        outputs = to_numpy(model([x, *state]))
        model.train_on_batch([x, *state], y)
        results.append([outputs, *(to_numpy(v) for v in model.trainable_variables)])
    assert len(results[0]) == 1 + 6 + 3
    np.testing.assert_allclose(results[0][0], results[1][0], atol=1e-5)
    for fast, generic in zip(*results, strict=True):
        np.testing.assert_allclose(fast, generic, atol=1e-4)


def test_says_which_implementation_ran(rng):
    layer = built()
    assert layer.computed_by is None
    layer(sequences(rng))
    fast = layer.computed_by
    assert fast
    generic = built(use_cudnn=False)
    generic(sequences(rng))
    assert generic.computed_by == "generic"
    masked = built()
    masked(sequences(rng), mask=np.ones((BATCH, TIME), bool))
    assert masked.computed_by == "generic"


def test_use_cudnn_true_refuses_the_generic_loop(rng):
    layer = built(use_cudnn=True)
    with pytest.raises(ValueError, match="use_cudnn=True"):
        layer(sequences(rng), mask=np.ones((BATCH, TIME), bool))


def test_both_directions_drop_and_each_with_its_own_mask(rng):
    x = sequences(rng)
    layer = keras.layers.Bidirectional(WeightDropLSTM(UNITS, return_sequences=True, seed=1), merge_mode=None)
    layer.build(x.shape)
    forward, backward = layer.forward_layer, layer.backward_layer
    rng_weights = np.random.default_rng(1)
    for a, b in zip(forward.trainable_variables, backward.trainable_variables, strict=True):
        value = rng_weights.normal(size=a.shape)
        a.assign(value), b.assign(value)
    whole = [to_numpy(y) for y in layer(x, training=False)]
    dropped = [to_numpy(y) for y in layer(x, training=True)]
    assert all(np.abs(w - d).max() > 1e-2 for w, d in zip(whole, dropped, strict=True))
    # With the same weights and the same masks, one direction on x would equal the other on x reversed.
    _, reversed_x = layer(x[:, ::-1], training=False)
    np.testing.assert_allclose(to_numpy(reversed_x)[:, ::-1], whole[0], atol=1e-5)
    forward_mask = seed_state(forward)
    assert (forward_mask != seed_state(backward)).any()


def test_dropout_of_inputs_and_state(rng):
    x = sequences(rng)
    for argument in ("dropout", "recurrent_dropout"):
        layer = built(weight_drop=0.0, seed=1, **{argument: 0.5})
        y = to_numpy(layer(x, training=True))
        expected = to_numpy(layer(x, training=False))
        assert np.abs(y - expected).max() > 1e-2
        assert np.isfinite(y).all()


# The carried state.


def stateful(**kwargs):
    return built(stateful=True, weight_drop=0.0, **kwargs)


@pytest.mark.parametrize("training", [False, True])
def test_two_windows_equal_one_long_window(rng, training):
    x = sequences(rng, time=10)
    whole = to_numpy(built(weight_drop=0.0)(x))
    layer = stateful()
    windows = [to_numpy(layer(part, training=training)) for part in (x[:, :3], x[:, 3:])]
    np.testing.assert_allclose(np.concatenate(windows, axis=1), whole, atol=1e-5)


def test_predict_and_evaluate_carry_state_in_compiled_code(rng):
    x = sequences(rng, time=10)
    expected = to_numpy(built(weight_drop=0.0)(x))
    model = keras.Sequential([stateful()])
    model.compile(loss="mse")
    first, second = model.predict(x[:, :5], verbose=0), model.predict(x[:, 5:], verbose=0)
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), expected, atol=1e-5)
    model.layers[0].reset_state()
    y = np.zeros((BATCH, 5, UNITS), "float32")
    losses = [model.evaluate(x[:, s : s + 5], y, verbose=0) for s in (0, 5)]
    np.testing.assert_allclose(losses, [np.mean(expected[:, s : s + 5] ** 2) for s in (0, 5)], rtol=1e-5)


def test_fit_carries_state_and_has_no_gradient_across_windows(rng):
    """After a step with a learning rate of zero, the next one's gradient is that given the first one's last state."""
    x = sequences(rng, time=10)
    layer = stateful()
    weights = [to_numpy(v).astype("float64") for v in layer.trainable_variables]
    zeros = np.zeros((BATCH, UNITS))
    _, h, c, _ = oracle.lstm(x[:, :4], zeros, zeros, *weights)
    outputs, _, _, saved = oracle.lstm(x[:, 4:], h, c, *weights)
    _, *expected = oracle.lstm_gradients(x[:, 4:].astype("float64"), *weights[:2], saved, 2 * outputs / outputs.size)
    model = keras.Sequential([layer])
    optimizer = keras.optimizers.SGD(0.0)
    model.compile(optimizer, loss="mse")
    arguments = {"batch_size": BATCH, "shuffle": False, "verbose": 0}
    model.fit(x[:, :4], np.zeros((BATCH, 4, UNITS), "float32"), **arguments)
    optimizer.learning_rate = 1.0
    model.fit(x[:, 4:], np.zeros((BATCH, 6, UNITS), "float32"), **arguments)
    for variable, before, gradient in zip(layer.trainable_variables, weights, expected, strict=True):
        np.testing.assert_allclose(before - to_numpy(variable), gradient, atol=1e-5)


def test_validation_of_another_batch_size_leaves_training_alone(rng):
    x, y = sequences(rng, batch=4), np.zeros((4, TIME, UNITS), "float32")
    states, losses = [], []
    for validation in (None, (x[:2], y[:2])):
        layer = stateful(batch=4)
        model = keras.Sequential([layer])
        model.compile(keras.optimizers.SGD(0.1), loss="mse")
        history = model.fit(
            x,
            y,
            batch_size=4,
            epochs=3,
            shuffle=False,
            validation_data=validation,
            validation_batch_size=2,
            verbose=0,
        )
        losses.append(history.history["loss"])
        states.append([to_numpy(v) for v in layer.training_state])
    np.testing.assert_array_equal(losses[0], losses[1])
    np.testing.assert_array_equal(states[0], states[1])
    assert np.abs(states[0]).max() > 0.1
    assert np.abs(to_numpy(layer.inference_state[0])[:2]).max() > 0.1
    assert np.abs(to_numpy(layer.inference_state[0])[2:]).max() == 0


def test_smaller_batches_use_the_first_rows(rng):
    x = sequences(rng, time=10)
    layer = stateful()
    layer(x[:, :5])
    expected = to_numpy(built(weight_drop=0.0)(x))
    np.testing.assert_allclose(to_numpy(layer(x[:2, 5:])), expected[:2, 5:], atol=1e-5)


def test_reset(rng):
    layer, x = stateful(), sequences(rng)
    first = to_numpy(layer(x)), to_numpy(layer(x, training=True))
    for reset in (layer.reset_inference_state, layer.reset_training_state):
        reset()
    np.testing.assert_array_equal(to_numpy(layer(x)), first[0])
    np.testing.assert_array_equal(to_numpy(layer(x, training=True)), first[1])
    layer.reset_training_state()
    assert np.abs(to_numpy(layer(x)) - first[0]).max() > 1e-2
    layer.reset_state()
    np.testing.assert_array_equal(to_numpy(layer(x)), first[0])


def test_a_given_initial_state_wins(rng):
    layer, x = stateful(), sequences(rng)
    layer(x)
    zeros = [np.zeros((BATCH, UNITS), "float32")] * 2
    expected = to_numpy(built(weight_drop=0.0)(x))
    np.testing.assert_allclose(to_numpy(layer(x, initial_state=zeros)), expected, atol=1e-6)


def test_bidirectional_stateful(rng):
    x = sequences(rng)
    layer = keras.layers.Bidirectional(WeightDropLSTM(UNITS, stateful=True, return_sequences=True))
    first = to_numpy(layer(x))
    assert np.abs(to_numpy(layer(x)) - first).max() > 1e-3
    layer.reset_state()
    np.testing.assert_allclose(to_numpy(layer(x)), first, atol=1e-6)


def test_the_carried_state_is_not_saved(rng, tmp_path):
    x = sequences(rng)
    model = keras.Sequential([keras.Input(batch_shape=(BATCH, None, FEATURES)), stateful()])
    first = model.predict(x, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict(x, verbose=0), first, atol=1e-6)


# Dtypes.


@pytest.mark.once
@pytest.mark.parametrize(
    ("policy", "tolerance"),
    [("mixed_float16", 5e-3), ("mixed_bfloat16", 5e-2)],  # float64: ../backend/test_float64.py
)
@pytest.mark.parametrize("carried", [False, True])
def test_dtype_policies(rng, policy, tolerance, carried):
    x = sequences(rng)
    reference = to_numpy(built(weight_drop=0.0)(x))
    layer = built(weight_drop=0.0, dtype=policy, stateful=carried)
    y = layer(x, training=True)
    assert keras.backend.standardize_dtype(y.dtype) == layer.compute_dtype
    np.testing.assert_allclose(to_numpy(ops.cast(y, "float32")), reference, atol=tolerance)
    for gradient in gradients(built(weight_drop=0.5, dtype=policy, stateful=carried), x):
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() > 0


# Keras's contract, and bad input.


# Keras's own test fits on a generator.
@pytest.mark.once
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")
def test_keras_layer_contract():
    from keras.src.testing import TestCase

    case = TestCase()
    for arguments in (
        {"return_sequences": True, "kernel_weight_drop": 0.1, "dropout": 0.1, "seed": 3},
        {"go_backwards": True, "use_cudnn": False, "recurrent_dropout": 0.1},
    ):
        units_shape = (2, 3, 4) if arguments.get("return_sequences") else (2, 4)
        case.run_layer_test(
            WeightDropLSTM,
            init_kwargs={"units": 4, **arguments},
            input_shape=(2, 3, 5),
            expected_output_shape=units_shape,
            expected_num_trainable_weights=3,
            expected_num_non_trainable_weights=0,
            expected_num_non_trainable_variables=2,
            supports_masking=True,
        )
        case.run_class_serialization_test(WeightDropLSTM(4, **arguments))


@pytest.mark.once
def test_config_keeps_every_argument():
    arguments = {
        "units": 4,
        "weight_drop": 0.2,
        "kernel_weight_drop": 0.1,
        "use_cudnn": False,
        "seed": 3,
        "stateful": True,
        "go_backwards": True,
    }
    config = WeightDropLSTM(**arguments).get_config()
    assert {name: config[name] for name in arguments} == arguments
    assert WeightDropLSTM.from_config(config).get_config() == config


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"units": 0}, "units"),
        ({"units": 2.5}, "units"),
        ({"units": 4, "weight_drop": 1.0}, "weight_drop"),
        ({"units": 4, "weight_drop": -0.1}, "weight_drop"),
        ({"units": 4, "kernel_weight_drop": 1.5}, "kernel_weight_drop"),
        ({"units": 4, "dropout": 1.0}, "dropout"),
        ({"units": 4, "recurrent_dropout": "half"}, "recurrent_dropout"),
        ({"units": 4, "use_cudnn": "yes"}, "use_cudnn"),
        ({"units": 4, "seed": -1}, "seed"),
    ],
    ids=str,
)
def test_bad_arguments(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}`.*Received: {name}="):
        WeightDropLSTM(**arguments)


@pytest.mark.once
def test_stateful_wants_a_batch_size(rng):
    with pytest.raises(ValueError, match="known batch size"):
        WeightDropLSTM(4, stateful=True)(keras.Input((None, 3)))
    layer = stateful()
    with pytest.raises(ValueError, match="at most the batch size.*built for 3. Received: 4"):
        layer(sequences(rng, batch=4))
