"""NT-ASGD: its step, average, trigger, exchange of average and iterate, and state."""

import math

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

from awd_keras.optimizers import NTASGD
from awd_keras.optimizers.ntasgd import is_worse
from backends_tests.helpers import once, values_of

SHAPES = [(3, 2), (2,)]


class Oracle:
    """SGD, global clipping, weight decay and averaging in NumPy, float64."""

    def __init__(self, weights, learning_rate, weight_decay, global_clipnorm):
        self.weights = [np.array(w, "float64") for w in weights]
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.global_clipnorm = global_clipnorm
        self.iterates = []

    def start(self):
        self.iterates = [self.weights]

    def step(self, gradients):
        norm = math.sqrt(sum(float((g**2).sum()) for g in gradients))
        scale = min(1.0, self.global_clipnorm / norm)
        self.weights = [
            w - self.learning_rate * (g * scale + self.weight_decay * w)
            for w, g in zip(self.weights, gradients, strict=True)
        ]
        if self.iterates:
            self.iterates.append(self.weights)

    @property
    def averages(self):
        return [np.mean(iterates, axis=0) for iterates in zip(*self.iterates, strict=True)]


def variables_of(weights):
    return [keras.Variable(w.astype("float32"), name=f"v{i}") for i, w in enumerate(weights)]


def assert_equal(variables, arrays, tolerance=1e-6):
    for variable, array in zip(variables, arrays, strict=True):
        array = ops.convert_to_numpy(array)
        np.testing.assert_allclose(ops.convert_to_numpy(variable), array, rtol=0, atol=tolerance)


def averages_of(optimizer, variables):
    """The averages. The model is restored afterwards."""
    optimizer.use_averages()
    averages = [ops.convert_to_numpy(v).copy() for v in variables]
    optimizer.use_iterates()
    return averages


def linear_model(optimizer, **compile_arguments):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="dense")])
    model.compile(optimizer, loss="mse", **compile_arguments)
    model.optimizer.build(model.trainable_variables)
    return model


def mse_gradients(weights, x, y):
    error = 2 * (x @ weights[0] + weights[1] - y) / y.size
    return [x.T @ error, error.sum(axis=0)]


def batches(rng, count):
    return [
        (rng.normal(size=(4, 3)).astype("float32"), rng.normal(size=(4, 2)).astype("float32")) for _ in range(count)
    ]


# The step and the average


def test_30_steps_equal_numpy(rng):
    weights = [rng.normal(size=shape) for shape in SHAPES]
    variables = variables_of(weights)
    settings = {"learning_rate": 0.5, "weight_decay": 0.02, "global_clipnorm": 0.25}
    oracle = Oracle([v.numpy() for v in variables], **settings)
    optimizer = NTASGD(**settings)
    optimizer.build(variables)
    for step in range(30):
        if step == 12:
            optimizer.start_averaging()
            oracle.start()
            assert_equal(averages_of(optimizer, variables), oracle.weights)
        # Small gradients, which aren't clipped, and large ones.
        scale = 0.01 if step % 3 else 1.0
        gradients = [scale * rng.normal(size=shape).astype("float32") for shape in SHAPES]
        optimizer.apply([ops.convert_to_tensor(g) for g in gradients])
        oracle.step(gradients)
        assert_equal(variables, oracle.weights)
        assert optimizer.averaging == (step >= 12)
        if optimizer.averaging:
            assert_equal(averages_of(optimizer, variables), oracle.averages)


def test_30_compiled_steps_equal_numpy(rng):
    settings = {"learning_rate": 0.3, "weight_decay": 0.01, "global_clipnorm": 0.25}
    model = linear_model(NTASGD(**settings, non_monotone_interval=1))
    optimizer = model.optimizer
    oracle = Oracle([v.numpy() for v in model.trainable_variables], **settings)
    for step, (x, y) in enumerate(batches(rng, 30)):
        # With n = 1, 3 > min of (2,): the third measure starts it.
        measure = {4: 2.0, 8: 1.0, 11: 3.0}.get(step)
        if measure and optimizer.update_trigger(measure):
            oracle.start()
        model.train_on_batch(x, y)
        oracle.step(mse_gradients(oracle.weights, x, y))
        assert_equal(model.trainable_variables, oracle.weights)
        if step >= 11:
            # This also shows that no buffer is shared: a compiled step follows each exchange.
            assert_equal(averages_of(optimizer, model.trainable_variables), oracle.averages)
    assert len(oracle.iterates) == 20


def test_gradient_accumulation_averages_once_an_update(rng):
    weights = [rng.normal(size=shape) for shape in SHAPES]
    variables = variables_of(weights)
    settings = {"learning_rate": 0.5, "weight_decay": 0.02, "global_clipnorm": 0.25}
    oracle = Oracle([v.numpy() for v in variables], **settings)
    optimizer = NTASGD(**settings, gradient_accumulation_steps=2)
    optimizer.build(variables)
    optimizer.start_averaging()
    oracle.start()
    for _ in range(2):
        gradients = [[rng.normal(size=s).astype("float32") for s in SHAPES] for _ in range(2)]
        for each in gradients:
            optimizer.apply([ops.convert_to_tensor(g) for g in each])
        oracle.step([np.mean(each, axis=0) for each in zip(*gradients, strict=True)])
        assert_equal(variables, oracle.weights)
        assert_equal(averages_of(optimizer, variables), oracle.averages)
    assert len(oracle.iterates) == 3


def test_gradient_accumulation_compiled(rng):
    settings = {"learning_rate": 0.3, "weight_decay": 0.01, "global_clipnorm": 0.25}
    model = linear_model(NTASGD(**settings, gradient_accumulation_steps=2))
    oracle = Oracle([v.numpy() for v in model.trainable_variables], **settings)
    model.optimizer.start_averaging()
    oracle.start()
    pairs = batches(rng, 6)
    for first, second in zip(pairs[::2], pairs[1::2], strict=True):
        model.train_on_batch(*first)
        model.train_on_batch(*second)
        gradients = [mse_gradients(oracle.weights, *pair) for pair in (first, second)]
        oracle.step([np.mean(each, axis=0) for each in zip(*gradients, strict=True)])
    assert_equal(model.trainable_variables, oracle.weights)
    assert_equal(averages_of(model.optimizer, model.trainable_variables), oracle.averages)


def test_a_variable_without_gradient_keeps_its_value_in_the_average():
    variables = variables_of([np.ones(2), np.ones(2)])
    optimizer = NTASGD(learning_rate=1.0, weight_decay=None, global_clipnorm=None)
    optimizer.build(variables)
    optimizer.start_averaging()
    one = ops.ones((2,))
    optimizer.apply([one, one])
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        optimizer.apply([one, None])
    # The iterates are 1, 0, -1 for the first and 1, 0, 0 for the second.
    assert_equal(averages_of(optimizer, variables), [np.zeros(2), np.full(2, 1 / 3)])


def test_the_average_is_of_constrained_iterates():
    layer = keras.layers.Dense(1, kernel_constraint="non_neg", kernel_initializer="ones")
    layer.build((None, 2))
    optimizer = NTASGD(learning_rate=1.0, weight_decay=None, global_clipnorm=None)
    optimizer.build(layer.trainable_variables)
    optimizer.start_averaging()
    optimizer.apply([ops.full((2, 1), 4.0), ops.zeros((1,))])
    # The iterates are 1 and max(0, 1 - 4).
    averages = averages_of(optimizer, layer.trainable_variables)
    assert_equal(averages, [np.full((2, 1), 0.5), np.zeros(1)])


def test_clips_an_embedding_whose_words_repeat():
    # On TensorFlow the gradient is a list of rows, one for each of the three occurrences.
    model = keras.Sequential([keras.Input((4,), dtype="int32"), keras.layers.Embedding(5, 3, "ones")])
    model.compile(NTASGD(learning_rate=1.0, weight_decay=None, global_clipnorm=0.1), loss="mse")
    before = model.get_weights()[0]
    model.train_on_batch(np.array([[1, 1, 1, 2]]), np.zeros((1, 4, 3), "float32"))
    change = before - model.get_weights()[0]
    assert np.linalg.norm(change) == pytest.approx(0.1, abs=1e-6)
    np.testing.assert_allclose(change[1], 3 * change[2], atol=1e-6)


@pytest.mark.parametrize("accident", [np.nan, *once(np.inf, -np.inf)])
@pytest.mark.parametrize(
    "clipping",
    [{"global_clipnorm": 0.25}, {"global_clipnorm": None}, {"global_clipnorm": None, "clipnorm": 1.0}],
    ids=["global_clipnorm", "unclipped", "clipnorm"],
)
def test_a_step_that_is_not_finite_is_not_made(rng, accident, clipping):
    weights = [rng.normal(size=shape) for shape in SHAPES]
    gradients = [rng.normal(size=shape).astype("float32") for shape in SHAPES]
    bad = [g.copy() for g in gradients]
    bad[1][0] = accident

    def trained(steps):
        variables = variables_of(weights)
        optimizer = NTASGD(learning_rate=0.1, **clipping)
        optimizer.build(variables)
        optimizer.start_averaging()
        for step in steps:
            optimizer.apply([ops.convert_to_tensor(g) for g in step])
        return optimizer, values_of(variables), averages_of(optimizer, variables)

    optimizer, iterates, averages = trained([bad, gradients, bad, gradients])
    without, expected_iterates, expected_averages = trained([gradients, gradients])
    assert optimizer.skipped_steps == 2
    assert without.skipped_steps == 0
    assert int(optimizer.iterations) == 4
    for got, expected in ((iterates, expected_iterates), (averages, expected_averages)):
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_an_infinite_weight_does_not_reach_an_average_that_has_not_begun():
    variable = keras.Variable(np.array([np.inf, 1.0], "float32"))
    optimizer = NTASGD(learning_rate=0.1, weight_decay=None)
    optimizer.build([variable])
    optimizer.apply([ops.zeros((2,))])
    assert int(optimizer.iterations) == 1
    assert all(np.isfinite(ops.convert_to_numpy(v)).all() for v in optimizer.variables if v.name == "average")


def test_what_a_step_raises_is_what_fit_raises():
    class Breaks(keras.Model):
        def train_step(self, *args):
            raise RuntimeError("out of memory, say")

    inputs = keras.Input((3,))
    model = Breaks(inputs, keras.layers.Dense(2)(inputs))
    model.compile(NTASGD(), loss="mse")
    with pytest.raises(RuntimeError, match="out of memory"):
        model.fit(np.ones((4, 3), "float32"), np.ones((4, 2), "float32"), verbose=0)


def test_an_accident_in_an_accumulated_gradient_costs_that_update_alone():
    variable = keras.Variable(np.zeros(2, "float32"))
    optimizer = NTASGD(learning_rate=1.0, weight_decay=None, global_clipnorm=10.0, gradient_accumulation_steps=2)
    optimizer.build([variable])
    optimizer.start_averaging()
    for gradient in (1.0, np.nan, 2.0, 4.0):
        optimizer.apply([ops.full((2,), gradient)])
    np.testing.assert_allclose(ops.convert_to_numpy(variable), -3.0)
    np.testing.assert_allclose(averages_of(optimizer, [variable])[0], -1.5)
    assert optimizer.skipped_steps == 1


def test_the_norm_of_half_precision_gradients_does_not_overflow():
    variable = keras.Variable(np.zeros(4), dtype="float16")
    optimizer = NTASGD(learning_rate=1.0, weight_decay=None, global_clipnorm=1.0)
    optimizer.build([variable])
    optimizer.apply([ops.full((4,), 30000.0, dtype="float16")])
    np.testing.assert_allclose(ops.convert_to_numpy(variable), -0.5, rtol=1e-3)


# float64 is in backend/test_float64.py, as JAX has it in a process of its own.
@pytest.mark.parametrize("gradient_dtype", ["float32", "float16", *once("bfloat16")])
@pytest.mark.parametrize("variable_dtype", ["float32", "bfloat16", *once("float16")])
def test_a_gradient_of_another_dtype_than_its_variable_s(variable_dtype, gradient_dtype):
    check_step_of_dtypes(variable_dtype, gradient_dtype)


def check_step_of_dtypes(variable_dtype, gradient_dtype):
    """With a second variable, whose gradient has its dtype. Clips as NumPy does, and casts as Keras's own SGD does."""
    gradients = [np.array([3.0, -4.0]), np.array([12.0])]
    dtypes = [(variable_dtype, gradient_dtype), ("float32", "float32")]

    def step(optimizer):
        variables = [keras.Variable(np.ones(len(g)), dtype=own) for g, (own, _) in zip(gradients, dtypes, strict=True)]
        optimizer.build(variables)
        optimizer.apply([ops.cast(g, other) for g, (_, other) in zip(gradients, dtypes, strict=True)])
        assert [variable.dtype for variable in variables] == [variable_dtype, "float32"]
        return [ops.convert_to_numpy(ops.cast(variable, "float32")) for variable in variables]

    clipped = step(NTASGD(learning_rate=0.5, weight_decay=0.25, global_clipnorm=0.5))
    unclipped = step(NTASGD(learning_rate=0.5, weight_decay=0.25, global_clipnorm=None))
    # Keras can't clip gradients of several dtypes on TensorFlow.
    sgd = step(keras.optimizers.SGD(learning_rate=0.5, weight_decay=0.25))
    for place, gradient in enumerate(gradients):
        # SGD subtracts twice, so that results in bfloat16 may be rounded differently.
        tolerance = 1e-6 if {*dtypes[place]} <= {"float32", "float64"} else 3e-2
        expected = 1 - 0.5 * (gradient * 0.5 / 13 + 0.25)
        np.testing.assert_allclose(clipped[place], expected, rtol=0, atol=tolerance)
        np.testing.assert_allclose(unclipped[place], sgd[place], rtol=0, atol=tolerance)


def test_a_gradient_is_clipped_before_it_is_made_narrower():
    """1e6 is infinite in float16."""
    variable = keras.Variable(np.zeros(1), dtype="float16")
    optimizer = NTASGD(learning_rate=1.0, weight_decay=None, global_clipnorm=0.5)
    optimizer.build([variable])
    optimizer.apply([ops.full((1,), 1e6)])
    assert_equal([ops.cast(variable, "float32")], [np.full(1, -0.5)], 1e-3)


@pytest.mark.once
def test_the_average_costs_nothing_in_precision(rng):
    """The mean of 1,000 iterates, in float32, against NumPy's in float64."""
    iterates = rng.normal(size=(1000, 5)).astype("float32")
    variable = keras.Variable(np.zeros(5, "float32"))
    optimizer = NTASGD(learning_rate=1.0, weight_decay=None, global_clipnorm=None)
    optimizer.build([variable])
    optimizer.start_averaging()
    now = np.zeros(5, "float32")
    seen = [now]
    for iterate in iterates:
        optimizer.apply([ops.convert_to_tensor(now - iterate)])
        now = ops.convert_to_numpy(variable).copy()
        seen.append(now)
    np.testing.assert_allclose(averages_of(optimizer, [variable])[0], np.mean(seen, axis=0, dtype="float64"), atol=1e-6)


def test_excludes_from_weight_decay():
    variables = variables_of([np.ones(2), np.ones(2)])
    optimizer = NTASGD(learning_rate=0.5, weight_decay=0.2)
    optimizer.exclude_from_weight_decay(var_names=["v1"])
    optimizer.apply([ops.zeros((2,)), ops.zeros((2,))], variables)
    assert_equal(variables, [np.full(2, 0.9), np.ones(2)])


def test_no_gradients_is_no_step():
    variables = variables_of([np.ones(2)])
    optimizer = NTASGD()
    optimizer.build(variables)
    optimizer.start_averaging()
    optimizer.apply([])
    assert int(optimizer.iterations) == 0
    optimizer.apply([ops.ones((2,))])
    assert_equal(averages_of(optimizer, variables), [(1.0 + variables[0].numpy()) / 2])


# The trigger


def worse(measures, n):
    """The rule as the docstring of `NTASGD` states it, for each measure."""
    logs, found = [], []
    for v in measures:
        v = math.inf if math.isnan(v) else v
        found.append(len(logs) > n and v > min(logs[:-n]))
        logs.append(v)
    return found


def check_trigger(measures, n):
    """The rule is the same before and after averaging has begun. The first worse measure starts averaging."""
    expected = worse(measures, n)
    # `is_worse` gets all measures, as for a run that has ended.
    assert [is_worse(measures[: k + 1], n) for k in range(len(measures))] == expected
    optimizer, averaging = NTASGD(non_monotone_interval=n), NTASGD(non_monotone_interval=n)
    for each in (optimizer, averaging):
        each.build(variables_of([np.ones(2)]))
    averaging.start_averaging()
    for k, measure in enumerate(measures):
        assert [optimizer.update_trigger(measure), averaging.update_trigger(measure)] == [expected[k]] * 2
        assert optimizer.averaging == any(expected[: k + 1])


@pytest.mark.once
@pytest.mark.parametrize(
    ("measures", "n", "expected"),
    [
        # Always better: averaging never begins.
        ([9, 8, 7, 6, 5, 4, 3], 2, None),
        # Worse at once, but more than n measures are needed first.
        ([5, 6, 7, 8], 2, 3),
        ([5, 6, 7, 8], 3, None),
        # The best ones are among the last n, which don't count.
        ([9, 8, 3, 4, 5], 2, None),
        ([9, 8, 3, 4, 5], 1, 4),
        # Noise: worse than the last ones, but better than the best older one.
        ([90, 80, 70, 72, 69, 71, 70.5], 3, 6),
        ([90, 80, 70, 72, 69, 71, 69.5], 5, None),
        # Equal to the best isn't worse.
        ([5, 5, 5, 5, 5], 1, None),
        ([0.1, 0.3, 0.1, 0.1, 0.1], 1, None),
        # NaN and infinity are the worst, but not worse than themselves.
        ([math.nan, math.nan, math.nan], 1, None),
        ([5, math.inf, 4, math.nan], 1, 3),
        ([5, 4, 1e300], 1, 2),
    ],
)
def test_trigger(measures, n, expected):
    found = worse(measures, n)
    assert (found.index(True) if any(found) else None) == expected
    check_trigger(measures, n)


@pytest.mark.once
@given(
    st.lists(st.integers(1, 20).map(lambda i: i / 10) | st.just(math.nan), max_size=12),
    st.integers(1, 4),
)
def test_trigger_on_any_log(measures, n):
    check_trigger(measures, n)


@pytest.mark.parametrize("seed", [0, *once(1, 2)])
def test_trigger_on_noisy_improvement(seed):
    rng = np.random.default_rng(seed)
    measures = 60 + 100 * np.exp(-np.arange(60) / 6) + rng.normal(size=60)
    measures = measures.astype("float32").tolist()
    assert any(worse(measures, 5))
    check_trigger(measures, 5)


def test_start_averaging_again_changes_nothing():
    variables = variables_of([np.zeros(2)])
    optimizer = NTASGD(learning_rate=1.0, weight_decay=None, global_clipnorm=None)
    optimizer.build(variables)
    optimizer.start_averaging()
    optimizer.apply([ops.full((2,), -1.0)])
    optimizer.start_averaging()
    assert_equal(averages_of(optimizer, variables), [np.full(2, 0.5)])


# The exchange


def test_exchange_is_idempotent_and_exact(rng):
    variables = variables_of([rng.normal(size=s) for s in SHAPES])
    optimizer = NTASGD()
    optimizer.build(variables)
    before = [v.numpy().copy() for v in variables]
    optimizer.use_averages()
    assert not optimizer.averages_in_model
    assert_equal(variables, before, 0)
    optimizer.start_averaging()
    optimizer.apply([ops.ones(shape) for shape in SHAPES])
    raw = [v.numpy().copy() for v in variables]
    optimizer.use_iterates()
    assert_equal(variables, raw, 0)
    optimizer.use_averages()
    averages = [v.numpy().copy() for v in variables]
    assert optimizer.averages_in_model
    assert not np.array_equal(averages[0], raw[0])
    optimizer.use_averages()
    assert_equal(variables, averages, 0)
    for _ in range(2):
        optimizer.use_iterates()
        assert not optimizer.averages_in_model
        assert_equal(variables, raw, 0)
    optimizer.use_averages()
    assert_equal(variables, averages, 0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_variables_have_float32_averages(dtype):
    variable = keras.Variable(np.ones(2), dtype=dtype)
    optimizer = NTASGD(learning_rate=1.0, weight_decay=None, global_clipnorm=None)
    optimizer.build([variable])
    optimizer.start_averaging()
    for step in range(120):
        optimizer.apply([ops.full((2,), -1.0 if step % 2 == 0 else 1.0, dtype=dtype)])
        if step % 7 == 0:
            optimizer.use_averages()
            optimizer.use_iterates()
    # The iterates are 1, 2, 1, 2, ..., 1. In bfloat16 the running mean would stop far from their mean.
    np.testing.assert_allclose(optimizer._averages[0].numpy(), 181 / 121, atol=1e-4)
    assert variable.dtype == dtype
    optimizer.use_averages()
    optimizer.use_iterates()
    assert_equal([ops.cast(variable, "float32")], [np.ones(2)], 0)


def test_training_averaged_weights_is_noticed(rng):
    model = linear_model(NTASGD(learning_rate=0.1))
    model.optimizer.start_averaging()
    x, y = batches(rng, 1)[0]
    model.train_on_batch(x, y)
    raw = model.get_weights()
    model.optimizer.use_averages()
    with pytest.warns(UserWarning, match="while it held averaged weights"):
        model.fit(x, y, verbose=0)
    with pytest.warns(UserWarning, match="while it held averaged weights"):
        model.optimizer.use_iterates()
    # The raw iterate has been kept.
    assert_equal(model.trainable_variables, raw, 0)


# State


def test_state_goes_through_a_file(rng, tmp_path):
    model = linear_model(NTASGD(learning_rate=0.1, non_monotone_interval=2))
    for measure in (5.0, 4.0, 3.0):
        model.optimizer.update_trigger(measure)
    data = batches(rng, 6)
    for x, y in data[:2]:
        model.train_on_batch(x, y)
    model.optimizer.start_averaging()
    for x, y in data[2:4]:
        model.train_on_batch(x, y)
    model.optimizer.use_averages()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is NTASGD
    assert loaded.optimizer.averaging
    assert loaded.optimizer.averages_in_model
    assert_equal(loaded.trainable_variables, model.get_weights(), 0)
    assert_equal(loaded.optimizer.variables, model.optimizer.variables, 0)
    for each in (model, loaded):
        each.optimizer.use_iterates()
        for x, y in data[4:]:
            each.train_on_batch(x, y)
    assert_equal(loaded.trainable_variables, model.get_weights(), 0)
    assert_equal(loaded.optimizer.variables, model.optimizer.variables, 0)


def averaged_model(rng):
    """A model after two steps with averaging, which has the raw iterate."""
    model = linear_model(NTASGD(learning_rate=0.1))
    model.optimizer.start_averaging()
    for x, y in batches(rng, 2):
        model.train_on_batch(x, y)
    return model


def test_the_raw_iterate_takes_memory_only_while_the_averages_are_in_the_model(rng):
    model = averaged_model(rng)
    numbers = len([v for v in model.optimizer.variables if v.shape == ()])
    # One vector of measures, and for each weight one array, its average.
    assert len(model.optimizer.variables) - numbers == 1 + len(model.weights)
    assert model.optimizer._iterates == []
    model.optimizer.use_averages()
    assert [tuple(array.shape) for array in model.optimizer._iterates] == [tuple(w.shape) for w in model.weights]
    model.optimizer.use_iterates()
    assert model.optimizer._iterates == []


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_files_have_the_raw_iterate_where_the_model_has_the_averages(rng, tmp_path, dtype):
    with_averages, with_iterate = tmp_path / "averages.weights.h5", tmp_path / "iterate.weights.h5"
    keras.config.set_dtype_policy(dtype)
    model = averaged_model(rng)
    raw = model.get_weights()
    model.save_weights(with_iterate)
    model.optimizer.use_averages()
    averages = model.get_weights()
    model.save_weights(with_averages)
    assert not np.array_equal(raw[0], averages[0])
    other = linear_model(NTASGD(learning_rate=0.1))
    # Also when one file is loaded after the other.
    for _ in range(2):
        other.load_weights(with_averages)
        assert_equal(other.trainable_variables, averages, 0)
        other.load_weights(with_iterate)
        assert not other.optimizer.averages_in_model
        assert other.optimizer._iterates == []
        assert_equal(other.trainable_variables, raw, 0)
    other.load_weights(with_averages)
    other.optimizer.use_iterates()
    assert_equal(other.trainable_variables, raw, 0)


def test_an_optimizer_of_another_model_is_left_out_of_loading(rng, tmp_path):
    model = averaged_model(rng)
    model.optimizer.use_averages()
    model.save_weights(tmp_path / "model.weights.h5")
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    other.compile(keras.optimizers.SGD(), "mse")
    other.optimizer.build(other.trainable_variables)
    other.save_weights(tmp_path / "other.weights.h5")
    raw = values_of(model.optimizer._iterates)
    with pytest.warns(UserWarning, match="Skipping variable loading for optimizer 'ntasgd'"):
        model.load_weights(tmp_path / "other.weights.h5")
    with pytest.warns(UserWarning, match="Weights that were set in the model"):
        model.optimizer.use_iterates()
    assert_equal(model.trainable_variables, raw, 0)


def test_variables_alone_lack_the_raw_iterate(rng, tmp_path):
    model, other = averaged_model(rng), averaged_model(rng)
    model.optimizer.use_averages()
    other.set_weights(model.get_weights())
    for its, own in zip(other.optimizer.variables, model.optimizer.variables, strict=True):
        its.assign(own)
    other.save(tmp_path / "other.keras")
    for without in (other, keras.saving.load_model(tmp_path / "other.keras")):
        with pytest.warns(UserWarning, match="The raw iterate is lost"):
            without.optimizer.use_iterates()
        assert not without.optimizer.averages_in_model
        assert_equal(without.trainable_variables, model.get_weights(), 0)


@pytest.mark.once
def test_each_has_a_name_of_its_own():
    assert [NTASGD().name for _ in range(2)] == ["ntasgd", "ntasgd_1"]
    assert NTASGD(name="mine").name == "mine"


@pytest.mark.once
def test_config():
    arguments = {
        "learning_rate": 3.0,
        "non_monotone_interval": 7,
        "weight_decay": 0.1,
        "clipnorm": None,
        "clipvalue": 2.0,
        "global_clipnorm": None,
        "loss_scale_factor": 4.0,
        "gradient_accumulation_steps": 2,
        "name": "n",
    }
    optimizer = NTASGD(**arguments)
    config = optimizer.get_config()
    assert config == arguments
    assert NTASGD.from_config(config).get_config() == config
    serialized = keras.optimizers.serialize(optimizer)
    assert serialized["registered_name"] == "awd_keras>NTASGD"
    assert keras.optimizers.deserialize(serialized).get_config() == config
    defaults = NTASGD().get_config()
    assert defaults["learning_rate"] == 30.0
    assert defaults["non_monotone_interval"] == 5
    assert defaults["weight_decay"] == 1.2e-6
    assert defaults["global_clipnorm"] == 0.25
    assert not any("ema" in key for key in defaults)


def test_loss_scaling_changes_nothing(rng):
    data = batches(rng, 8)
    settings = {"learning_rate": 0.3, "weight_decay": 0.01}
    plain = linear_model(NTASGD(**settings))
    scaled = linear_model(keras.optimizers.LossScaleOptimizer(NTASGD(**settings)))
    scaled.set_weights(plain.get_weights())
    optimizers = plain.optimizer, scaled.optimizer.inner_optimizer
    for step, (x, y) in enumerate(data):
        if step == 3:
            for optimizer in optimizers:
                optimizer.start_averaging()
        if step == 5:
            # A step that isn't finite changes neither the weights nor the average.
            scaled.train_on_batch(x, np.full_like(y, np.inf))
        plain.train_on_batch(x, y)
        scaled.train_on_batch(x, y)
    assert_equal(scaled.trainable_variables, plain.get_weights())
    averages = averages_of(optimizers[0], plain.trainable_variables)
    assert_equal(averages_of(optimizers[1], scaled.trainable_variables), averages)
    assert not np.allclose(averages[0], plain.get_weights()[0])


# Bad input


@pytest.mark.once
@pytest.mark.parametrize(
    "arguments",
    [
        {"learning_rate": -1.0},
        {"learning_rate": math.nan},
        {"learning_rate": "fast"},
        {"non_monotone_interval": 0},
        {"non_monotone_interval": 2.5},
        {"non_monotone_interval": True},
        {"weight_decay": -1e-6},
        {"weight_decay": "small"},
        {"global_clipnorm": -0.25},
        {"clipnorm": -1.0, "global_clipnorm": None},
        {"clipvalue": "x", "global_clipnorm": None},
        {"gradient_accumulation_steps": 1},
    ],
)
def test_bad_arguments(arguments):
    with pytest.raises(ValueError, match=f"{next(iter(arguments))}.*Received"):
        NTASGD(**arguments)


@pytest.mark.once
def test_a_whole_number_is_a_learning_rate():
    assert NTASGD(learning_rate=30).get_config()["learning_rate"] == 30.0


@pytest.mark.once
@pytest.mark.parametrize("measure", ["low", None, True])
def test_bad_measure(measure):
    optimizer = NTASGD()
    optimizer.build(variables_of([np.ones(2)]))
    with pytest.raises(ValueError, match="Argument `measure` must be a number. Received"):
        optimizer.update_trigger(measure)


@pytest.mark.once
def test_not_built():
    optimizer = NTASGD()
    assert not optimizer.averaging
    assert not optimizer.averages_in_model
    optimizer.use_averages()
    optimizer.use_iterates()
    with pytest.raises(ValueError, match=r"`update_trigger.*optimizer\.build"):
        optimizer.update_trigger(1.0)
    with pytest.raises(ValueError, match=r"`start_averaging.*optimizer\.build"):
        optimizer.start_averaging()
    with pytest.raises(ValueError, match=r"`apply.*optimizer\.build"):
        optimizer.apply([ops.ones((2,))])
