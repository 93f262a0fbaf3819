"""AWDLSTM with the chunked cross-entropy trains, scores and is saved as with all logits."""

import keras
import numpy as np
import pytest

from awd_keras import backend
from awd_keras.callbacks import awd_lstm
from awd_keras.data import BPTTDataset
from awd_keras.evaluation import gradient_rms, perplexity
from awd_keras.inference import begin_text
from awd_keras.losses import TokenCrossEntropy
from awd_keras.losses.token_cross_entropy import DeferredLogits
from awd_keras.metrics import MeanCrossEntropy, Perplexity
from awd_keras.models import AWDLSTM
from awd_keras.optimizers import NTASGD
from backends_tests import oracle
from backends_tests.helpers import draw_weights, values_of

WORDS, BATCH, TIME = 11, 4, 5
NO_MASKS = dict.fromkeys(("input_dropout", "hidden_dropout", "output_dropout", "embedding_dropout", "weight_drop"), 0.0)
TEXT = np.random.default_rng(0).integers(0, WORDS, BATCH * 4 * TIME + 1)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Sets parts of 7 tokens, so that a window has three, the last one smaller."""
    monkeypatch.setattr(backend, "rows_at_a_time", lambda words: 7)


def small(chunked=True, words=WORDS, **kwargs):
    model = AWDLSTM(
        words, embedding_dim=4, hidden_units=6, num_layers=2, seed=1, chunked_cross_entropy=chunked, **kwargs
    )
    model.build((BATCH, None))
    return model


def windows(batch_size=BATCH):
    return BPTTDataset(TEXT, batch_size, bptt=TIME, variable=False)


def weights_of(model):
    return values_of(model.trainable_variables)


def asked_for_logits(model):
    """A list that grows whenever the model computes all logits."""
    asked = []
    call = model.embedding.call

    def noted(inputs, reverse=False, **kwargs):
        if reverse:
            asked.append(inputs)
        return call(inputs, reverse=reverse, **kwargs)

    object.__setattr__(model.embedding, "call", noted)
    return asked


def counted(monkeypatch, owner, name):
    """A list of the calls of a function from now on."""
    calls = []
    real = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *args: calls.append(args) or real(*args))
    return calls


def test_training_steps_equal_numpy(monkeypatch):
    """The loss, the clipped gradients with AR and TAR, weight decay, the carried state, and the perplexity.

    The cross-entropy is computed for the loss, and not once more for the perplexity.
    """
    computed = counted(monkeypatch, backend, "linear_cross_entropy")
    kept = counted(monkeypatch, DeferredLogits, "keep")
    model = small(alpha=2.0, beta=1.0, **NO_MASKS)
    rng = np.random.default_rng(5)
    draw_weights(model, rng, 0.5)
    rate, decay, clip = 2.0, 1e-3, 0.25
    model.compile(NTASGD(rate, weight_decay=decay, global_clipnorm=clip))
    reference = oracle.AWDLSTM(weights_of(model), BATCH, alpha=2.0, beta=1.0)
    dataset = windows()
    for index in range(len(dataset)):
        x, y = dataset[index]
        loss, cross_entropy, gradients = reference.loss_and_gradients(x, y)
        scale = min(1, clip / np.sqrt(sum((g**2).sum() for g in gradients)))
        reference.weights = [
            w - rate * (scale * g + decay * w) for w, g in zip(reference.weights, gradients, strict=True)
        ]
        logs = model.train_on_batch(x, y, return_dict=True)
        assert float(logs["loss"]) == pytest.approx(loss, rel=1e-5)
        assert np.log(float(logs["perplexity"])) == pytest.approx(cross_entropy, rel=1e-4)
        model.reset_metrics()
    for actual, expected in zip(weights_of(model), reference.weights, strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-4)
    assert len(computed) == len(kept) > 0


def test_mixed_precision():
    """With loss scaling, the gradients are near those of float64."""
    model = small(dtype="mixed_float16", alpha=0.0, beta=0.0, **NO_MASKS)
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1.0)))
    before = weights_of(model)
    x, y = windows()[0]
    _, cross_entropy, gradients = oracle.AWDLSTM(before, BATCH).loss_and_gradients(x, y)
    logs = model.train_on_batch(x, y, return_dict=True)
    assert np.log(float(logs["perplexity"])) == pytest.approx(cross_entropy, rel=1e-3)
    for old, new, gradient in zip(before, weights_of(model), gradients, strict=True):
        np.testing.assert_allclose(old - new, gradient, atol=0.01 * np.abs(gradient).max())


def trained(chunked):
    """A model after the whole recipe, the results of `fit` and `evaluate`, and the list of `asked_for_logits`."""
    model = small(chunked, alpha=0.1, beta=0.1)
    model.compile(NTASGD(1.0, non_monotone_interval=1), weighted_metrics=[MeanCrossEntropy()])
    train, valid = windows(), windows(2)
    model._symbolic_build(data_batch=train[0])  # Keras asks for the logits' shape here
    asked = asked_for_logits(model)
    history = model.fit(train, validation_data=valid, epochs=2, callbacks=awd_lstm(train), verbose=0).history
    return model, [*history.values(), model.evaluate(valid, verbose=0)], asked


def test_the_whole_recipe_is_the_same_without_logits(tmp_path):
    plain, expected, asked_plain = trained(False)
    model, actual, asked = trained(True)
    assert asked_plain
    for values, others in zip(actual, expected, strict=True):
        np.testing.assert_allclose(values, others, rtol=1e-5)
    for weights, others in zip(weights_of(model), weights_of(plain), strict=True):
        np.testing.assert_allclose(weights, others, atol=1e-4)
    # A batch is also scored and trained on without logits.
    x, y = TEXT[None, :-1], TEXT[None, 1:]
    cross_entropy = oracle.AWDLSTM(weights_of(model), 1).loss_and_gradients(x, y)[1]
    assert perplexity(model, TEXT, bptt=TIME).loss == pytest.approx(cross_entropy, rel=1e-5)
    rms = gradient_rms(model, TEXT[: BATCH * TIME + 1], batch_size=BATCH, bptt=TIME)
    x, y = (TEXT[start : start + BATCH * TIME].reshape(BATCH, TIME) for start in (0, 1))
    gradients = oracle.AWDLSTM(weights_of(model), BATCH).loss_and_gradients(x, y)[2]
    for actual, gradient in zip(rms, gradients, strict=True):
        np.testing.assert_allclose(actual, np.abs(gradient), atol=1e-4)
    assert not asked
    # A call of the model returns logits.
    logits = oracle.AWDLSTM(weights_of(model), BATCH).forward(x)[0]
    np.testing.assert_allclose(model.predict(x, verbose=0), logits, atol=1e-5)
    assert asked
    del model.embedding.__dict__["call"]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.chunked_cross_entropy is True
    for weights, others in zip(weights_of(loaded), weights_of(model), strict=True):
        np.testing.assert_array_equal(weights, others)


# Beyond these the chunked cross-entropy is no slower: docs/performance.md has what was measured.
LARGE_VOCABULARY = {"torch": 0, "jax": 8_192, "tensorflow": 32_768}[keras.backend.backend()]


@pytest.mark.parametrize(
    ("chunked", "words", "compiled", "deferred"),
    [
        *[(None, LARGE_VOCABULARY, {}, False)] * bool(LARGE_VOCABULARY),
        (None, LARGE_VOCABULARY + 1, {}, True),
        (None, LARGE_VOCABULARY + 1, {"metrics": []}, True),
        (None, LARGE_VOCABULARY + 1, {"metrics": [Perplexity(), "accuracy"]}, False),
        (None, LARGE_VOCABULARY + 1, {"weighted_metrics": ["accuracy"]}, False),
        (None, LARGE_VOCABULARY + 1, {"loss": "sparse_categorical_crossentropy"}, False),
        (None, LARGE_VOCABULARY + 1, {"loss": TokenCrossEntropy(reduction="none")}, False),
        (False, LARGE_VOCABULARY + 1, {}, False),
        (True, WORDS, {}, True),
    ],
)
def test_when_logits_are_deferred(chunked, words, compiled, deferred):
    model = small(chunked, words)
    model.compile(**compiled)
    with model._own_step():
        assert model.defers_logits() == deferred
    assert not model.defers_logits()


@pytest.mark.parametrize("softmax", ["full", "adaptive"])
def test_a_subclass_with_its_own_call_gets_logits(softmax):
    class Halved(AWDLSTM):
        def call(self, inputs, training=False):
            return super().call(inputs, training=training) / 2

    sizes = {"embedding_dim": 4, "hidden_units": 4, "num_layers": 1, "seed": 1}
    model, plain = Halved(LARGE_VOCABULARY + 20, softmax=softmax, **sizes), AWDLSTM(LARGE_VOCABULARY + 20, **sizes)
    for each in (model, plain):
        each.compile()
    with model._own_step(), plain._own_step():
        assert not model.defers_logits()
        assert plain.defers_logits()


def test_who_asks_for_logits_gets_them():
    """As part of another model, and with hidden states, the model returns logits."""
    model, other = small(), small()
    with model.deferring_logits():
        assert model.defers_logits()
        assert not other.defers_logits()
        logits, _ = model(windows()[0][0], return_hidden_states=True)
        assert tuple(logits.shape) == (BATCH, TIME, WORDS)


class Doubled(TokenCrossEntropy):
    def call(self, y_true, y_pred):
        return 2 * super().call(y_true, y_pred)


class Half(Perplexity):
    def update_state(self, y_true, y_pred, sample_weight=None):
        super().update_state(y_true, 0.5 * y_pred, sample_weight)


@pytest.mark.parametrize("chunked", [None, False])
def test_losses_and_metrics_of_ones_own(monkeypatch, chunked):
    """They compute what they say, and don't change what others compute, whatever the model prefers."""
    monkeypatch.setattr(AWDLSTM, "prefers_deferred_logits", True)
    model = small(chunked, alpha=0.0, beta=0.0)
    model.compile(loss=Doubled(), metrics=[MeanCrossEntropy(name="plain"), Half(name="half"), Perplexity()])
    found = model.evaluate(windows(), return_dict=True, verbose=0)
    begin_text(model)
    logits = np.concatenate([keras.ops.convert_to_numpy(model(x, training=False)) for x, _ in windows()], axis=1)
    words = np.concatenate([y for _, y in windows()], axis=1)

    def cross_entropy(logits):
        return -np.mean(np.take_along_axis(oracle.log_softmax(logits), words[..., None], axis=-1))

    expected = cross_entropy(logits)
    np.testing.assert_allclose(found["plain"], expected, rtol=1e-5)
    np.testing.assert_allclose(found["loss"], 2 * expected, rtol=1e-5)
    np.testing.assert_allclose(found["perplexity"], np.exp(expected), rtol=1e-5)
    np.testing.assert_allclose(found["half"], np.exp(cross_entropy(0.5 * logits)), rtol=1e-5)


@pytest.mark.once
def test_measures_of_ones_own_are_refused_if_chunks_are_asked_for():
    class Measured(AWDLSTM):
        def compute_metrics(self, x, y, y_pred, sample_weight=None):
            return {"shape": y_pred.shape[-1]}

    for compiled in ({"loss": Doubled()}, {"metrics": [Half()]}):
        with pytest.raises(ValueError, match="`chunked_cross_entropy` must not be True for a model with .*Received: <"):
            small().compile(**compiled)
    with pytest.raises(ValueError, match="own `compute_loss` or `compute_metrics`. Received: 'compute_metrics'"):
        Measured(WORDS, chunked_cross_entropy=True).compile()


@pytest.mark.once
def test_measures_that_ask_for_logits_are_refused():
    class Shifted(AWDLSTM):
        def compute_loss(self, x, y, y_pred, sample_weight=None, training=True):
            return super().compute_loss(x, y + 1, y_pred)

    with pytest.raises(
        ValueError, match="`chunked_cross_entropy` .* its own `compute_loss` or .*. Received: 'compute_loss'"
    ):
        Shifted(WORDS, chunked_cross_entropy=True).compile()
    for compiled in ({"metrics": ["accuracy"]}, {"loss": "sparse_categorical_crossentropy"}):
        with pytest.raises(ValueError, match="`chunked_cross_entropy` must not be True for a model with .*Received: '"):
            small().compile(**compiled)
    with pytest.raises(ValueError, match="`chunked_cross_entropy` must be a boolean. Received: .*='yes'"):
        small("yes")
