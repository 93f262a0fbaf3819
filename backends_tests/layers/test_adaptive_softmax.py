import keras
import numpy as np
import pytest
from keras import ops

from awd_keras.data import BPTTDataset
from awd_keras.layers import AdaptiveSoftmax, WeightDropLSTM
from awd_keras.losses import TokenCrossEntropy
from backends_tests import oracle
from backends_tests.helpers import draw_weights, values_of

WORDS, SIZE, CUTOFFS = 20, 8, [4, 10]


def drawn(rng, **kwargs):
    layer = AdaptiveSoftmax(WORDS, SIZE, CUTOFFS, div_value=2, **kwargs)
    layer.build()
    draw_weights(layer, rng, 0.5)
    return layer


def parts(layer):
    """The variables in NumPy: the head's rows, tables, projections and biases."""
    tables, projections, biases = (
        [ops.convert_to_numpy(v).astype("float64") for v in group]
        for group in (layer.tables, layer.projections, layer.biases)
    )
    clusters = ops.convert_to_numpy(layer.clusters).astype("float64")
    return np.concatenate([tables[0], clusters]), tables, projections, biases


def log_prob(layer, h):
    head, tables, projections, biases = parts(layer)
    of_head = oracle.log_softmax(h @ head.T + biases[0])
    result = [of_head[..., : CUTOFFS[0]]]
    for i in (1, 2):
        own = oracle.log_softmax(h @ projections[i - 1] @ tables[i].T + biases[i])
        result.append(of_head[..., CUTOFFS[0] + i - 1, None] + own)
    return np.concatenate(result, axis=-1)


def test_log_prob_equals_numpy(rng):
    layer, h = drawn(rng), rng.normal(size=(2, 3, SIZE)).astype("float32")
    expected = log_prob(layer, h)
    np.testing.assert_allclose(np.exp(expected).sum(-1), 1)
    np.testing.assert_allclose(ops.convert_to_numpy(layer.log_prob(h)), expected, atol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(layer(h, reverse=True)), expected, atol=1e-5)


def test_embeddings_equal_numpy(rng):
    layer = drawn(rng)
    _, tables, projections, _ = parts(layer)
    table = np.concatenate([tables[0], tables[1] @ projections[0].T, tables[2] @ projections[1].T])
    ids = np.arange(WORDS).reshape(4, 5)
    np.testing.assert_allclose(ops.convert_to_numpy(layer(ids)), table[ids], atol=1e-6)


def loss_of(layer, h, y, weights):
    return -np.mean(weights * np.take_along_axis(log_prob(layer, h), y[..., None], -1)[..., 0])


TARGETS = {
    "of all clusters": np.array([[1, 19, 4, 9], [10, 0, 3, 12]]),
    "of the head": np.array([[0, 3, 3, 1]]),
    "of the last cluster": np.array([[19, 10, 11, 19]]),
    "of none": np.zeros((0, 4), int),
}


@pytest.mark.parametrize("kind", TARGETS)
def test_loss_equals_numpy(rng, kind, monkeypatch):
    # Parts of two tokens, so that a cluster has several parts.
    monkeypatch.setattr("awd_keras.layers.adaptive_softmax.ROWS", 2)
    layer, y = drawn(rng), TARGETS[kind]
    h, weights = rng.normal(size=(*y.shape, SIZE)).astype("float32"), rng.normal(size=y.shape).astype("float32")
    expected = loss_of(layer, h, y, weights) if y.size else 0
    np.testing.assert_allclose(ops.convert_to_numpy(layer.loss(h, y, weights)), expected, rtol=1e-5, atol=1e-6)


class LanguageModel(keras.Model):
    """A user's model: hidden states, and a loss that is made from them."""

    def __init__(self, softmax, lstm):
        super().__init__()
        self.softmax = softmax
        self.lstm = lstm

    def call(self, ids):
        return self.lstm(self.softmax(ids))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return self.softmax.loss(y_pred, y, sample_weight)


def test_gradients_equal_those_of_all_log_probabilities(rng):
    """A step of SGD with the layer's loss equals one with the cross-entropy of the log-probabilities."""
    x = rng.integers(0, WORDS, (2, 4))
    y = TARGETS["of all clusters"]
    changes = []
    for whole in (False, True):
        softmax = drawn(np.random.default_rng(1))
        lstm = WeightDropLSTM(SIZE, weight_drop=0.0, return_sequences=True, kernel_initializer="glorot_uniform", seed=2)
        if whole:
            ids = keras.Input((4,), dtype="int32")
            model = keras.Model(ids, softmax(lstm(softmax(ids)), reverse=True))
            model.compile("sgd", TokenCrossEntropy())
        else:
            model = LanguageModel(softmax, lstm)
            model.compile("sgd")
        model(x)
        lstm.set_weights([0.3 * np.random.default_rng(3).normal(size=w.shape) for w in lstm.get_weights()])
        before = values_of((*softmax.trainable_variables, *lstm.trainable_variables))
        model.train_on_batch(x, y)
        after = values_of((*softmax.trainable_variables, *lstm.trainable_variables))
        changes.append([100 * (b - a) for a, b in zip(before, after, strict=True)])
    assert all(np.abs(change).max() > 1e-3 for change in changes[0])
    for actual, expected in zip(*changes, strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-4)


@pytest.mark.once
def test_a_text_that_repeats_itself_is_learnt():
    text = np.tile(np.random.default_rng(0).permutation(WORDS), 20)
    model = LanguageModel(
        AdaptiveSoftmax(WORDS, SIZE, CUTOFFS, div_value=2), WeightDropLSTM(SIZE, return_sequences=True)
    )
    model.compile(keras.optimizers.Adam(0.03))
    history = model.fit(BPTTDataset(text, 4, bptt=11, variable=False), epochs=16, verbose=0).history
    assert history["loss"][-1] < 0.5 * np.log(WORDS) < history["loss"][0]


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_dim": 0}, "`input_dim` must be a positive integer"),
        ({"output_dim": 1.5}, "`output_dim` must be a positive integer"),
        ({"cutoffs": []}, r"`cutoffs` must hold rising integers less than the 20 words. Received: cutoffs=\[\]"),
        ({"cutoffs": [4, 4]}, r"`cutoffs` must hold rising.* Received: cutoffs=\[4, 4\]"),
        ({"cutoffs": [4, 20]}, r"`cutoffs` must hold rising.* Received: cutoffs=\[4, 20\]"),
        ({"cutoffs": [-1]}, "`cutoffs` must be a positive integer. Received: cutoffs=-1"),
        ({"div_value": 0}, "`div_value` must be a positive integer"),
        ({"div_value": 3}, "`div_value` must leave the last cluster's embeddings a size. Received: div_value=3"),
    ],
    ids=str,
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        AdaptiveSoftmax(**{"input_dim": WORDS, "output_dim": SIZE, "cutoffs": CUTOFFS, **arguments})


@pytest.mark.once
@pytest.mark.parametrize("initializer", [None, keras.initializers.RandomUniform(-1, 1, seed=3)])
def test_no_table_repeats_another(initializer):
    """An initializer gives the same numbers each time."""
    layer = AdaptiveSoftmax(WORDS, SIZE, CUTOFFS, div_value=1, embeddings_initializer=initializer)
    layer.build()
    first_rows = [tuple(ops.convert_to_numpy(table)[0]) for table in (layer.clusters, *layer.tables)]
    assert len(set(first_rows)) == len(first_rows)
