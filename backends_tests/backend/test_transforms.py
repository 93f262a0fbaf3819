"""Transforms of functions: each gives the right value, or says which argument makes it do so."""

import keras
import numpy as np
import pytest
from keras import ops

from awd_keras import backend, layers
from backends_tests.backend.differentiated import differentiated

BATCH, TIME, FEATURES, UNITS, WORDS = 2, 4, 3, 4, 5
IDS = np.array([3, 0, 4, 4, 1, 2, 0, 1], "int32")


def lstm(x, h, c, kernel, recurrent_kernel, bias):
    activations = {"activation": keras.activations.tanh, "recurrent_activation": keras.activations.sigmoid}
    outputs, [h, c], _ = backend.lstm(x, [h, c], kernel, recurrent_kernel, bias, **activations)
    return ops.concatenate([outputs, h[:, None], c[:, None]], axis=1)


def cross_entropy(rows):
    return backend.cross_entropy(ops.convert_to_tensor(IDS), rows)


def linear_cross_entropy(weights, rows, table, bias):
    return backend.linear_cross_entropy(ops.convert_to_tensor(IDS), weights, rows, table, bias, 3)[0]


def dropped(values):
    keep = np.arange(values.shape[0] * values.shape[1]).reshape(values.shape) % 3 > 0
    return backend.drop(values, ops.convert_to_tensor(keep), 0.5)


STATE = (BATCH, UNITS)
FUNCTIONS = {
    "lstm": (lstm, [(BATCH, TIME, FEATURES), STATE, STATE, (FEATURES, 16), (UNITS, 16), (16,)]),
    "weighted_sums": (backend.weighted_sums, [(BATCH, TIME, UNITS), (BATCH, TIME, UNITS), STATE]),
    "cross_entropy": (cross_entropy, [(len(IDS), WORDS)]),
    "linear_cross_entropy": (linear_cross_entropy, [(len(IDS),), (len(IDS), 3), (WORDS, 3), (WORDS,)]),
    "drop": (dropped, [(4, 5)]),
}


def from_the_same_seed(layer, call):
    """The call as a function that draws the same masks each time."""
    generators = [part.seed_generator for part in layer._flatten_layers() if hasattr(part, "seed_generator")]
    begin = [ops.convert_to_numpy(generator.state) for generator in generators]

    def function(*arrays):
        with backend.untransformed():
            for generator, state in zip(generators, begin, strict=True):
                generator.state.assign(state)
        return call(*arrays)

    return function


def recurrent(variant):
    drops = {"weight_drop": 0.5 if variant != "-srnn-hidden" else 0.0, "kernel_weight_drop": 0.5, "dropout": 0.5}
    layer = layers.AblatedLSTM(UNITS, variant, **drops, seed=1, return_sequences=True)
    layer.build((BATCH, TIME, FEATURES))
    return from_the_same_seed(layer, lambda x: layer(x, training=True)), [(BATCH, TIME, FEATURES)]


def locked_dropout():
    layer = layers.LockedDropout(0.5, seed=1)
    return from_the_same_seed(layer, lambda x: layer(x, training=True)), [(BATCH, TIME, FEATURES)]


def embedding_dropout():
    """Of words that are looked up, dropped, and then read as logits."""
    layer = layers.EmbeddingDropout(WORDS, FEATURES, 0.5, embeddings_initializer="random_normal", seed=1)
    layer.build()

    def call(x):
        return layer(x + layer(IDS.reshape(BATCH, TIME), training=True), reverse=True)

    return from_the_same_seed(layer, call), [(BATCH, TIME, FEATURES)]


def adaptive_softmax():
    layer = layers.AdaptiveSoftmax(WORDS, 4, [2], div_value=2, embeddings_initializer="random_normal")
    layer.build()
    return lambda x: layer.loss(x, IDS.reshape(BATCH, TIME)), [(BATCH, TIME, 4)]


LAYERS = {
    "LSTM": lambda: recurrent("lstm"),
    "-srnn-hidden": lambda: recurrent("-srnn-hidden"),
    "LockedDropout": locked_dropout,
    "EmbeddingDropout": embedding_dropout,
    "AdaptiveSoftmax.loss": adaptive_softmax,
}
CASES = [*FUNCTIONS, *LAYERS]


def case(name, rng):
    function, shapes = FUNCTIONS[name] if name in FUNCTIONS else LAYERS[name]()
    arrays = [rng.normal(size=shape).astype("float32") for shape in shapes]
    return function, arrays


def numpy(tree):
    return keras.tree.map_structure(ops.convert_to_numpy, tree)


def weighted(function, arrays, rng):
    """A scalar of the function's results, and its gradients by the framework's ordinary differentiation."""
    weights = rng.normal(size=numpy(function(*map(ops.convert_to_tensor, arrays))).shape).astype("float32")

    def scalar(*arrays):
        return ops.sum(ops.multiply(function(*arrays), weights))

    return scalar, weights, numpy(differentiated(scalar, arrays)[1])


# PyTorch's own, at its first jvp.
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("name", CASES)
def test_jvp(name, rng):
    function, arrays = case(name, rng)
    _, weights, gradients = weighted(function, arrays, rng)
    directions = [rng.normal(size=array.shape).astype("float32") for array in arrays]
    tensors, tangents = (tuple(map(ops.convert_to_tensor, each)) for each in (arrays, directions))
    _, change = ops.jvp(function, tensors, tangents)
    expected = sum(np.sum(g * d) for g, d in zip(gradients, directions, strict=True))
    np.testing.assert_allclose(np.sum(numpy(change) * weights), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_vectorized_map(name, rng):
    function, arrays = case(name, rng)
    several = [np.stack([array, -array, 2 * array]) for array in arrays]
    found = ops.vectorized_map(lambda each: function(*each), list(map(ops.convert_to_tensor, several)))
    for index, actual in enumerate(numpy(found)):
        expected = function(*(ops.convert_to_tensor(each[index]) for each in several))
        np.testing.assert_allclose(actual, numpy(expected), rtol=1e-4, atol=1e-5)


def jacobians(function, arrays):
    match keras.backend.backend():
        case "jax":
            import jax

            return jax.jacrev(function, argnums=range(len(arrays)))(*map(ops.convert_to_tensor, arrays))
        case "torch":
            import torch

            return torch.func.jacrev(function, argnums=tuple(range(len(arrays))))(*map(torch.tensor, arrays))
        case "tensorflow":
            import tensorflow as tf

            arrays = [tf.constant(array) for array in arrays]
            with tf.GradientTape() as tape:
                tape.watch(arrays)
                results = function(*arrays)
            return tape.jacobian(results, arrays)


@pytest.mark.parametrize("name", CASES)
def test_jacobian(name, rng):
    function, arrays = case(name, rng)
    _, weights, gradients = weighted(function, arrays, rng)
    for jacobian, gradient in zip(numpy(list(jacobians(function, arrays))), gradients, strict=True):
        found = np.tensordot(weights, jacobian, axes=weights.ndim)
        np.testing.assert_allclose(found, gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_second_order(name, rng):
    """The gradient of the squared gradient, against differences of the gradient in its own direction."""
    function, arrays = case(name, rng)
    scalar, _, gradients = weighted(lambda *xs: ops.square(function(*xs)), arrays, rng)
    found = numpy(differentiated(scalar, arrays, twice=True))
    size = 1e-2
    sides = [
        numpy(differentiated(scalar, [a + sign * size * g for a, g in zip(arrays, gradients, strict=True)])[1])
        for sign in (1, -1)
    ]
    for actual, above, below in zip(found, *sides, strict=True):
        expected = (above - below) / size
        np.testing.assert_allclose(actual, expected, rtol=0.02, atol=0.02 * max(np.abs(expected).max(), 1e-2))
