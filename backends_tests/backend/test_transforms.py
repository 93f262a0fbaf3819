"""Transforms of functions: each gives the right value, or an error that names the argument to change."""

import contextlib
import functools
import re
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from awd_keras import backend, layers, models
from backends_tests.backend.differentiated import differentiated
from backends_tests.helpers import once, values_of

BATCH, TIME, FEATURES, UNITS, WORDS = 2, 4, 3, 4, 5
IDS = np.array([3, 0, 4, 4, 1, 2, 0, 1], "int32")


def recurrence(function, parts):
    """A function of sequences, the parts of a state and weights, which returns all results in one tensor."""
    activations = {"activation": keras.activations.tanh, "recurrent_activation": keras.activations.sigmoid}

    def run(x, *others):
        outputs, state, _ = function(x, list(others[:parts]), *others[parts:], **activations)
        return ops.concatenate([outputs, *(part[:, None] for part in state)], axis=1)

    return run


def cross_entropy(rows):
    return backend.cross_entropy(ops.convert_to_tensor(IDS), rows)


def linear_cross_entropy(weights, rows, table, bias):
    return backend.linear_cross_entropy(ops.convert_to_tensor(IDS), weights, rows, table, bias, 4)[0]


def dropped(values):
    keep = np.arange(values.shape[0] * values.shape[1]).reshape(values.shape) % 3 > 0
    return backend.drop(values, ops.convert_to_tensor(keep), 0.5)


SEQUENCES, STATE = (BATCH, TIME, FEATURES), (BATCH, UNITS)
FUNCTIONS = {
    "lstm": (recurrence(backend.lstm, 2), [SEQUENCES, STATE, STATE, (FEATURES, 16), (UNITS, 16), (16,)]),
    "gru": (recurrence(backend.gru, 1), [SEQUENCES, STATE, (FEATURES, 12), (UNITS, 12), (2, 12)]),
    "mogrifier": (
        recurrence(backend.mogrifier, 2),
        [SEQUENCES, STATE, STATE, (FEATURES, 16), (UNITS, 16), (16,), (UNITS, FEATURES), (FEATURES, UNITS)],
    ),
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


def initialized(**kwargs):
    names = ("kernel_initializer", "recurrent_initializer")
    return {**{name: keras.initializers.RandomNormal(seed=number) for number, name in enumerate(names)}, **kwargs}


def lstm_layer(**kwargs):
    drops = dict.fromkeys(("weight_drop", "kernel_weight_drop", "dropout", "recurrent_dropout"), 0.5)
    return layers.WeightDropLSTM(UNITS, **initialized(**{**drops, "recurrent_dropout": 0.0, **kwargs}), seed=1)


def embedding():
    initializer = keras.initializers.RandomNormal(seed=1)
    return layers.EmbeddingDropout(WORDS, FEATURES, 0.5, embeddings_initializer=initializer, mask_zero=True, seed=1)


# The rows of the table.
LAYERS = {
    "`WeightDropLSTM`": lambda: lstm_layer(return_sequences=True),
    "`AblatedLSTM`": lambda: layers.AblatedLSTM(
        UNITS, "-srnn-hidden", **initialized(kernel_weight_drop=0.5, dropout=0.5, seed=1, return_sequences=True)
    ),
    "`LockedDropout`": lambda: layers.LockedDropout(0.5, seed=1),
    "`EmbeddingDropout`": embedding,
    "`AdaptiveSoftmax.loss`": lambda: layers.AdaptiveSoftmax(
        WORDS, 4, [2], div_value=2, embeddings_initializer="random_normal"
    ),
    "`WeightDropLSTM`, stateful": lambda: lstm_layer(return_sequences=True, stateful=True),
}


def called(row):
    """A layer in training as a function of its inputs, and the shape of these."""
    layer = LAYERS[row]()
    if isinstance(layer, layers.AdaptiveSoftmax):
        layer.build()
        return lambda x: layer.loss(x, IDS.reshape(BATCH, TIME)), [(BATCH, TIME, 4)]
    shape = (BATCH, TIME, FEATURES)
    layer.build(shape)

    def call(x):
        if isinstance(layer, layers.EmbeddingDropout):  # embeddings with dropped words, then their logits
            return layer(x + layer(IDS.reshape(BATCH, TIME), training=True), reverse=True)
        if getattr(layer, "stateful", False):
            with backend.untransformed():
                layer.reset_state()
        return layer(x, training=True)

    return from_the_same_seed(layer, call), [shape]


def case(name, rng):
    function, shapes = FUNCTIONS[name] if name in FUNCTIONS else called(name)
    return function, [rng.normal(size=shape).astype("float32") for shape in shapes]


def numpy(tree):
    return keras.tree.map_structure(ops.convert_to_numpy, tree)


def weighted(function, arrays, rng):
    """A scalar of the function's results, and its gradients by the framework's usual differentiation."""
    weights = rng.normal(size=numpy(function(*map(ops.convert_to_tensor, arrays))).shape).astype("float32")

    def scalar(*arrays):
        return ops.sum(ops.multiply(function(*arrays), weights))

    return scalar, weights, numpy(differentiated(scalar, arrays)[1])


def check_jvp(name, rng):
    function, arrays = case(name, rng)
    _, weights, gradients = weighted(function, arrays, rng)
    directions = [rng.normal(size=array.shape).astype("float32") for array in arrays]
    tensors, tangents = (tuple(map(ops.convert_to_tensor, each)) for each in (arrays, directions))
    _, change = ops.jvp(function, tensors, tangents)
    expected = sum(np.sum(g * d) for g, d in zip(gradients, directions, strict=True))
    np.testing.assert_allclose(np.sum(numpy(change) * weights), expected, rtol=1e-4, atol=1e-4)


def check_vectorized_map(name, rng):
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


def check_jacobian(name, rng):
    function, arrays = case(name, rng)
    _, weights, gradients = weighted(function, arrays, rng)
    for jacobian, gradient in zip(numpy(list(jacobians(function, arrays))), gradients, strict=True):
        found = np.tensordot(weights, jacobian, axes=weights.ndim)
        np.testing.assert_allclose(found, gradient, rtol=1e-4, atol=1e-5)


def check_gradient_of_gradients(name, rng):
    """The gradient of the squared gradient equals finite differences of the gradient in its own direction."""
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


def trained(name, scope):
    """The weights and the state after two steps, and how often the layer's call was run."""
    with scope:
        layer = LAYERS[name]()
    calls, call = [], layer.call

    def counted(*args, **kwargs):
        calls.append(1)
        return call(*args, **kwargs)

    layer.call = functools.wraps(call)(counted)
    of_ids = isinstance(layer, layers.EmbeddingDropout)
    inputs = keras.Input(
        batch_shape=(BATCH, TIME) if of_ids else (BATCH, TIME, FEATURES), dtype="int32" if of_ids else None
    )
    kernel = keras.initializers.RandomNormal(seed=2)
    # The next layer gets the mask of padding.
    after = keras.layers.LSTM(2, kernel_initializer=kernel, recurrent_initializer=kernel)
    model = keras.Model(inputs, after(layer(inputs)))
    model.compile(keras.optimizers.SGD(1.0), "mse")
    x = np.random.default_rng(0).normal(size=(BATCH, TIME, FEATURES)).astype("float32")
    calls.clear()
    for _ in range(2):
        model.train_on_batch(IDS.reshape(BATCH, TIME) if of_ids else x, np.ones((BATCH, 2), "float32"))
    return values_of((*model.weights, *layer.variables)), len(calls)


def check_rematerialization(name, rng, **mode):
    values, calls = trained(name, contextlib.nullcontext())
    found, more_calls = trained(name, keras.RematScope(**mode))
    for actual, expected in zip(found, values, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)
    # Run again only for gradients, which a dropout as the first layer doesn't need. JAX runs its program again, not the
    # Python call.
    again = keras.backend.backend() != "jax" and name != "`LockedDropout`"
    assert (more_calls > calls) == again


# The columns.
CHECKS = {
    "`jvp`": check_jvp,
    "`vectorized_map`": check_vectorized_map,
    "Jacobian": check_jacobian,
    "gradient of gradients": check_gradient_of_gradients,
    "`RematScope`": check_rematerialization,
}
BACKENDS = {"torch": "PyTorch", "jax": "JAX", "tensorflow": "TensorFlow"}
# PyTorch's warning at its first jvp, and Keras's about the bias, which only the reverse call uses.
IGNORED = [
    pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Gradients do not exist"),
]
pytestmark = IGNORED


def cells():
    """The promises of the guide: row, column, and the text of the cell for this backend."""
    page = Path(__file__).parents[2].joinpath("docs/guides/transforms.md").read_text(encoding="utf-8")
    head, _, *lines = [re.split(r" *\| *", line)[1:-1] for line in page.splitlines() if line.startswith("|")]
    assert (head[1:], [row for row, *_ in lines]) == (list(CHECKS), list(LAYERS))
    for row, *promises in lines:
        for column, promise in zip(head[1:], promises, strict=True):
            general, *special = promise.split("; ")
            words = dict(part.split(": ") for part in special).get(BACKENDS[keras.backend.backend()], general)
            if words:
                yield row, column, words


@pytest.mark.parametrize(
    ("row", "column", "promise"),
    [cell if cell[0] == "`WeightDropLSTM`" else once(cell)[0] for cell in cells()],
)
def test_what_the_guide_promises(row, column, promise, rng):
    if promise == "right":
        CHECKS[column](row, rng)
        return
    with pytest.raises(ValueError, match=re.escape(f"Set {promise}")):
        CHECKS[column](row, rng)


@pytest.mark.parametrize("column", ["`jvp`", "gradient of gradients", *once(*list(CHECKS)[1:3])])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_the_backend(name, column, rng):
    CHECKS[column](name, rng)


if keras.backend.backend() == "torch":

    @pytest.mark.parametrize("column", list(CHECKS)[:4])
    @pytest.mark.parametrize("name", ["gru", "mogrifier"])
    def test_loops_over_large_kernels(name, column, rng, monkeypatch):
        """The products by kernels in oneDNN's order have no gradients of their own."""
        from awd_keras.backend.loops import torch as loops

        monkeypatch.setattr(loops, "_WEIGHTS", 0)
        monkeypatch.setattr(loops, "_STEPS", 1)
        CHECKS[column](name, rng)


@pytest.mark.once
@pytest.mark.parametrize(
    "mode",
    [
        {"mode": "larger_than", "output_size_threshold": 3},
        {"mode": "list_of_layers", "layer_names": ["other", "layer"]},
    ],
    ids=lambda mode: mode["mode"],
)
def test_modes_of_rematerialization(mode, rng, monkeypatch):
    monkeypatch.setitem(LAYERS, "named", lambda: lstm_layer(name="layer", return_sequences=True))
    check_rematerialization("named", rng, **mode)


@pytest.mark.once
def test_activations_alone_are_not_those_of_gates():
    row = "`WeightDropLSTM`"
    results = [trained(row, scope) for scope in (contextlib.nullcontext(), keras.RematScope(mode="activations"))]
    assert results[0][1] == results[1][1]


@pytest.mark.once
def test_a_model_s_layers_are_rematerialized():
    def trained_model(scope):
        with scope:
            model = models.AWDLSTM(WORDS, embedding_dim=3, hidden_units=4, num_layers=2, seed=1)
        model.compile(keras.optimizers.SGD(1.0))
        for _ in range(2):
            model.train_on_batch(IDS.reshape(BATCH, TIME), IDS.reshape(BATCH, TIME))
        return values_of(model.weights)

    values, expected = trained_model(keras.RematScope()), trained_model(contextlib.nullcontext())
    for actual, wanted in zip(values, expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-5, atol=1e-6)


if keras.backend.backend() != "jax":  # JAX never repeats the call

    @pytest.mark.parametrize("stateful", [False, True])
    def test_a_layer_in_what_is_run_twice(stateful, rng):
        layer = lstm_layer(stateful=stateful) if stateful else layers.LockedDropout(0.5)
        x = rng.normal(size=(BATCH, TIME, FEATURES)).astype("float32")
        layer.build(x.shape)
        whole = keras.remat(lambda x: layer(x, training=True))
        with pytest.raises(RuntimeError, match="build the layers inside of `keras.RematScope`"):
            differentiated(lambda x: ops.sum(whole(x)), [x])
