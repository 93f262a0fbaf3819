"""Compares 64 steps of `fit` with a training made of PyTorch's own modules: `nox -s parity`.

Both have the same initial weights, text and masks; windows of variable length with scaled learning rates, carried
state, clipping, weight decay, AR and TAR, and averaging that validation starts midway. The masks are drawn separately
and given to the reference; `masks.py` explains how. pytest doesn't collect this file automatically, as it needs PyTorch
on every backend.
"""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from backends_tests.parity import ours
from backends_tests.parity.masks import masks
from backends_tests.parity.recipe import Recipe
from backends_tests.parity.reference import Reference
from backends_tests.parity.trace import TOLERANCES, Trace, deviations

RECIPE = Recipe()
RATES = {
    "embedding": RECIPE.embedding_dropout,
    "input_dropout": RECIPE.input_dropout,
    "lstm_0": RECIPE.weight_drop,
    "hidden_dropout_0": RECIPE.hidden_dropout,
    "lstm_1": RECIPE.weight_drop,
    "output_dropout": RECIPE.output_dropout,
}


@dataclasses.dataclass
class Run:
    """The library's initial values, and its trace."""

    initial: dict[str, np.ndarray]
    lengths: list[np.ndarray]
    masks: list[dict[str, np.ndarray]]
    ours: Trace

    def compare(self, reference) -> dict[str, float]:
        """Prints and returns the differences between the library and a reference."""
        found = deviations(self.ours, reference, self.initial)
        print(", ".join(f"{name} {value:.1e}" for name, value in found.items()))
        return found


@pytest.fixture(scope="module")
def run():
    torch.set_num_threads(1)
    model = ours.new_model(RECIPE)
    initial = ours.weights(model)
    dataset = ours.train_dataset(RECIPE)
    lengths = [dataset.window_lengths(epoch) for epoch in range(RECIPE.epochs)]
    steps = sum(len(of_epoch) for of_epoch in lengths)
    drawn = list(itertools.islice(masks(model, RECIPE.batch_size), steps))
    return Run(initial, lengths, drawn, ours.train(RECIPE, model))


@pytest.fixture(scope="module")
def reference(run):
    return Reference(RECIPE, run.initial)


@pytest.fixture(scope="module")
def trace(run, reference):
    return reference.train(run.lengths, run.masks)


def test_follows(run, trace):
    found = run.compare(trace)
    assert len(run.ours.losses) == sum(map(len, run.lengths)) >= 50
    assert all(found[name] <= tolerance for name, tolerance in TOLERANCES.items()), found


def test_averaging_starts_midway_and_at_the_same_time(run, trace):
    assert run.ours.averaging_from == trace.averaging_from
    assert RECIPE.non_monotone_interval < run.ours.averaging_from < RECIPE.epochs - 1


def test_what_could_be_off_is_on(run, reference, trace):
    """Window lengths vary, also from epoch to epoch. Some steps are clipped, and others aren't."""
    assert len({length for of_epoch in run.lengths for length in of_epoch}) > 5
    assert len({tuple(of_epoch) for of_epoch in run.lengths}) == RECIPE.epochs
    assert len(reference.norms) == len(trace.losses)
    assert 0.25 < np.mean(np.array(reference.norms) > RECIPE.global_clipnorm) < 0.75


def test_every_weight_moves(run, trace):
    """Each moves by at least a tenth of its norm, so that a deviation relative to the movement means something."""
    for name, initial in run.initial.items():
        assert np.linalg.norm(trace.iterate[name] - initial) > 0.1 * np.linalg.norm(initial), name


@pytest.mark.parametrize("name", RATES)
def test_masks_drop_what_they_should(run, name):
    drawn = np.stack([of_step[name] for of_step in run.masks])
    deviation = np.sqrt(RATES[name] * (1 - RATES[name]) / drawn.size)
    assert abs(np.mean(~drawn) - RATES[name]) < 4 * deviation
    changes = (drawn[1:] != drawn[:-1]).reshape(len(drawn) - 1, -1)
    assert changes.any(axis=1).all()


class Unscaled(Reference):
    def learning_rate(self, length):
        return self.recipe.learning_rate


class NothingCarried(Reference):
    def carried(self, state):
        return


class CarriedOverEpochs(Reference):
    def epoch_state(self, state):
        return state


class ClippedOneByOne(Reference):
    def clip(self):
        for parameter in self.parameters:
            clip_grad_norm_(parameter, self.recipe.global_clipnorm)


class DecayClipped(Reference):
    """The decay is a penalty in the loss, whose gradient is clipped with the others."""

    def clip(self):
        for parameter in self.parameters:
            parameter.grad.add_(parameter.detach(), alpha=self.recipe.weight_decay)
        self.optimizer.param_groups[0]["weight_decay"] = 0.0
        super().clip()


class PenaltiesExchanged(Reference):
    """AR on the raw output, TAR on the dropped one."""

    def penalties(self, raw, dropped):
        return super().penalties(dropped, raw)


class NotAveraged(Reference):
    def starts_averaging(self, measures, new):
        return False


class LastMeasures(Reference):
    """The rule as in the paper's text, which has a misprint."""

    def starts_averaging(self, measures, new):
        n = self.recipe.non_monotone_interval
        return len(measures) > n and new > min(measures[-n:])


class ExponentialAverage(Reference):
    def new_average(self):
        return AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(0.9))


# A difference must show in these, by at least ten times the tolerance.
EVERYWHERE = set(TOLERANCES)
AVERAGES = {"perplexity", "average"}

RULES = {
    "learning rate unscaled": (Unscaled, EVERYWHERE),
    "no state carried": (NothingCarried, EVERYWHERE),
    "state carried over epochs": (CarriedOverEpochs, EVERYWHERE),
    "each variable clipped alone": (ClippedOneByOne, EVERYWHERE),
    "weight decay clipped": (DecayClipped, EVERYWHERE),
    "AR and TAR exchanged": (PenaltiesExchanged, EVERYWHERE),
    "no averaging": (NotAveraged, AVERAGES),
    "trigger on the last n": (LastMeasures, AVERAGES),
    "exponential average": (ExponentialAverage, AVERAGES),
}
NUMBERS = {
    "no clipping": {"global_clipnorm": float("inf")},
    "no weight decay": {"weight_decay": 0.0},
    "no AR": {"alpha": 0.0},
    "no TAR": {"beta": 0.0},
}


def not_seen(found, where=EVERYWHERE):
    # NaN counts as not seen, as a reference that diverges shows nothing.
    return [(name, found[name]) for name in sorted(where) if not found[name] > 10 * TOLERANCES[name]]


@pytest.mark.parametrize(("kind", "seen_in"), RULES.values(), ids=RULES)
def test_another_rule_is_seen(run, kind, seen_in):
    found = run.compare(kind(RECIPE, run.initial).train(run.lengths, run.masks))
    assert not_seen(found, seen_in) == []
    # Averaging doesn't change the training.
    assert all(found[name] <= TOLERANCES[name] for name in EVERYWHERE - seen_in), found


@pytest.mark.parametrize("changes", NUMBERS.values(), ids=NUMBERS)
def test_what_is_left_out_is_seen(run, changes):
    recipe = dataclasses.replace(RECIPE, **changes)
    found = run.compare(Reference(recipe, run.initial).train(run.lengths, run.masks))
    assert not_seen(found) == []


@pytest.mark.parametrize("name", RATES)
def test_a_mask_that_is_left_out_is_seen(run, name):
    without = [{other: mask for other, mask in of_step.items() if other != name} for of_step in run.masks]
    found = run.compare(Reference(RECIPE, run.initial).train(run.lengths, without))
    assert not_seen(found) == []


@pytest.mark.parametrize("name", RATES)
def test_a_mask_of_the_step_before_is_seen(run, name):
    """Shows that the masks must be equal, not only their rates."""
    late = [run.masks[-1], *run.masks[:-1]]
    mixed = [{**now, name: before[name]} for now, before in zip(run.masks, late, strict=True)]
    found = run.compare(Reference(RECIPE, run.initial).train(run.lengths, mixed))
    assert not_seen(found) == []
