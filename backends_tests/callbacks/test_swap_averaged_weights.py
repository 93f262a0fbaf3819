"""`SwapAveragedWeights`: when the model has the averages, when the raw iterate, and how training continues."""

import contextlib

import keras
import numpy as np
import pytest

from awd_keras.callbacks import NonMonotonicTrigger, SwapAveragedWeights
from awd_keras.optimizers import NTASGD
from backends_tests.helpers import once

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 3)).astype("float32")
Y = RNG.normal(size=(24, 2)).astype("float32")
VALIDATION = X[:8], Y[:8]


def new_model(loss_scaling=False, averaging=True):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    optimizer = NTASGD(learning_rate=0.1, non_monotone_interval=1)
    wrapped = keras.optimizers.LossScaleOptimizer(optimizer) if loss_scaling else optimizer
    model.compile(wrapped, loss="mse")
    model.optimizer.build(model.trainable_variables)
    if averaging:
        optimizer.start_averaging()
    return model, optimizer


def fit(model, epochs=1, callbacks=(), initial_epoch=0, validation_data=VALIDATION, **arguments):
    return model.fit(
        X,
        Y,
        batch_size=8,
        shuffle=False,
        epochs=epochs,
        initial_epoch=initial_epoch,
        validation_data=validation_data,
        callbacks=list(callbacks) or [SwapAveragedWeights()],
        verbose=0,
        **arguments,
    )


class Recorder(keras.callbacks.Callback):
    """Records the iterate after each step, and the model's weights at each event."""

    def __init__(self):
        super().__init__()
        self.iterates = []
        self.seen = {}

    def _note(self, event):
        self.seen.setdefault(event, []).append(self.model.get_weights()[0].copy())

    def on_train_begin(self, logs=None):
        self.iterates.append(self.model.get_weights()[0].copy())

    def on_train_batch_begin(self, batch, logs=None):
        self._note("train_batch_begin")

    def on_train_batch_end(self, batch, logs=None):
        self.iterates.append(self.model.get_weights()[0].copy())

    def on_test_batch_begin(self, batch, logs=None):
        self._note("test_batch_begin")

    def on_epoch_end(self, epoch, logs=None):
        self._note("epoch_end")

    def on_train_end(self, logs=None):
        self._note("train_end")


def close(a, b, tolerance=1e-6):
    np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


@pytest.mark.parametrize("loss_scaling", [False, True])
def test_validation_and_saving_see_averages_and_training_iterates(loss_scaling, tmp_path):
    model, optimizer = new_model(loss_scaling)
    recorder = Recorder()
    # One checkpoint before `SwapAveragedWeights`, and one after it.
    callbacks = [
        keras.callbacks.ModelCheckpoint(tmp_path / "before{epoch}.keras"),
        SwapAveragedWeights(),
        recorder,
        keras.callbacks.ModelCheckpoint(tmp_path / "behind{epoch}.keras"),
    ]
    history = fit(model, 3, callbacks)
    iterates = recorder.iterates
    assert len(iterates) == 10
    for step in range(9):
        close(recorder.seen["train_batch_begin"][step], iterates[step], 0)
    for epoch in range(3):
        average = np.mean(iterates[: 3 * (epoch + 1) + 1], axis=0)
        assert not np.allclose(average, iterates[3 * (epoch + 1)], atol=1e-4)
        close(recorder.seen["test_batch_begin"][epoch], average)
        close(recorder.seen["epoch_end"][epoch], average)
        for name in ("before", "behind"):
            saved = keras.saving.load_model(tmp_path / f"{name}{epoch + 1}.keras")
            close(saved.get_weights()[0], average)
            # The loss that `fit` has shown is that of the saved model.
            loss = saved.evaluate(*VALIDATION, verbose=0)
            assert loss == pytest.approx(history.history["val_loss"][epoch], abs=1e-5)
    close(recorder.seen["train_end"][0], average)
    close(model.get_weights()[0], average)
    assert optimizer.averages_in_model


def test_without_validation_averages_come_at_the_epoch_s_end():
    model, _ = new_model()
    recorder = Recorder()
    fit(model, 2, [SwapAveragedWeights(), recorder], validation_data=None)
    for epoch in range(2):
        average = np.mean(recorder.iterates[: 3 * (epoch + 1) + 1], axis=0)
        close(recorder.seen["epoch_end"][epoch], average)


@pytest.mark.once
def test_nothing_happens_before_averaging_starts():
    with_callback, _ = new_model(averaging=False)
    without, _ = new_model(averaging=False)
    fit(with_callback, 2)
    fit(without, 2, [keras.callbacks.Callback()])
    close(with_callback.get_weights()[0], without.get_weights()[0], 0)


@pytest.mark.parametrize(
    "how", ["loss_scaling, saved", "weights_set", *once("same", "saved", "loss_scaling", "without_validation")]
)
def test_a_second_fit_goes_on_as_if_uninterrupted(how, tmp_path):
    arguments = {"validation_data": None} if how == "without_validation" else {}
    whole, whole_optimizer = new_model("loss_scaling" in how)
    fit(whole, 4, **arguments)
    model, optimizer = new_model("loss_scaling" in how)
    fit(model, 2, **arguments)
    if "saved" in how:
        model.save(tmp_path / "model.keras")
        model = keras.saving.load_model(tmp_path / "model.keras")
        optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if how == "weights_set":  # as EarlyStopping(restore_best_weights=True) does
        model.set_weights([0 * weight for weight in model.get_weights()])
        told = pytest.warns(UserWarning, match="Weights that were set in the model while it held the averages are drop")
    else:
        told = contextlib.nullcontext()  # warnings are errors
    with told:
        fit(model, 4, initial_epoch=2, **arguments)
    for _ in range(2):
        for a, b in zip(model.get_weights(), whole.get_weights(), strict=True):
            close(a, b, 0)
        # First the averages, then the raw iterates.
        optimizer.use_iterates()
        whole_optimizer.use_iterates()
    assert optimizer.iterations == whole_optimizer.iterations


def test_the_trigger_and_the_state_of_the_rule_go_through_a_second_fit(tmp_path):
    callbacks = [NonMonotonicTrigger("val_loss"), SwapAveragedWeights()]
    whole, whole_optimizer = new_model(averaging=False)
    # The targets are the untrained model's predictions: validation gets worse, which starts averaging.
    worse = {"validation_data": (X, whole.predict(X, verbose=0))}
    fit(whole, 4, callbacks, **worse)
    model, optimizer = new_model(averaging=False)
    fit(model, 2, callbacks, **worse)
    assert not optimizer.averaging
    model.save(tmp_path / "model.keras")
    model = keras.saving.load_model(tmp_path / "model.keras")
    fit(model, 4, callbacks, initial_epoch=2, **worse)
    assert whole_optimizer.averaging
    assert model.optimizer.averaging
    for a, b in zip(model.optimizer.variables, whole_optimizer.variables, strict=True):
        close(a.numpy(), b.numpy(), 0)
    close(model.get_weights()[0], whole.get_weights()[0], 0)
    model.optimizer.use_iterates()
    whole_optimizer.use_iterates()
    close(model.get_weights()[0], whole.get_weights()[0], 0)


@pytest.mark.parametrize(
    ("event", "same_callback"),
    [("on_test_end", True), *once(("on_epoch_end", False), ("on_train_batch_end", True))],
)
def test_fit_after_an_exception_goes_on_from_the_raw_iterate(event, same_callback):
    class Stop(Exception):
        pass

    def stop(*args, **kwargs):
        raise Stop

    model, optimizer = new_model()
    fit(model, 1)
    swap = SwapAveragedWeights()
    # This callback comes after the swap. It raises at the end of epoch 1 or of a step in it.
    stopper = keras.callbacks.Callback()
    setattr(stopper, event, stop)
    with pytest.raises(Stop):
        fit(model, 2, [swap, stopper], initial_epoch=1)
    recorder = Recorder()
    before = optimizer.averages_in_model
    assert before == (event != "on_train_batch_end")
    averages = model.get_weights()[0]
    fit(model, 3, [swap if same_callback else SwapAveragedWeights(), recorder], initial_epoch=2)
    assert np.array_equal(recorder.seen["train_batch_begin"][0], averages) != before
    # The raw iterate is in the model as soon as training begins.
    close(recorder.iterates[0], recorder.seen["train_batch_begin"][0], 0)
    whole, _ = new_model()
    fit(whole, 3)
    if event != "on_train_batch_end":
        close(model.get_weights()[0], whole.get_weights()[0], 0)
    # Outside fit the callback knows that fit is over.
    optimizer.use_iterates()
    model.evaluate(*VALIDATION, callbacks=[swap], verbose=0)
    assert not optimizer.averages_in_model


@pytest.mark.once
@pytest.mark.parametrize("averages_before", [False, True])
def test_outside_fit_it_puts_back_what_it_found(averages_before):
    model, optimizer = new_model()
    fit(model, 2)
    average = model.get_weights()
    loss = model.evaluate(*VALIDATION, verbose=0)
    predictions = model.predict(X, verbose=0)
    if not averages_before:
        optimizer.use_iterates()
        assert model.evaluate(*VALIDATION, verbose=0) != loss
    before = model.get_weights()
    assert np.array_equal(before[0], average[0]) == averages_before
    for _ in range(2):
        swap = [SwapAveragedWeights()]
        assert model.evaluate(*VALIDATION, callbacks=swap, verbose=0) == loss
        close(model.get_weights()[0], before[0], 0)
        close(model.predict(X, callbacks=swap, verbose=0), predictions, 0)
        close(model.get_weights()[0], before[0], 0)
    assert optimizer.averages_in_model == averages_before


@pytest.mark.once
def test_needs_ntasgd():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="`SwapAveragedWeights` needs .*NTASGD"):
        model.predict(X, callbacks=[SwapAveragedWeights()], verbose=0)
    model.compile("sgd", loss="mse")
    with pytest.raises(ValueError, match="`SwapAveragedWeights` needs .*keras.*SGD"):
        fit(model)
