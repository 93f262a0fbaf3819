"""Weight decay in the gradient, for any optimizer: it equals NumPy's, is saved, and changes nothing else."""

import copy

import keras
import numpy as np
import pytest
from keras import ops

from awd_keras import backend
from awd_keras.optimizers import NTASGD, L2WeightDecay, LayerwiseLearningRate
from backends_tests.helpers import once, to_numpy, values_of

DECAY, RATE, STEPS = 0.1, 0.05, 20
SHAPES = {"kernel": (3, 2), "bias": (2,)}


def new_variables(rng):
    return [keras.Variable(rng.normal(size=shape).astype("float32"), name=name) for name, shape in SHAPES.items()]


def gradients(rng, count=STEPS):
    return [[rng.normal(size=shape).astype("float32") for shape in SHAPES.values()] for _ in range(count)]


def apply(optimizer, variables, all_gradients):
    optimizer.build(variables)
    for each in all_gradients:
        optimizer.apply([ops.convert_to_tensor(g) for g in each], variables)


def sgd(w, m, v, g, count):
    return w - RATE * g, m, v


def momentum(w, m, v, g, count):
    m = 0.9 * m + g
    return w - RATE * m, m, v


def adam(w, m, v, g, count):
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    return w - RATE * (m / (1 - 0.9**count)) / (np.sqrt(v / (1 - 0.999**count)) + 1e-8), m, v


INNER = {
    sgd: lambda **k: keras.optimizers.SGD(RATE, **k),
    momentum: lambda **k: keras.optimizers.SGD(RATE, momentum=0.9, **k),
    adam: lambda **k: keras.optimizers.Adam(RATE, epsilon=1e-8, **k),
}


def expected(rule, variables, all_gradients, clip=None, decayed=("kernel", "bias")):
    """The values after all steps, in NumPy and float64."""
    values = [w.astype("float64") for w in values_of(variables)]
    moments = [[0 * w, 0 * w] for w in values]
    for count, each in enumerate(all_gradients, start=1):
        norm = np.sqrt(sum(np.sum(g.astype("float64") ** 2) for g in each))
        factor = 1 if clip is None else min(1, clip / norm)
        for index, (variable, g) in enumerate(zip(variables, each, strict=True)):
            g = factor * g + (DECAY if variable.name in decayed else 0) * values[index]
            values[index], *moments[index] = rule(values[index], *moments[index], g, count)
    return values


@pytest.mark.parametrize("rule", [adam, *once(sgd, momentum)], ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("clip", [None, 0.25])
def test_20_steps_equal_numpy(rule, clip, rng):
    """The gradient is clipped without the decay."""
    variables, all_gradients = new_variables(rng), gradients(rng)
    values = expected(rule, variables, all_gradients, clip)
    apply(L2WeightDecay(INNER[rule](global_clipnorm=clip), DECAY), variables, all_gradients)
    for variable, value in zip(variables, values, strict=True):
        np.testing.assert_allclose(to_numpy(variable), value, rtol=0, atol=1e-5)


def test_what_is_excluded(rng):
    variables, all_gradients = new_variables(rng), gradients(rng, 3)
    values = expected(adam, variables, all_gradients, decayed=["kernel"])
    optimizer = L2WeightDecay(INNER[adam](), DECAY)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    apply(optimizer, variables, all_gradients)
    for variable, value in zip(variables, values, strict=True):
        np.testing.assert_allclose(to_numpy(variable), value, rtol=0, atol=1e-5)


def test_accumulated_gradients_have_it_once(rng):
    variables, all_gradients = new_variables(rng), gradients(rng, 2)
    means = [np.mean(pair, axis=0) for pair in zip(*all_gradients, strict=True)]
    values = expected(sgd, variables, [means])
    apply(L2WeightDecay(INNER[sgd](gradient_accumulation_steps=2), DECAY), variables, all_gradients)
    for variable, value in zip(variables, values, strict=True):
        np.testing.assert_allclose(to_numpy(variable), value, rtol=0, atol=1e-6)


def test_clips_an_embedding_whose_words_repeat():
    """On TensorFlow its gradient is a list of rows, which has another norm."""
    model = keras.Sequential([keras.layers.Embedding(3, 2, embeddings_initializer="ones")])
    model.build((1, 4))
    optimizer = L2WeightDecay(keras.optimizers.SGD(1.0, global_clipnorm=0.5), 0.0)
    model.compile(optimizer, loss="mse", jit_compile=backend.jit_compile())
    model.train_on_batch(np.array([[1, 1, 1, 1]]), np.zeros((1, 4, 2), "float32"))
    np.testing.assert_allclose(model.get_weights()[0], [[1, 1], [1 - 0.5**1.5] * 2, [1, 1]], rtol=1e-6)


def new_model(optimizer):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile(optimizer, loss="mse", jit_compile=backend.jit_compile())
    return model


def test_fit_file_and_copy(rng, tmp_path):
    x, y = rng.normal(size=(8, 3)).astype("float32"), rng.normal(size=(8, 2)).astype("float32")
    model = new_model(L2WeightDecay(keras.optimizers.Adam(RATE), DECAY))
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    others = keras.saving.load_model(tmp_path / "model.keras"), copy.deepcopy(model)
    for other in (model, *others):
        other.fit(x, y, verbose=0)
        assert other.optimizer.get_config() == model.optimizer.get_config()
        assert int(to_numpy(other.optimizer.iterations)) == 2
        for one, two in zip(values_of(other.variables), values_of(model.variables), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-7)
        for one, two in zip(other.optimizer.variables, model.optimizer.variables, strict=True):
            np.testing.assert_allclose(to_numpy(one), to_numpy(two), rtol=1e-5, atol=1e-7)


@pytest.mark.once
@pytest.mark.parametrize(
    ("optimizer", "decay", "message"),
    [
        ("adam", 0.1, "`optimizer` must be an optimizer .* Received: optimizer='adam'"),
        (LayerwiseLearningRate(keras.optimizers.SGD(), {}), 0.1, "`optimizer` must be .* wraps no other one"),
        (keras.optimizers.AdamW(), 0.1, "`optimizer` must have no weight decay .* Received: weight_decay=0.004"),
        (NTASGD(), 0.1, "`optimizer` must have no weight decay .* Received: weight_decay=1.2e-06"),
        (keras.optimizers.SGD(), -1, "`weight_decay` must be a number of at least 0. Received: weight_decay=-1"),
    ],
    ids=["a name", "one in it", "AdamW", "NTASGD", "a negative one"],
)
def test_wrong_arguments(optimizer, decay, message):
    with pytest.raises(ValueError, match=message):
        L2WeightDecay(optimizer, decay)
