import json
from pathlib import Path

import keras
import numpy as np
import pytest

from awd_keras.callbacks import awd_lstm
from awd_keras.data import BPTTDataset
from awd_keras.layers import EmbeddingDropout, LockedDropout, WeightDropLSTM
from awd_keras.metrics import Perplexity
from awd_keras.models import AWDLSTM, PRESETS
from awd_keras.optimizers import NTASGD
from awd_keras.regularizers import ActivationRegularizer, TemporalActivationRegularizer
from backends_tests import oracle
from backends_tests.helpers import draw_weights, once, to_numpy

WORDS, BATCH = 11, 4
SMALL = {"embedding_dim": 5, "hidden_units": 7, "num_layers": 2}
NO_MASKS = {
    "input_dropout": 0.0,
    "hidden_dropout": 0.0,
    "output_dropout": 0.0,
    "embedding_dropout": 0.0,
    "weight_drop": 0.0,
}


def small(**kwargs):
    return AWDLSTM(WORDS, **{**SMALL, "seed": 1, **kwargs})


def easy():
    return small(
        hidden_units=8,
        embedding_dim=8,
        num_layers=2,
        input_dropout=0.1,
        hidden_dropout=0.1,
        output_dropout=0.1,
        weight_drop=0.2,
        alpha=0.1,
        beta=0.1,
    )


def tokens(count, seed=0):
    return np.random.default_rng(seed).integers(0, WORDS, count)


def weights_of(model):
    return [to_numpy(v) for v in model.trainable_variables]


def weights_of_built(model):
    model.build((BATCH, None))
    return weights_of(model)


def with_random_weights(model, batch_size=BATCH):
    model.build((batch_size, None))
    rng = np.random.default_rng(5)
    draw_weights(model, rng, 0.5)
    return model


@pytest.mark.once
@pytest.mark.parametrize(
    ("preset", "vocabulary_size", "count"),
    [("ptb", 10_000, 24_210_800), ("wikitext-2", 33_278, 33_545_278), ("ptb-small", 10_000, 3_862_320)],
)
def test_published_sizes(preset, vocabulary_size, count):
    model = AWDLSTM.from_preset(preset, vocabulary_size)
    model.build((1, None))
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == count


@pytest.mark.once
def test_published_settings():
    ptb, wikitext = PRESETS["ptb"], PRESETS["wikitext-2"]
    assert (ptb.batch_size, ptb.epochs, ptb.bptt) == (20, 500, 70)
    assert (wikitext.batch_size, wikitext.epochs, wikitext.bptt) == (80, 750, 70)
    assert (ptb.valid_batch_size, ptb.test_batch_size) == (10, 1)
    dropouts = ("input_dropout", "hidden_dropout", "output_dropout", "embedding_dropout", "weight_drop")
    assert [ptb.model[name] for name in dropouts] == [0.4, 0.25, 0.4, 0.1, 0.5]
    assert [wikitext.model[name] for name in dropouts] == [0.65, 0.2, 0.4, 0.1, 0.5]
    for preset in (ptb, wikitext):
        assert (preset.model["alpha"], preset.model["beta"]) == (2.0, 1.0)
        assert NTASGD(name="one", **preset.optimizer).get_config() == NTASGD(name="one").get_config()
        sizes = [preset.model[name] for name in ("embedding_dim", "hidden_units", "num_layers")]
        assert sizes == [400, 1150, 3]


@pytest.mark.once
def test_initial_values():
    model = AWDLSTM(500, embedding_dim=40, hidden_units=100, num_layers=2)
    model.build((1, None))
    assert np.abs(to_numpy(model.embedding.embeddings)).max() <= 0.1
    assert not to_numpy(model.embedding.bias).any()
    for lstm in model.lstms:
        bound = 1 / np.sqrt(lstm.units)
        for variable in lstm.trainable_variables:
            value = to_numpy(variable)
            assert np.abs(value).max() <= bound
            assert value.std() == pytest.approx(2 * bound / np.sqrt(12), rel=0.15)
            assert abs(value[..., lstm.units : 2 * lstm.units].mean()) < bound / 2  # no ones in the bias


@pytest.mark.once
def test_architecture():
    model = AWDLSTM.from_preset("ptb", 50)
    assert [lstm.units for lstm in model.lstms] == [1150, 1150, 400]
    assert [d.rate for d in model.locked_dropouts] == [0.25, 0.25, 0.4]
    assert model.get_layer("input_dropout").rate == 0.4
    assert all(lstm.weight_drop == 0.5 and lstm.stateful for lstm in model.lstms)
    # TAR acts on the last raw output, AR on the last dropped output, and no other layer has them.
    penalties = [getattr(layer, "activity_regularizer", None) for layer in model.lstms]
    assert [type(p) for p in penalties] == [type(None)] * 2 + [TemporalActivationRegularizer]
    penalties = [layer.activity_regularizer for layer in model.locked_dropouts]
    assert [type(p) for p in penalties] == [type(None)] * 2 + [ActivationRegularizer]


def test_logits_equal_numpy_and_carry_state():
    model = with_random_weights(small())
    reference = oracle.AWDLSTM(weights_of(model), BATCH)
    ids = tokens(BATCH * 9).reshape(BATCH, 9)
    for window in (ids[:, :4], ids[:, 4:]):
        np.testing.assert_allclose(to_numpy(model(window)), reference.forward(window)[0], atol=1e-5)


def test_hidden_states_are_what_the_logits_are_made_of():
    model = with_random_weights(small())
    ids = tokens(BATCH * 4).reshape(BATCH, 4)
    logits, inputs, _ = oracle.AWDLSTM(weights_of(model), BATCH).forward(ids)
    outputs = model(ids, return_hidden_states=True)
    for output, expected in zip(outputs, (logits, inputs[-1]), strict=True):
        np.testing.assert_allclose(to_numpy(output), expected, atol=1e-5)
    # Also in a user's model with two outputs.
    ids = keras.Input(batch_shape=(BATCH, 4), dtype="int32")
    both = keras.Model(ids, model(ids, return_hidden_states=True))
    assert [tuple(output.shape) for output in both.outputs] == [(BATCH, 4, WORDS), (BATCH, 4, 5)]


def test_twenty_training_steps_equal_numpy():
    """Loss, clipping, weight decay, AR, TAR and carried state, without masks, are the same on every backend."""
    model = with_random_weights(small(alpha=2.0, beta=1.0, **NO_MASKS))
    rate, decay, clip = 2.0, 1e-3, 0.25
    model.compile(NTASGD(rate, weight_decay=decay, global_clipnorm=clip))
    reference = oracle.AWDLSTM(weights_of(model), BATCH, alpha=2.0, beta=1.0)
    # The NumPy model gets the same weights, converted to float64.
    data = tokens(BATCH * 100 + 1)
    x, y = data[:-1].reshape(BATCH, 100), data[1:].reshape(BATCH, 100)
    for start in range(0, 100, 5):
        window = x[:, start : start + 5], y[:, start : start + 5]
        loss, cross_entropy, gradients = reference.loss_and_gradients(*window)
        norm = np.sqrt(sum((g**2).sum() for g in gradients))
        scale = min(1, clip / norm)
        reference.weights = [
            w - rate * (scale * g + decay * w) for w, g in zip(reference.weights, gradients, strict=True)
        ]
        logs = model.train_on_batch(*window, return_dict=True)
        assert float(logs["loss"]) == pytest.approx(loss, rel=5e-5)  # so that two backends agree to 1e-4
        assert np.log(float(logs["perplexity"])) == pytest.approx(cross_entropy, rel=1e-4)
    for actual, expected in zip(weights_of(model), reference.weights, strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-4)


def functional():
    embedding = EmbeddingDropout(WORDS, 5, seed=1)
    ids = keras.Input(batch_shape=(BATCH, None), dtype="int32")
    x = LockedDropout(0.3, seed=2)(embedding(ids))
    x = WeightDropLSTM(7, return_sequences=True, stateful=True, seed=3)(x)
    x = WeightDropLSTM(
        5,
        return_sequences=True,
        stateful=True,
        seed=4,
        activity_regularizer=TemporalActivationRegularizer(0.1),
    )(x)
    x = LockedDropout(0.1, seed=5, activity_regularizer=ActivationRegularizer(0.1))(x)
    return keras.Model(ids, embedding(x, reverse=True))


def sequential():
    return keras.Sequential(
        [
            EmbeddingDropout(WORDS, 5, use_bias=False, seed=1),
            LockedDropout(0.3, seed=2),
            WeightDropLSTM(7, return_sequences=True, stateful=True, seed=3),
            keras.layers.Dense(WORDS),
        ]
    )


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.embedding = EmbeddingDropout(WORDS, 5, seed=1)
        self.lstm = WeightDropLSTM(5, return_sequences=True, stateful=True, seed=3)

    def call(self, inputs, training=False):
        x = self.lstm(self.embedding(inputs, training=training), training=training)
        return self.embedding(x, reverse=True)


@pytest.mark.parametrize("build", [functional, *once(sequential, Subclassed, easy)])
def test_models_of_users_train_with_the_whole_recipe(build):
    """A repeating text is learnt, with another batch size for validation, and with averaging."""
    text = np.tile(np.random.default_rng(0).permutation(WORDS), 30)
    # Windows of 10 tokens and one of 2, so that JAX compiles two programs.
    train = BPTTDataset(text, BATCH, bptt=10, variable=False)
    valid = BPTTDataset(text[:201], 2, bptt=10, variable=False)
    model = build()
    model.compile(
        NTASGD(10.0, non_monotone_interval=1),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[Perplexity()],
    )
    history = model.fit(train, validation_data=valid, epochs=8, callbacks=awd_lstm(train), verbose=0).history
    assert history["val_perplexity"][-1] < 0.8 * WORDS
    assert history["val_perplexity"][-1] < history["val_perplexity"][0]
    assert model.predict(valid, verbose=0, steps=1).shape[0] == 2


@pytest.mark.once
def test_same_seed_same_training():
    text = tokens(300)
    losses = []
    for seed in (3, 3, 4):
        model = small(seed=seed, num_layers=1)
        model.compile()
        losses.append(model.fit(BPTTDataset(text, BATCH, 37, variable=False), epochs=2, verbose=0).history["loss"])
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


@pytest.mark.once
def test_summary_lists_the_layers():
    lines = []
    model = small()
    model.build((BATCH, None))
    model.summary(print_fn=lines.append)
    assert all(name in "\n".join(lines) for name in ("embedding", "lstm_0", "output_dropout"))


def test_save_and_load(tmp_path):
    text = tokens(300)
    model = small()
    model.compile()
    model.fit(BPTTDataset(text, BATCH, 37, variable=False), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    ids = text[:24].reshape(BATCH, 6)
    for layer in (*model.lstms, *loaded.lstms):
        layer.reset_state()
    np.testing.assert_allclose(to_numpy(loaded(ids)), to_numpy(model(ids)), atol=1e-6)
    assert isinstance(loaded.optimizer, NTASGD)
    assert int(loaded.optimizer.iterations) == int(model.optimizer.iterations)
    loaded.fit(BPTTDataset(text, BATCH, 37, variable=False), verbose=0)


def test_a_default_of_one_backend_is_not_saved_for_another(tmp_path):
    model = small()
    model.build((BATCH, None))
    for given, kept in ((None, None), (False, False)):
        model.compile(jit_compile=given)
        model.optimizer.build(model.trainable_variables)
        model.save(tmp_path / "model.keras")
        assert model.get_compile_config()["jit_compile"] is kept
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        assert loaded.jit_compile == model.jit_compile
    assert not small().get_compile_config()


FIXTURES = Path(__file__).parent / "saved"


@pytest.mark.parametrize("backend", ["torch", *once("jax", "tensorflow")])
def test_a_model_saved_under_any_backend_gives_its_logits_here(backend):
    """`saved/` holds a model saved under each backend, and its logits there; make_saved.py made them."""
    model = keras.saving.load_model(FIXTURES / f"{backend}.keras")
    example = json.loads((FIXTURES / f"{backend}.json").read_text(encoding="utf-8"))
    ids = np.array(example["ids"])
    logits = to_numpy(model(ids))
    np.testing.assert_allclose(logits, np.array(example["logits"]), atol=1e-5)
    reference = oracle.AWDLSTM(weights_of(model), len(ids))
    np.testing.assert_allclose(logits, reference.forward(ids)[0], atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", *once("mixed_bfloat16")])
def test_mixed_precision_trains(policy):
    train = BPTTDataset(tokens(4 * 40 + 1), BATCH, bptt=10, variable=False)
    model = small(dtype=policy)
    model.compile(NTASGD(1.0))
    before = weights_of_built(model)
    history = model.fit(train, epochs=2, callbacks=awd_lstm(train), verbose=0, validation_data=train).history
    assert np.isfinite(history["loss"]).all()
    assert history["val_perplexity"][-1] == pytest.approx(WORDS, rel=0.1)
    for variable, value in zip(model.trainable_variables, before, strict=True):
        assert keras.backend.standardize_dtype(variable.dtype) == "float32"
        assert (to_numpy(variable) != value).any()
    # The carried state stays in float32.
    assert {v.dtype for lstm in model.lstms for v in lstm.training_state} == {"float32"}
    assert all(lstm.compute_dtype == policy.removeprefix("mixed_") for lstm in model.lstms)


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"vocabulary_size": 0}, "vocabulary_size"),
        ({"embedding_dim": -1}, "embedding_dim"),
        ({"hidden_units": 1.5}, "hidden_units"),
        ({"num_layers": 0}, "num_layers"),
        ({"weight_drop": 1.0}, "weight_drop"),
        ({"input_dropout": -0.1}, "input_dropout"),
        ({"alpha": -1.0}, "alpha"),
        ({"seed": -1}, "seed"),
    ],
    ids=str,
)
def test_bad_arguments(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}`.*Received: {name}="):
        AWDLSTM(**{"vocabulary_size": WORDS, **arguments})


@pytest.mark.once
def test_bad_input():
    with pytest.raises(ValueError, match="`preset`.*'ptb'.*Received: preset='penn'"):
        AWDLSTM.from_preset("penn", 10)
    model = small()
    model.compile()
    outside = tokens(300)
    outside[7] = WORDS
    for run in (model.fit, model.evaluate, model.predict):
        with pytest.raises(ValueError, match=r"token ids in \[0, 11\).*Received: 11"):
            run(BPTTDataset(outside, BATCH, bptt=10))
    with pytest.raises(ValueError, match=r"`x`.*token ids in \[0, 11\).*Received: -1"):
        model.predict(np.array([[-1, 2]]))
    inside = np.array([[1, 2]])
    for run in (model.fit, model.evaluate, model.train_on_batch, model.test_on_batch):
        with pytest.raises(ValueError, match=r"`y`.*token ids in \[0, 11\).*Received: 98"):
            run(inside, inside + 97)
    with pytest.raises(ValueError, match=r"`x`.*Received: 98"):
        model.predict_on_batch(inside + 97)


def test_evaluate_and_predict_begin_at_a_zero_state():
    model = with_random_weights(small())
    model.compile()
    valid = BPTTDataset(tokens(100), BATCH, variable=False)
    assert model.evaluate(valid, verbose=0) == model.evaluate(valid, verbose=0)
    ids = tokens(8).reshape(BATCH, 2)
    np.testing.assert_array_equal(model.predict(ids, verbose=0), model.predict(ids, verbose=0))
    assert np.abs(model.predict_on_batch(ids) - model.predict_on_batch(ids)).max() > 1e-4
