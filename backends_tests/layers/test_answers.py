"""What Keras expects of a layer, for every public layer: shapes, dtypes, masks, and use inside of wrappers."""

import keras
import numpy as np
import pytest
from keras import ops

from awd_keras import layers
from awd_keras.backend import keras_private

WORDS, SIZE, BATCH, TIME = 9, 4, 2, 3
IDS = np.array([[1, 2, 0], [4, 0, 8]], "int32")
X = np.random.default_rng(0).normal(size=(BATCH, TIME, SIZE)).astype("float32")
RNN_FLAGS = [
    {"return_sequences": sequences, "return_state": state} for sequences in (False, True) for state in (False, True)
]


def adaptive(**kwargs):
    return layers.AdaptiveSoftmax(WORDS, SIZE, cutoffs=[3, 6], div_value=2, **kwargs)


# A layer, its inputs, and the arguments of its call. Each public layer needs an entry, or the first test fails.
CALLS = {
    "AdaptiveSoftmax": [(adaptive, IDS, {}), (adaptive, X, {"reverse": True})],
    "EmbeddingDropout": [
        (lambda **k: layers.EmbeddingDropout(WORDS, SIZE, **k), IDS, {}),
        (lambda **k: layers.EmbeddingDropout(WORDS, SIZE, **k), X, {"reverse": True}),
        (lambda **k: layers.EmbeddingDropout(WORDS, SIZE, reverse_dtype="float16", **k), X, {"reverse": True}),
    ],
    "LockedDropout": [(lambda **k: layers.LockedDropout(0.5, **k), X, {})],
    "WeightDropLSTM": [(lambda f=f, **k: layers.WeightDropLSTM(5, **f, **k), X, {}) for f in RNN_FLAGS],
    "AblatedLSTM": [(lambda f=f, **k: layers.AblatedLSTM(5, "-srnn-out", **f, **k), X, {}) for f in RNN_FLAGS],
    "WeightDropGRU": [(lambda f=f, **k: layers.WeightDropGRU(5, **f, **k), X, {}) for f in RNN_FLAGS],
    "QRNN": [(lambda f=f, **k: layers.QRNN(5, window=2, **f, **k), X, {}) for f in RNN_FLAGS],
    "MogrifierLSTM": [(lambda f=f, **k: layers.MogrifierLSTM(5, **f, **k), X, {}) for f in RNN_FLAGS],
    "ConcatPooling": [(lambda **k: layers.ConcatPooling(**k), X, {})],
}
CASES = [
    pytest.param(*call, id=f"{name} {i}", marks=[] if f"{name} {i}" == "WeightDropLSTM 0" else pytest.mark.once)
    for name, calls in CALLS.items()
    for i, call in enumerate(calls)
]
# The Keras layer that each replaces; `AdaptiveSoftmax`, `ConcatPooling` and `QRNN` replace none.
STANDS_FOR = {
    "EmbeddingDropout": (CALLS["EmbeddingDropout"][0][0], lambda **k: keras.layers.Embedding(WORDS, SIZE, **k)),
    "LockedDropout": (CALLS["LockedDropout"][0][0], lambda: keras.layers.Dropout(0.5)),
    "WeightDropLSTM": (layers.WeightDropLSTM, keras.layers.LSTM),
    "AblatedLSTM": (layers.AblatedLSTM, keras.layers.LSTM),
    "WeightDropGRU": (layers.WeightDropGRU, keras.layers.GRU),
    "MogrifierLSTM": (layers.MogrifierLSTM, keras.layers.LSTM),
}


def to_numpy(x):
    return None if x is None else ops.convert_to_numpy(x)


def described(values):
    """The shapes and dtypes of one tensor or several."""
    return [(tuple(v.shape), keras.backend.standardize_dtype(v.dtype)) for v in keras.tree.flatten(values)]


@pytest.mark.once
def test_every_public_layer_is_here():
    assert set(CALLS) == set(layers.__all__)


@pytest.mark.parametrize(("make", "inputs", "arguments"), CASES)
def test_shapes_and_dtypes_are_those_of_a_call(make, inputs, arguments):
    layer, unbuilt = make(dtype="mixed_bfloat16"), make(dtype="mixed_bfloat16")
    expected = described(layer(inputs, **arguments))
    # Batch size and time are known, or one of them is unknown, or both.
    for unknown in ((), (0,), (1,), (0, 1)):
        shape = tuple(None if axis in unknown else length for axis, length in enumerate(inputs.shape))
        lost = {inputs.shape[axis] for axis in unknown}  # no other axis has this size
        wanted = [tuple(None if length in lost else length for length in of_call) for of_call, _ in expected]
        shapes = unbuilt.compute_output_shape(shape, **arguments)
        shapes = [shapes] if not isinstance(shapes[0], (tuple, list)) else shapes
        assert [tuple(one) for one in shapes] == wanted
        spec = unbuilt.compute_output_spec(keras.KerasTensor(shape, inputs.dtype.name), **arguments)
        assert described(spec) == [(one, dtype) for one, (_, dtype) in zip(wanted, expected, strict=True)]
    symbolic = layer(keras.KerasTensor(shape, inputs.dtype.name), **arguments)
    assert described(symbolic) == described(spec)


@pytest.mark.once
@pytest.mark.parametrize("name", STANDS_FOR)
def test_masks_are_those_of_the_keras_layer(name):
    ours, keras_s = STANDS_FOR[name]
    mask = ops.convert_to_tensor(IDS != 0)
    settings = {
        "EmbeddingDropout": [((), {}), ((), {"mask_zero": True})],
        "LockedDropout": [((), {})],
    }.get(name, [((5,), flags) for flags in RNN_FLAGS])
    for args, kwargs in settings:
        inputs = ops.convert_to_tensor(IDS if name == "EmbeddingDropout" else X)
        for given in (None, mask):
            found, wanted = (make(*args, **kwargs).compute_mask(inputs, given) for make in (ours, keras_s))
            assert type(found) is type(wanted)
            for one, other in zip(keras.tree.flatten(found), keras.tree.flatten(wanted), strict=True):
                np.testing.assert_array_equal(to_numpy(one), to_numpy(other))


class Wrapper(keras.layers.Wrapper):
    """A user's wrapper, which forwards calls and masks."""

    def call(self, inputs):
        return self.layer.call(inputs)

    def compute_mask(self, inputs, mask=None):
        return self.layer.compute_mask(inputs, mask)

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)


@pytest.mark.once
def test_a_wrapper_of_one_s_own_passes_the_mask_on():
    """Eager and symbolic, to an LSTM after the wrapper: padding changes nothing."""
    embedding = layers.EmbeddingDropout(WORDS, SIZE, mask_zero=True, seed=1)
    lstm = layers.WeightDropLSTM(3, seed=1)
    expected = to_numpy(lstm(embedding(IDS)))
    wrapper = Wrapper(embedding)
    np.testing.assert_array_equal(to_numpy(wrapper(IDS)._keras_mask), IDS != 0)
    np.testing.assert_allclose(to_numpy(lstm(wrapper(IDS))), expected, atol=1e-6)
    tokens = keras.Input((None,), dtype="int32")
    model = keras.Model(tokens, lstm(wrapper(tokens)))
    np.testing.assert_allclose(to_numpy(model(IDS)), expected, atol=1e-6)
    unmasked = ops.convert_to_tensor(to_numpy(embedding(IDS)))
    assert abs(expected - to_numpy(lstm(unmasked))).max() > 1e-4


@pytest.mark.once
@pytest.mark.parametrize(
    ("make", "inputs"), [pytest.param(make, inputs, id=name) for name, ((make, inputs, _), *_) in CALLS.items()]
)
def test_time_distributed(make, inputs):
    """Eager, and symbolic with known and unknown time: the same as the layer itself on each step."""
    layer = make()
    inputs = np.stack([inputs, inputs[::-1]], axis=1)  # (batch, 2 steps, ...)
    expected = np.stack([to_numpy(layer(inputs[:, step])) for step in range(2)], axis=1)
    eager = keras.layers.TimeDistributed(layer)(inputs)
    np.testing.assert_allclose(to_numpy(eager), expected, atol=1e-6)
    for shape in (inputs.shape[1:], (None, *inputs.shape[2:])):
        x = keras.Input(shape, batch_size=BATCH, dtype=inputs.dtype.name)
        model = keras.Model(x, keras.layers.TimeDistributed(layer)(x))
        assert model.output_shape == (BATCH, shape[0], *expected.shape[2:])
        np.testing.assert_allclose(to_numpy(model(inputs)), expected, atol=1e-6)


@pytest.mark.once
@pytest.mark.parametrize("flags", RNN_FLAGS, ids=str)
@pytest.mark.parametrize("name", ["WeightDropLSTM", "AblatedLSTM"])
def test_bidirectional(name, flags):
    """Eager and symbolic: the same as Keras's LSTM with the same weights."""
    make = getattr(layers, name)
    ours = keras.layers.Bidirectional(make(5, seed=1, **flags))
    keras_s = keras.layers.Bidirectional(keras.layers.LSTM(5, **flags))
    expected = keras_s(X)
    ours.build(X.shape)
    ours.set_weights(keras_s.get_weights())
    mask = IDS != 0
    for given in (None, mask):
        actual, expected = ours(X, mask=given), keras_s(X, mask=given)
        assert described(actual) == described(expected)
        for one, other in zip(keras.tree.flatten(actual), keras.tree.flatten(expected), strict=True):
            np.testing.assert_allclose(to_numpy(one), to_numpy(other), atol=1e-6)
    symbolic = ours(keras.KerasTensor((None, None, SIZE)))
    assert described(symbolic) == described(keras_s(keras.KerasTensor((None, None, SIZE))))
    shapes = [one.compute_output_shape((None, 7, SIZE)) for one in (ours, keras_s)]
    assert shapes[0] == shapes[1]


CELLS = [layers.WeightDropLSTM, layers.AblatedLSTM, lambda *a, **k: layers.AblatedLSTM(*a, "-srnn-out", **k)]


@pytest.mark.once
@pytest.mark.parametrize("make", CELLS)
def test_use_cudnn_is_what_was_asked_for_and_bidirectional_calls_the_layers(make, monkeypatch):
    """With cuDNN, Keras's `Bidirectional` runs two of Keras's LSTMs as one, with their stored weights."""
    fused = []

    def run(*_, **__):
        fused.append(True)
        raise NotImplementedError

    monkeypatch.setattr(keras_private._loops, "bidirectional_lstm", run)
    keras.layers.Bidirectional(keras.layers.LSTM(5))(X)
    assert fused.pop()
    for asked in ("auto", True, False):
        layer = make(5, use_cudnn=asked)
        both = keras.layers.Bidirectional(layer)
        for one in (layer, both.forward_layer, both.backward_layer, type(layer).from_config(layer.get_config())):
            assert one.use_cudnn is one.get_config()["use_cudnn"] is asked
            assert one.dropout == one.cell.get_config()["dropout"] == 0
    keras.layers.Bidirectional(make(5))(X)
    assert not fused
