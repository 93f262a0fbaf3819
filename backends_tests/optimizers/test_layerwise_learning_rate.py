"""Learning rates by layer equal groups of parameters, for any optimizer, and change without compiling."""

import copy

import keras
import numpy as np
import pytest
from keras import ops

from awd_keras import backend
from awd_keras.models import AWDLSTM
from awd_keras.optimizers import NTASGD, L2WeightDecay, LayerwiseLearningRate
from backends_tests.helpers import to_numpy, values_of

SHAPES = {"body": (3, 2), "middle": (2, 2), "head": (2,)}
MULTIPLIERS = {"body": 0.25, "middle": 0.0}
RATE, STEPS = 0.1, 20


def new_variables(rng):
    return [keras.Variable(rng.normal(size=shape).astype("float32"), name=name) for name, shape in SHAPES.items()]


def gradients(rng, count=STEPS):
    return [[rng.normal(size=shape).astype("float32") for shape in SHAPES.values()] for _ in range(count)]


def steps(optimizer, variables, all_gradients):
    optimizer.build(variables)
    for each in all_gradients:
        optimizer.apply([ops.convert_to_tensor(g) for g in each])


class Group:
    """A variable with its own learning rate, in NumPy: SGD with momentum, or AdamW."""

    def __init__(self, w, rate):
        self.w, self.rate = w.astype("float64"), rate
        self.m = self.v = np.zeros_like(self.w)
        self.count = 0

    def momentum(self, g):
        self.m = 0.9 * self.m + g
        self.w = self.w - self.rate * self.m

    def adamw(self, g, decay=0.1):
        self.count += 1
        self.w = self.w - self.rate * decay * self.w
        self.m = 0.9 * self.m + 0.1 * g
        self.v = 0.999 * self.v + 0.001 * g * g
        m, v = self.m / (1 - 0.9**self.count), self.v / (1 - 0.999**self.count)
        self.w = self.w - self.rate * m / (np.sqrt(v) + 1e-8)


INNER = {
    "momentum": lambda: keras.optimizers.SGD(RATE, momentum=0.9),
    "adamw": lambda: keras.optimizers.AdamW(RATE, weight_decay=0.1, epsilon=1e-8),
}


@pytest.mark.parametrize("name", INNER)
def test_equals_groups_of_parameters(name, rng):
    variables = new_variables(rng)
    groups = [Group(to_numpy(v), RATE * MULTIPLIERS.get(v.name, 1.0)) for v in variables]
    all_gradients = gradients(rng)
    steps(LayerwiseLearningRate(INNER[name](), MULTIPLIERS), variables, all_gradients)
    for group, values in zip(groups, zip(*all_gradients, strict=True), strict=True):
        for g in values:
            getattr(group, name)(g)
    for variable, group in zip(variables, groups, strict=True):
        np.testing.assert_allclose(to_numpy(variable), group.w, rtol=0, atol=1e-5)


def test_a_multiplier_of_0_keeps_and_of_1_changes_nothing(rng):
    """To the last bit, even if the step isn't finite."""
    variables, others = new_variables(rng), new_variables(np.random.default_rng(0))
    before = values_of(variables)
    all_gradients = gradients(rng, 3)
    all_gradients[1][1][:] = np.inf
    steps(
        LayerwiseLearningRate(keras.optimizers.Adam(RATE), {"middle": 0, "body": 1, "head": 1}),
        variables,
        all_gradients,
    )
    steps(keras.optimizers.Adam(RATE), others, all_gradients)
    np.testing.assert_array_equal(to_numpy(variables[1]), before[1])
    for index in (0, 2):
        np.testing.assert_array_equal(to_numpy(variables[index]), to_numpy(others[index]))


def test_ntasgd_averages_what_comes_out(rng):
    variables = new_variables(rng)
    optimizer = LayerwiseLearningRate(
        NTASGD(RATE, weight_decay=0.0, global_clipnorm=None, non_monotone_interval=1), MULTIPLIERS
    )
    optimizer.build(variables)
    optimizer.inner_optimizer.start_averaging()
    iterates = [values_of(variables)]
    for each in gradients(rng, 4):
        iterates.append(
            [w - RATE * MULTIPLIERS.get(v.name, 1.0) * g for w, g, v in zip(iterates[-1], each, variables, strict=True)]
        )
        optimizer.apply([ops.convert_to_tensor(g) for g in each])
    optimizer.inner_optimizer.use_averages()
    for variable, expected in zip(variables, map(np.mean, zip(*iterates, strict=True), [0] * 3), strict=True):
        np.testing.assert_allclose(to_numpy(variable), expected, atol=1e-6)


def test_the_moving_average_and_constraints_see_what_comes_out():
    w = keras.Variable([1.0, 1.0], name="body")
    w.constraint = keras.constraints.NonNeg()
    inner = keras.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5)
    optimizer = LayerwiseLearningRate(inner, {"body": 0.5})
    steps(optimizer, [w], [[np.array([1.0, 4.0], "float32")]])
    np.testing.assert_allclose(to_numpy(w), [0.5, 0.0])  # the constraint comes after the multiplier
    optimizer.finalize_variable_values([w])
    # Keras averages before it applies constraints, and the average begins with the first iterate.
    np.testing.assert_allclose(to_numpy(w), [0.5, -1.0])


def test_accumulated_gradients(rng):
    variables = new_variables(rng)
    before, all_gradients = values_of(variables), gradients(rng, 2)
    inner = keras.optimizers.SGD(RATE, gradient_accumulation_steps=2)
    steps(LayerwiseLearningRate(inner, MULTIPLIERS), variables, all_gradients)
    for variable, w, one, two in zip(variables, before, *all_gradients, strict=True):
        expected = w - RATE * MULTIPLIERS.get(variable.name, 1.0) * (one + two) / 2
        np.testing.assert_allclose(to_numpy(variable), expected, atol=1e-6)


# ULMFiT's multipliers


def recurrent_model():
    return keras.Sequential(
        [
            keras.Input((4,), dtype="int32"),
            keras.layers.Embedding(5, 3, name="embedding"),
            keras.layers.Bidirectional(keras.layers.LSTM(2, return_sequences=True), name="both"),
            keras.layers.LSTM(2, name="lstm"),
            keras.Sequential(
                [keras.layers.Dense(2), keras.layers.BatchNormalization(), keras.layers.Dense(1)], name="head"
            ),
        ]
    )


def test_ulmfit_divides_by_the_layer():
    model = recurrent_model()
    optimizer = LayerwiseLearningRate(keras.optimizers.SGD(), "ulmfit")
    assert optimizer.multipliers == {}
    optimizer.build(model.trainable_variables)
    names = [name.rpartition("/")[2] for name in optimizer.multipliers]
    assert names == ["embedding", "both", "lstm", "head"]
    values = [float(to_numpy(m)) for m in optimizer.multipliers.values()]
    np.testing.assert_allclose(values, [2.6**-3, 2.6**-2, 2.6**-1, 1])
    # Each variable has the multiplier of its layer.
    before = model.get_weights()
    optimizer.apply([ops.ones(v.shape) for v in model.trainable_variables])
    moved = [float((a - b).max()) for a, b in zip(before, model.get_weights(), strict=True)]
    expected = 0.01 * np.repeat(values, [1, 6, 3, 4])
    trained = [d for d, v in zip(moved, model.weights, strict=True) if v.trainable]
    np.testing.assert_allclose(trained, [*expected, *[0.01] * (len(trained) - 14)], rtol=1e-3)


# In a model


def new_model(optimizer):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="body"), keras.layers.Dense(2, name="top")])
    model.compile(optimizer, loss="mse", jit_compile=backend.jit_compile())
    return model


def data(rng):
    return rng.normal(size=(8, 3)).astype("float32"), rng.normal(size=(8, 2)).astype("float32")


def test_fit_file_and_copy(rng, tmp_path):
    x, y = data(rng)
    model = new_model(LayerwiseLearningRate(NTASGD(0.5), {"body": 0.5, "top": 0.25}))
    model.fit(x, y, verbose=0)
    model.optimizer.multipliers["body"].assign(0.0)
    model.optimizer.inner_optimizer.start_averaging()
    model.optimizer.inner_optimizer.use_averages()  # the file then has the iterates too
    model.save(tmp_path / "model.keras")
    again, copied = keras.saving.load_model(tmp_path / "model.keras"), copy.deepcopy(model)
    for other in (again, copied):
        assert other.optimizer.get_config() == model.optimizer.get_config()
        assert float(to_numpy(other.optimizer.multipliers["body"])) == 0
        other.optimizer.inner_optimizer.use_iterates()
    model.optimizer.inner_optimizer.use_iterates()
    body = model.get_layer("body").get_weights()[0]
    for other in (model, again, copied):
        other.fit(x, y, verbose=0)
        np.testing.assert_array_equal(other.get_layer("body").get_weights()[0], body)
        np.testing.assert_allclose(other.get_layer("top").get_weights()[0], model.get_layer("top").get_weights()[0])


@pytest.mark.once
@pytest.mark.parametrize("wrap", [lambda inner: LayerwiseLearningRate(inner, {"body": 0.5, "top": 0.1}), L2WeightDecay])
@pytest.mark.parametrize("other", [None, "adam", "unbuilt"])
def test_a_file_of_another_optimizer_or_of_none(rng, tmp_path, wrap, other):
    """As with Keras's optimizers, the weights are read, with a warning that the optimizer isn't."""
    source = new_model("adam")
    if other is None:
        source.compiled = False
        source.optimizer = None
    elif other == "adam":
        source.fit(*data(rng), verbose=0)
    source.save_weights(tmp_path / "other.weights.h5")
    model = new_model(wrap(keras.optimizers.Adam()))
    model.optimizer.build(model.trainable_variables)
    with pytest.warns(UserWarning, match="Skipping variable loading"):
        model.load_weights(tmp_path / "other.weights.h5")
    for one, expected in zip(model.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(one, expected)


@pytest.mark.once
def test_a_file_from_before_the_first_step(tmp_path):
    model = new_model(LayerwiseLearningRate(keras.optimizers.Adam(), {"body": 0.5, "top": 0.25}))
    model.save(tmp_path / "model.keras")
    with pytest.warns(UserWarning, match="Skipping variable loading"):
        again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.optimizer.get_config() == model.optimizer.get_config()


class Counting(keras.layers.Layer):
    traced = 0

    def call(self, inputs):
        Counting.traced += 1
        return inputs


def test_a_change_compiles_nothing(rng):
    x, y = data(rng)
    model = keras.Sequential([keras.Input((3,)), Counting(), keras.layers.Dense(2, name="body")])
    model.compile(
        LayerwiseLearningRate(keras.optimizers.SGD(0.1), {"body": 1.0}), loss="mse", jit_compile=backend.jit_compile()
    )
    model.train_on_batch(x, y)
    traced = Counting.traced
    weights = model.get_weights()
    model.optimizer.freeze("body")
    model.train_on_batch(x, y)
    np.testing.assert_array_equal(model.get_weights()[0], weights[0])
    model.optimizer.unfreeze("body")
    model.train_on_batch(x, y)
    assert not np.array_equal(model.get_weights()[0], weights[0])
    # PyTorch calls the layer in each step.
    assert Counting.traced - traced == (2 if keras.backend.backend() == "torch" else 0)


def test_within_loss_scaling_and_around_a_scaled_loss(rng):
    x, y = data(rng)
    scaled = keras.optimizers.LossScaleOptimizer(LayerwiseLearningRate(keras.optimizers.SGD(0.1), {"body": 0.5}))
    own = LayerwiseLearningRate(keras.optimizers.SGD(0.1, loss_scale_factor=1024.0), {"body": 0.5})
    plain = LayerwiseLearningRate(keras.optimizers.SGD(0.1), {"body": 0.5})
    models = [new_model(optimizer) for optimizer in (plain, scaled, own)]
    for model in models:
        model.set_weights(models[0].get_weights())
    for model in models:
        model.train_on_batch(x, y)
    for model in models[1:]:
        for one, other in zip(model.get_weights(), models[0].get_weights(), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)


def test_what_is_excluded_from_weight_decay():
    """The inner optimizer decays the weights, so it must know."""
    optimizer = LayerwiseLearningRate(keras.optimizers.AdamW(0.1, weight_decay=0.5), {"weight": 1.0})
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    weight, bias = keras.Variable(1.0, name="weight"), keras.Variable(1.0, name="bias")
    optimizer.build([weight, bias])
    optimizer.apply([ops.zeros(()), ops.zeros(())])
    assert values_of([weight, bias]) == pytest.approx([0.95, 1.0])


def test_the_rate_is_the_inner_one():
    optimizer = LayerwiseLearningRate(keras.optimizers.SGD(0.5), {})
    optimizer.learning_rate = 0.25
    assert float(to_numpy(optimizer.inner_optimizer.learning_rate)) == 0.25 == float(to_numpy(optimizer.learning_rate))
    optimizer.build([keras.Variable([1.0])])
    optimizer.apply([ops.convert_to_tensor(np.ones(1, "float32"))])
    assert int(to_numpy(optimizer.iterations)) == 1


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sgd", {}), "`optimizer` must be an optimizer .* Received: optimizer='sgd'"),
        (
            (keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()), {}),
            "`optimizer` must be .* wraps no other one",
        ),
        ((keras.optimizers.SGD(), "best"), "`multipliers` must be a dictionary .* Received: multipliers='best'"),
        ((keras.optimizers.SGD(), {"a": -1}), r"`multipliers\['a'\]` must be a number of at least 0. Received.*=-1"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        LayerwiseLearningRate(*arguments)


@pytest.mark.once
def test_a_pattern_that_is_in_no_path(rng):
    optimizer = LayerwiseLearningRate(keras.optimizers.SGD(), {"body": 1.0, "lstm_7": 0.5})
    with pytest.raises(
        ValueError, match="`multipliers` must have patterns .* Received: 'lstm_7', and the variables body"
    ):
        optimizer.build(new_variables(rng))


@pytest.mark.once
def test_the_name_of_the_model_is_not_searched():
    """Else "lstm" would be found in all variables of an `AWDLSTM`, the embedding too."""
    model = AWDLSTM(9, embedding_dim=4, hidden_units=4, num_layers=1)
    model.build((1, None))
    assert all("lstm" in variable.path for variable in model.trainable_variables)
    rates = LayerwiseLearningRate(keras.optimizers.SGD(1.0), {"lstm": 0.0, f"{model.name}/embedding": 0.5})
    rates.build(model.trainable_variables)
    before = values_of(model.trainable_variables)
    rates.apply([ops.ones(variable.shape) for variable in model.trainable_variables])
    for variable, old in zip(model.trainable_variables, before, strict=True):
        step = 0.0 if "/lstm_0/" in variable.path else 0.5
        np.testing.assert_allclose(to_numpy(variable), old - step, atol=1e-6)
