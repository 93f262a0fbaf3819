"""One token makes the numbers of its window overflow, in the forward pass or only in the gradient."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from awd_keras.callbacks import CatchNonFinite, awd_lstm
from awd_keras.data import BPTTDataset
from awd_keras.layers import WeightDropLSTM
from awd_keras.metrics import Perplexity
from awd_keras.optimizers import NTASGD
from backends_tests.helpers import once, values_of

BAD = 6
ROWS, LENGTH, WINDOWS = 2, 5, 4
# The bad token is in the second row only, in the third window of four.
TOKENS = np.arange(ROWS * LENGTH * WINDOWS + 1) % BAD
TOKENS[LENGTH * WINDOWS + 2 * LENGTH + 1] = BAD
# The same text with another token in place of the bad one.
GOOD_TOKENS = np.where(TOKENS == BAD, 0, TOKENS)


class Overflow(keras.layers.Layer):
    """Gives NaN for every training window with the bad token: in the "forward" pass, or only in the "gradient"."""

    def __init__(self, where, **kwargs):
        super().__init__(**kwargs)
        self.where = where

    def call(self, inputs, training=False):
        ids, x = inputs
        bad = ops.cast(ops.any(ops.equal(ids, BAD)), x.dtype) if training else ops.zeros((), dtype=x.dtype)
        if self.where == "forward":
            return ops.where(bad > 0, ops.full_like(x, math.nan), x)
        # The square root of 1, or of 0, where its derivative isn't finite. In both cases, 0 is added.
        return x + ops.sqrt(x * 0 + (1 - bad)) - (1 - bad)

    def compute_output_spec(self, inputs, training=False):
        return keras.KerasTensor(inputs[1].shape, dtype=inputs[1].dtype)


def make_model(where, learning_rate=0.5, dtype=None, lstm=False):
    keras.utils.set_random_seed(1)
    ids = keras.Input((LENGTH,), batch_size=ROWS, dtype="int32")
    x = keras.layers.Embedding(BAD + 1, 4, dtype=dtype)(ids)
    if lstm:
        x = WeightDropLSTM(4, weight_drop=0.0, stateful=True, return_sequences=True, name="before")(x)
    x = Overflow(where, dtype=dtype)([ids, x])
    if lstm:
        x = WeightDropLSTM(4, weight_drop=0.0, stateful=True, return_sequences=True, name="after")(x)
    model = keras.Model(ids, keras.layers.Dense(BAD + 1, dtype="float32")(x))
    compile_model(model, NTASGD(learning_rate=learning_rate, weight_decay=0.01))
    return model


def compile_model(model, optimizer):
    model.compile(
        optimizer,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[Perplexity()],
        # On TensorFlow, XLA compiles slowly; JAX is slow without it.
        jit_compile=keras.backend.backend() == "jax",
    )
    optimizer.build(model.trainable_variables)


def make_dataset(tokens=TOKENS):
    return BPTTDataset(tokens, batch_size=ROWS, bptt=LENGTH, variable=False)


def fit(model, skip, epochs=1, tokens=TOKENS, before=(), after=(), **kwargs):
    dataset = make_dataset(tokens)
    callbacks = [*awd_lstm(dataset)[:2], *before, CatchNonFinite(dataset, skip=skip), *after]
    return model.fit(dataset, epochs=epochs, callbacks=callbacks, verbose=0, **kwargs).history


def are_finite(variables):
    return all(np.isfinite(number).all() for number in values_of(variables))


class Note(keras.callbacks.Callback):
    """Records what `look()` returns after each step."""

    def __init__(self, look):
        super().__init__()
        self.look = look
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.model  # noqa: B018 -- on JAX, asking for it fetches the variables
        self.seen.append(self.look())


@pytest.mark.parametrize("where", ["forward", "gradient"])
def test_stops_and_names_the_window(where):
    model = make_model(where, lstm=True)
    optimizer = model.optimizer
    optimizer.start_averaging()
    note = Note(lambda: values_of([*model.trainable_variables, *optimizer._averages]))
    with pytest.raises(FloatingPointError) as error:
        fit(model, skip=False, epochs=2, initial_epoch=1, before=[note])
    found = "the loss is nan and the gradients aren't finite" if where == "forward" else "the gradients aren't finite"
    assert str(error.value) == f"In epoch 2, step 3 (a window of 5 tokens, from token 11 of each row on), {found}."
    # The values are those after the second step, the last good one.
    assert len(note.seen) == 3
    assert any((one != two).any() for one, two in zip(*note.seen[:2], strict=True))
    for mine, its in zip(values_of([*model.trainable_variables, *optimizer._averages]), note.seen[1], strict=True):
        np.testing.assert_array_equal(mine, its)


@pytest.mark.parametrize("where", ["forward", "gradient"])
def test_skips_counts_and_goes_on(where):
    model = make_model(where, lstm=True)
    model.optimizer.start_averaging()
    note = Note(lambda: values_of(model.get_layer(name).training_state[0] for name in ("before", "after")))
    history = fit(model, skip=True, epochs=3, after=[note])
    assert model.optimizer.skipped_steps == 3
    assert int(model.optimizer.iterations) == 3 * WINDOWS
    assert are_finite(model.variables)
    model.optimizer.use_averages()
    assert are_finite(model.trainable_variables)
    assert np.isfinite(history["loss"]).all()
    assert history["loss"][2] < history["loss"][0]
    # Only a state that isn't finite starts from zero again.
    before, after = note.seen[2]
    assert before.all()
    assert after.all() if where == "gradient" else not after.any()


def test_metrics_leave_the_step_out():
    # Nothing is learnt, so that each window's perplexity is known.
    model = make_model("forward", learning_rate=0.0)
    history = fit(model, skip=True, epochs=2)
    losses = []
    for index in (0, 1, 3):
        x, y = make_dataset()[index]
        logits = model.predict_on_batch(x).astype("float64")
        log_z = np.log(np.exp(logits).sum(-1))
        losses.append(np.mean(log_z - np.take_along_axis(logits, y[..., None], -1)[..., 0]))
    np.testing.assert_allclose(history["loss"], [np.mean(losses)] * 2, rtol=1e-5)
    np.testing.assert_allclose(history["perplexity"], [np.exp(np.mean(losses))] * 2, rtol=1e-5)


def test_a_sound_training_is_what_it_was():
    model = make_model("forward")
    dataset = make_dataset(GOOD_TOKENS)
    history = model.fit(dataset, epochs=2, callbacks=awd_lstm(dataset)[:2], verbose=0).history
    for skip in (False, True):
        other = make_model("forward")
        assert fit(other, skip, epochs=2, tokens=GOOD_TOKENS) == history
        for mine, its in zip(values_of(other.variables), values_of(model.variables), strict=True):
            np.testing.assert_array_equal(mine, its)
        assert other.optimizer.skipped_steps == 0


@pytest.mark.once
def test_the_first_step_of_an_epoch():
    tokens = np.roll(TOKENS, -2 * LENGTH)
    model = make_model("forward")
    history = fit(model, skip=True, epochs=2, tokens=tokens)
    assert np.isfinite(history["perplexity"]).all()
    with pytest.raises(FloatingPointError, match=r"epoch 1, step 1 .*from token 1 of"):
        fit(make_model("forward"), skip=False, tokens=tokens)


@pytest.mark.once
def test_epochs_that_end_before_the_text_does():
    said = r"In epoch 2, step 1 \(a window of 5 tokens, from token 11 of each row on\)"
    with pytest.raises(FloatingPointError, match=said):
        fit(make_model("forward"), skip=False, epochs=2, steps_per_epoch=2)
    # The bad token is in the third and the fourth window, which are the whole second epoch.
    tokens = TOKENS.copy()
    tokens[LENGTH * WINDOWS + 3 * LENGTH + 1] = BAD
    with pytest.raises(FloatingPointError, match="In epoch 2, no step had"):
        fit(make_model("forward"), skip=True, epochs=2, tokens=tokens, steps_per_epoch=2)


def test_an_epoch_without_a_good_step_stops_anyway():
    model = make_model("forward")
    before = values_of(model.trainable_variables)
    with pytest.raises(FloatingPointError, match="In epoch 1, no step had a finite loss and finite gradients"):
        fit(model, skip=True, epochs=2, tokens=np.full_like(TOKENS, BAD))
    for mine, its in zip(values_of(model.trainable_variables), before, strict=True):
        np.testing.assert_array_equal(mine, its)


@pytest.mark.once
def test_a_learning_rate_that_is_far_too_large():
    model = make_model("forward", learning_rate=1e38)
    with pytest.raises(FloatingPointError, match="the gradients aren't finite|the loss is"):
        fit(model, skip=False, epochs=3, tokens=GOOD_TOKENS)
    assert not any(np.isnan(number).any() for number in values_of(model.trainable_variables))


@pytest.mark.parametrize("skip", [*once(False), True])
@pytest.mark.parametrize(
    ("event", "said"),
    [
        ("on_test_begin", r"In the validation after epoch 1, the loss is (inf|nan)\."),
        ("on_test_end", r"After epoch 1, dense.*/bias isn't finite\."),
    ],
)
def test_what_an_epoch_ends_with(skip, event, said):
    model = make_model("forward")

    def spoil(logs):
        variable = model.trainable_variables[-1]
        variable.assign(np.full(variable.shape, math.inf))

    spoil = keras.callbacks.LambdaCallback(**{event: spoil})
    with pytest.raises(FloatingPointError, match=said):
        fit(model, skip, tokens=GOOD_TOKENS, validation_data=make_dataset(GOOD_TOKENS), before=[spoil])


def test_loss_scaling_finds_its_scale_unhindered():
    # The scale is above the largest float16, so that the first gradients overflow, though the model is right.
    model = make_model("forward", dtype="mixed_float16")
    scaling = keras.optimizers.LossScaleOptimizer(NTASGD(learning_rate=0.5), initial_scale=2.0**30)
    compile_model(model, scaling)
    fit(model, skip=False, epochs=2, tokens=GOOD_TOKENS)
    assert float(scaling.dynamic_scale) < 2.0**30
    assert scaling.inner_optimizer.skipped_steps == 0
    with pytest.raises(FloatingPointError, match="epoch 1, step 3 .* the loss is nan"):
        fit(model, skip=False, tokens=TOKENS)


@pytest.mark.once
def test_skip_is_a_boolean():
    with pytest.raises(ValueError, match="`skip` must be a boolean. Received: skip='yes'"):
        CatchNonFinite(skip="yes")


@pytest.mark.once
def test_needs_an_optimizer_that_leaves_steps_out():
    model = make_model("forward")
    model.compile("sgd", loss="sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="CatchNonFinite.*NTASGD"):
        fit(model, skip=True)


@pytest.mark.once
def test_another_optimizer_is_found_a_step_later():
    model = make_model("forward")
    compile_model(model, keras.optimizers.Adam(0.1))
    with pytest.raises(FloatingPointError, match="In epoch 1, step 3 .*, the loss is nan."):
        fit(model, skip=False)
    model = make_model("gradient")
    compile_model(model, keras.optimizers.Adam(0.1))
    with pytest.raises(FloatingPointError, match="In epoch 1, step 4 .*, the loss is nan."):
        fit(model, skip=False)
