import keras
import pytest
from keras import ops

from awd_keras import layers
from awd_keras.layers import recurrent
from awd_keras.optimizers import NTASGD
from awd_keras.verification import masks, state_and_averages, verify


def failed(checks):
    return {check.name for check in checks if not check.passed}


def test_all_pass():
    checks = verify()
    assert not failed(checks), checks
    assert len({check.name for check in checks}) == len(checks) == 14
    for check in checks:
        assert check.figure
        assert check.detail


@pytest.mark.once
def test_weight_drop_that_drops_nothing_is_found(monkeypatch):
    monkeypatch.setattr("awd_keras.layers.recurrent._dropped", lambda tensor, rate, seed: tensor)
    assert failed(masks.weight_drop_checks()) == {
        "weight drop changes the training output",
        "the gradient has the mask of the forward pass",
        "weight drop is on, off, and on again: train, evaluate, train",
    }


@pytest.mark.once
def test_weight_drop_at_inference_is_found(monkeypatch):
    run = layers.WeightDropLSTM._run
    monkeypatch.setattr(layers.WeightDropLSTM, "_run", lambda self, *args: run(self, *args[:-1], True))
    assert failed([masks._off_at_inference()]) == {"weight drop is off at inference"}


@pytest.mark.once
def test_a_gradient_of_dropped_weights_is_found(monkeypatch):
    # The stored kernel gets a gradient everywhere, also where weights are dropped.
    drop = recurrent._dropped

    def straight_through(tensor, rate, seed):
        return tensor + ops.stop_gradient(drop(tensor, rate, seed) - tensor)

    monkeypatch.setattr(recurrent, "_dropped", straight_through)
    found = failed([masks._gradient_matches()])
    assert found == {"the gradient has the mask of the forward pass"}


@pytest.mark.once
def test_unlocked_dropout_is_found(monkeypatch):
    monkeypatch.setattr(masks, "LockedDropout", keras.layers.Dropout)
    assert failed(masks.dropout_checks()) == {"locked dropout keeps its mask over time"}


@pytest.mark.once
def test_embedding_dropout_of_single_places_is_found(monkeypatch):
    class Torn(layers.EmbeddingDropout):
        def call(self, inputs, reverse=False, training=False):
            embedded = super().call(inputs)
            return keras.random.dropout(embedded, self.rate, noise_shape=(*inputs.shape, 1))

    monkeypatch.setattr(masks, "EmbeddingDropout", Torn)
    assert failed(masks.dropout_checks()) == {"embedding dropout drops whole words"}


@pytest.mark.once
def test_state_that_is_not_carried_is_found(monkeypatch):
    monkeypatch.setattr(layers.WeightDropLSTM, "write_state", lambda *args: None)
    checks = [state_and_averages._carried(training) for training in (True, False)]
    assert failed(checks) == {"state is carried in training", "state is carried in inference"}


@pytest.mark.once
def test_state_that_leaks_and_stays_is_found(monkeypatch):
    build = layers.WeightDropLSTM.build

    def one_state_for_both(self, *args):
        build(self, *args)
        self.inference_state = self.training_state

    monkeypatch.setattr(layers.WeightDropLSTM, "build", one_state_for_both)
    monkeypatch.setattr(layers.WeightDropLSTM, "reset_training_state", lambda self: None)
    monkeypatch.setattr(layers.WeightDropLSTM, "reset_inference_state", lambda self: None)
    assert failed(state_and_averages._in_fit()) == {
        "validation leaves the training state as it is",
        "state is zero at an epoch's start",
    }


@pytest.mark.once
@pytest.mark.parametrize("method", ["start_averaging", "use_averages"])
def test_averaging_that_does_nothing_is_found(monkeypatch, method):
    monkeypatch.setattr(NTASGD, method, lambda self: None)
    if method == "start_averaging":
        assert failed([state_and_averages._trigger()])
    else:
        with pytest.warns(UserWarning, match="the raw iterate in the model, and the average unused"):
            assert failed([state_and_averages._averages()])
