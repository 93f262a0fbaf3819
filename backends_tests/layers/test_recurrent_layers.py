"""The GRU, the QRNN and the Mogrifier LSTM as layers: which weights are dropped, and which state is carried.

For equations and gradients, see ../backend/test_gated_loops.py; for config, files and dtypes, ../test_contract.py; for
copies and counts of the state, ../test_carried_state.py.
"""

import functools

import keras
import numpy as np
import pytest

from awd_keras.layers import QRNN, AblatedLSTM, MogrifierLSTM, WeightDropGRU, WeightDropLSTM
from backends_tests import oracle
from backends_tests.helpers import draw_weights, once, to_numpy, values_of, weights_that_run

BATCH, TIME, FEATURES, UNITS = 2, 6, 3, 4
ZEROS = np.zeros((BATCH, TIME, FEATURES), "float32")
# The first step of each window counts: before such a step, the outputs of Keras's loops differ between backends.
MASK = np.array([[True, False, True, True, False, False], [True, True, False, True, False, True]])
# The layer, its arguments, and the oracle.
LAYERS = {
    "gru": (WeightDropGRU, {"weight_drop": 0.5}, oracle.gru),
    "mogrifier": (MogrifierLSTM, {"rounds": 2, "weight_drop": 0.5}, oracle.mogrifier),
    "qrnn": (QRNN, {"window": 2}, oracle.qrnn),
}
every = pytest.mark.parametrize("name", LAYERS)
without_gates = functools.partial(AblatedLSTM, variant="-gates")


def built(name, **arguments):
    """A layer with weights so large that wrong results show."""
    cls, own, _ = LAYERS[name]
    # Without initializers that JAX has to compile.
    zeros = {"kernel_initializer": "zeros"} | ({} if cls is QRNN else {"recurrent_initializer": "zeros"})
    layer = cls(UNITS, **{"return_sequences": True, **zeros, **own, **arguments})
    layer.build((BATCH, None, FEATURES))
    draw_weights(layer, np.random.default_rng(7))
    return layer


def expected_of(name, layer, x, *state, **options):
    """The outputs and the parts of the state, in NumPy."""
    state = state or [np.zeros((len(x), FEATURES if part == "x" else UNITS)) for part in layer.PARTS]
    weights = [value.astype("float64") for value in values_of(layer.trainable_variables)]
    return LAYERS[name][2](x, *state, *weights, **options)


def drawn(rng, *shape):
    return rng.normal(size=(BATCH, *shape)).astype("float32")


def assert_near(actual, expected):
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(to_numpy(a), e, atol=1e-5)


@every
def test_two_windows_equal_one_long_one(rng, name):
    """With masked steps, in training and at inference, which have separate states that can be zeroed."""
    rates = {"kernel_weight_drop": 0.0, **({} if name == "qrnn" else {"weight_drop": 0.0})}
    layer, x = built(name, stateful=True, return_state=True, **rates), drawn(rng, TIME, FEATURES)
    first, second = slice(TIME // 2), slice(TIME // 2, TIME)
    whole = expected_of(name, layer, x, mask=MASK)

    def outputs_of(part, training):
        outputs, *state = layer(x[:, part], mask=MASK[:, part], training=training)
        return [outputs], state

    for training in (False, True):
        assert_near(outputs_of(first, training)[0], [whole[0][:, first]])
        outputs, state = outputs_of(second, training)
        assert_near([*outputs, *state], [whole[0][:, second], *whole[1:]])
    layer.reset_training_state()
    assert_near(outputs_of(first, True)[0], [whole[0][:, first]])
    twice = expected_of(name, layer, x, *whole[1:], mask=MASK)
    assert_near(outputs_of(first, False)[0], [twice[0][:, first]])


@every
def test_weights_are_dropped_in_training_alone(name):
    """Each call draws one mask of single weights, and scales those that are kept. The stored weights don't change."""
    layer = built(name, kernel_weight_drop=0.25, seed=1)
    stored = values_of(layer.trainable_variables)
    first, second = (weights_that_run(layer, ZEROS, training=True) for _ in range(2))
    rates = [0.25, *([] if name == "qrnn" else [0.5]), *[0] * len(stored)]
    for weights, others, whole, rate in zip(first, second, stored, rates, strict=False):
        kept = weights != 0
        np.testing.assert_allclose(weights, np.where(kept, whole / (1 - rate), 0), rtol=1e-6)
        assert (kept.all() and rate == 0) or abs((~kept).mean() - rate) < 0.3
        assert (kept != (others != 0)).any() == (rate > 0)
    same = built(name, kernel_weight_drop=0.25, seed=1)
    for weights, others in zip(weights_that_run(same, ZEROS, training=True), first, strict=True):
        np.testing.assert_array_equal(weights, others)
    for weights, whole in zip(weights_that_run(layer, ZEROS), stored, strict=True):
        np.testing.assert_array_equal(weights, whole)
    for value, whole in zip(values_of(layer.trainable_variables), stored, strict=True):
        np.testing.assert_array_equal(value, whole)


@pytest.mark.parametrize("name", ["gru", "mogrifier"])
def test_the_gradient_is_masked_as_the_forward_pass_is(rng, name):
    """A training step changes all kept weights, and no others."""
    layer = built(name, seed=1)
    stored = to_numpy(layer.cell.recurrent_kernel)
    state = to_numpy(layer.seed_generator.state)
    model = keras.Sequential([keras.Input(batch_shape=(BATCH, TIME, FEATURES)), layer])
    model.compile(keras.optimizers.SGD(1e3), "mse")
    model.train_on_batch(drawn(rng, TIME, FEATURES), np.zeros((BATCH, TIME, UNITS), "float32"))
    changed = to_numpy(layer.cell.recurrent_kernel) != stored
    layer.seed_generator.state.assign(state)
    kept = weights_that_run(layer, ZEROS, training=True)[1] != 0
    np.testing.assert_array_equal(changed, kept)


@every
def test_bidirectional(rng, name):
    x = drawn(rng, TIME, FEATURES)
    layer = keras.layers.Bidirectional(built(name, seed=1), merge_mode=None)
    there, back = layer(x, mask=MASK)
    assert_near([there], expected_of(name, layer.forward_layer, x, mask=MASK)[:1])
    expected = expected_of(name, layer.backward_layer, x[:, ::-1], mask=MASK[:, ::-1])[0][:, ::-1]
    np.testing.assert_allclose(to_numpy(back)[MASK], expected[MASK], atol=1e-5)
    states = [to_numpy(one.seed_generator.state) for one in (layer.forward_layer, layer.backward_layer)]
    assert (states[0] != states[1]).any()


@pytest.mark.parametrize(
    "arguments",
    [
        {"go_backwards": True, "return_state": True},
        *once({"use_bias": False, "return_sequences": False}, {"unroll": True}),
    ],
    ids=str,
)
@pytest.mark.parametrize("reset_after", [True, False])
def test_without_dropping_it_is_the_gru_of_keras(rng, arguments, reset_after):
    arguments = {"return_sequences": True, "reset_after": reset_after, **arguments}
    x, h = drawn(rng, TIME, FEATURES), drawn(rng, UNITS)
    ours, theirs = WeightDropGRU(UNITS, 0.0, **arguments), keras.layers.GRU(UNITS, **arguments)
    ours.build(x.shape), theirs.build(x.shape)
    draw_weights(theirs, np.random.default_rng(3))
    ours.set_weights(theirs.get_weights())
    for mask in (None, MASK):
        actual, expected = (layer(x, mask=mask, initial_state=h, training=True) for layer in (ours, theirs))
        assert_near(*([to_numpy(part) for part in keras.tree.flatten(each)] for each in (actual, expected)))


def test_a_gru_says_which_implementation_ran(rng):
    x = drawn(rng, TIME, FEATURES)
    layer = built("gru")
    layer(x)
    assert layer.computed_by in ("torch.gru", "fused")
    for other in (built("gru", use_cudnn=False), built("gru", reset_after=False)):
        other(x)
        assert other.computed_by == "generic"
    with pytest.raises(ValueError, match="use_cudnn=True"):
        built("gru", use_cudnn=True)(x, mask=MASK)


def test_without_rounds_a_mogrifier_is_the_lstm(rng):
    """Also its masks."""
    x = drawn(rng, TIME, FEATURES)
    ours, theirs = MogrifierLSTM(UNITS, 0, seed=3), WeightDropLSTM(UNITS, seed=3)
    ours.build(x.shape), theirs.build(x.shape)
    ours.set_weights(theirs.get_weights())
    assert_near([ours(x, training=True)], [to_numpy(theirs(x, training=True))])


def test_matrices_of_a_rank_are_products(rng):
    whole, products = built("mogrifier", rounds=3), built("mogrifier", rounds=3, rank=2)
    shapes = [(UNITS, 2), (2, FEATURES), (FEATURES, 2), (2, UNITS), (UNITS, 2), (2, FEATURES)]
    assert [tuple(matrix.shape) for matrix in products.cell.mogrifiers] == shapes
    factors = values_of(products.cell.mogrifiers)
    matrices = [one @ other for one, other in zip(factors[::2], factors[1::2], strict=True)]
    whole.set_weights([*products.get_weights()[:3], *matrices])
    x = drawn(rng, TIME, FEATURES)
    assert_near([products(x)], [to_numpy(whole(x))])


@pytest.mark.once
def test_the_rounds_of_a_mogrifier_begin_with_other_values():
    """One initializer would give equal shapes equal values. With the same seed, all values are drawn again."""
    layers = [
        MogrifierLSTM(4, 5, mogrifier_initializer=keras.initializers.RandomUniform(seed=seed)) for seed in (3, 3, None)
    ]
    for layer in layers:
        layer.build((1, None, 4))
        first, *others = values_of(layer.cell.mogrifiers)
        assert all(np.abs(first - other).max() > 1e-3 for other in others)
    for one, other in zip(*(values_of(layer.cell.mogrifiers) for layer in layers[:2]), strict=True):
        np.testing.assert_array_equal(one, other)


def test_zoneout_keeps_what_there_was(rng):
    """In each step, a unit either changes as without zoneout or keeps its value. At inference all change."""
    layer = QRNN(64, zoneout=0.3, output_gate=False, return_sequences=True, bias_initializer="ones", seed=1)
    x = drawn(rng, TIME, FEATURES)
    layer.build(x.shape)
    z, f = np.split(x @ to_numpy(layer.cell.kernel) + 1, 2, axis=-1)
    z, f = np.tanh(z), oracle.sigmoid(f)
    c = to_numpy(layer(x, training=True))
    before = np.concatenate([np.zeros((BATCH, 1, 64)), c[:, :-1]], axis=1)
    stays = np.abs(c - before) < 1e-7
    np.testing.assert_allclose(c, np.where(stays, before, f * before + (1 - f) * z), atol=1e-5)
    assert abs(stays.mean() - 0.3) < 0.06
    assert 0 < stays[:, :, 0].mean() < 1 or 0 < stays[0, 0].mean() < 1
    assert (np.abs(np.diff(to_numpy(layer(x)), axis=1)) > 1e-7).all()


@pytest.mark.once
def test_a_qrnn_has_what_keras_layers_have():
    regularizer = keras.regularizers.L2(0.5)
    layer = QRNN(4, 2, kernel_regularizer=regularizer, bias_constraint="non_neg", return_state=True)
    outputs = layer(keras.Input((None, 3)))
    assert [tuple(part.shape) for part in outputs] == [(None, 4), (None, 4), (None, 4), (None, 3)]
    assert [tuple(weight.shape) for weight in layer.weights] == [(6, 12), (12,)]
    kernel = to_numpy(layer.cell.kernel)
    assert float(to_numpy(layer.losses[0])) == pytest.approx(0.5 * np.sum(kernel**2), rel=1e-5)
    assert layer.cell.bias.constraint is not None
    assert QRNN.from_config(layer.get_config()).get_config() == layer.get_config()
    assert QRNN(4, use_bias=False, output_gate=False)(np.ones((1, 2, 3), "float32")).shape == (1, 4)


@pytest.mark.once
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: QRNN(4, window=3), "`window` must be 1 or 2. Received: window=3"),
        (lambda: QRNN(4, window=True), "`window` must be 1 or 2. Received: window=True"),
        (lambda: QRNN(4, zoneout=1.0), "`zoneout`.*Received: zoneout=1.0"),
        (lambda: QRNN(0), "`units`.*Received: units=0"),
        (lambda: QRNN(4, output_gate=1), "`output_gate` must be a boolean. Received: output_gate=1"),
        (lambda: QRNN(4, seed=-1), "`seed`.*Received: seed=-1"),
        (lambda: WeightDropGRU(4, weight_drop=1.0), "`weight_drop`.*Received: weight_drop=1.0"),
        (lambda: WeightDropGRU(4, reset_after="no"), "`reset_after` must be a boolean. Received: reset_after='no'"),
        (lambda: WeightDropGRU(4, use_cudnn="yes"), "`use_cudnn`.*Received: use_cudnn='yes'"),
        (lambda: MogrifierLSTM(4, rounds=-1), "`rounds` must be an integer of at least 0. Received: rounds=-1"),
        (lambda: MogrifierLSTM(4, rank=0), "`rank` must be a positive integer. Received: rank=0"),
        (
            lambda: built("gru")(np.ones((2, 3, 3), "float32"), initial_state=[np.ones((2, 4), "float32")] * 2),
            r"`initial_state` must be a list \[h\]. Received",
        ),
        (
            lambda: built("qrnn")(np.ones((2, 3, 3), "float32"), initial_state=[np.ones((2, 4), "float32")] * 3),
            r"`initial_state` must have the shape \(2, 3\). Received: shape=\(2, 4\)",
        ),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.once
def test_built_again():
    """As Keras's layers: for no larger batch it changes nothing. The state can't become larger."""
    layer = WeightDropGRU(4, stateful=True)
    layer.build((3, None, 2))
    state = layer.states[0]
    layer.build((3, None, 2))
    layer.build((2, None, 2))
    assert layer.states[0] is state
    with pytest.raises(ValueError, match="was built for a batch of 3 rows, and can't be built again for more.*: 5"):
        layer.build((5, None, 2))


class Around(keras.layers.Layer):
    """A layer of one's own, for whose shape Keras calls it on symbols."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def build(self, input_shape):
        self.layer.build(input_shape)

    def call(self, inputs):
        return self.layer(inputs)


@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize(
    "new",
    [*(kind for kind, *_ in LAYERS.values()), WeightDropLSTM, without_gates],
    ids=[*LAYERS, "lstm", "ablated"],
)
def test_a_length_that_is_not_known_yet(new, return_sequences):
    """On JAX, a symbol stands for it, which can't be compared with numbers."""
    outputs = Around(new(UNITS, return_sequences=return_sequences))(keras.Input((None, FEATURES)))
    assert outputs.shape == ((None, None, UNITS) if return_sequences else (None, UNITS))


@pytest.mark.once
@pytest.mark.parametrize("new", [MogrifierLSTM, without_gates])
def test_functions_and_classes_that_keras_does_not_know(new):
    """As in Keras's layers: they need registering for files alone."""

    class Own(keras.initializers.Initializer):
        def __call__(self, shape, dtype=None):
            return keras.ops.full(shape, 2.0, dtype)

    def ones(shape, dtype=None):
        return keras.ops.ones(shape, dtype)

    layer = new(UNITS, kernel_initializer=Own(), recurrent_initializer=ones)
    layer.build((1, None, FEATURES))
    kernel, recurrent = values_of(layer.cell.weights)[:2]
    assert (kernel == 2).all()
    assert (recurrent == 1).all()
