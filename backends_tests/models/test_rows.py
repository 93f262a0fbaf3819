"""Batches whose rows are separate texts, and batches of different sizes."""

import importlib

import keras
import numpy as np
import pytest
from keras import ops

from awd_keras import evaluation, generation
from awd_keras.data import Vocabulary
from awd_keras.models import AWDLSTM
from backends_tests import oracle
from backends_tests.helpers import draw_weights, values_of

WORDS, ROWS, TIME = 9, 10, 3
IDS = np.random.default_rng(0).integers(0, WORDS, (ROWS, TIME))
TARGETS = (IDS + 1) % WORDS


def model(stateful=True, batch=None):
    one = AWDLSTM(
        WORDS,
        embedding_dim=4,
        hidden_units=5,
        num_layers=1,
        input_dropout=0.0,
        hidden_dropout=0.0,
        output_dropout=0.0,
        embedding_dropout=0.0,
        weight_drop=0.0,
        alpha=0.0,
        beta=0.0,
        seed=1,
        stateful=stateful,
    )
    one.compile(keras.optimizers.SGD(0.0))
    if batch:
        one.build((batch, None))
    return one


def with_large_weights(one):
    rng = np.random.default_rng(5)
    draw_weights(one, rng)
    return one


def logits_of(one, parts, rows):
    """The logits in NumPy of consecutive parts, which begin at the first rows of the state, or at a zero state."""
    weights = values_of(one.trainable_variables)
    reference = oracle.AWDLSTM(weights, rows)
    found = []
    for part in parts:
        whole = reference.state
        if not one.stateful:
            whole = oracle.AWDLSTM(weights, rows).state
        reference.state = [[array[: len(part)] for array in state] for state in whole]
        found.append(reference.forward(part)[0])
        reference.state = [
            [np.concatenate([new, old[len(part) :]]) for new, old in zip(*pair, strict=True)]
            for pair in zip(reference.state, whole, strict=True)
        ]
    return np.concatenate(found)


class Dataset(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        rows = slice(4 * index, 4 * index + 4)
        return IDS[rows], TARGETS[rows]


def generator():
    yield from (Dataset()[index] for index in range(3))


def data():
    """The rows in batches of four, the last one of two, in all forms that this backend takes."""
    yield "fit", IDS, {"y": TARGETS, "batch_size": 4}
    yield "fit", generator(), {}
    yield "evaluate", Dataset(), {}
    if keras.backend.backend() == "tensorflow":
        tf = importlib.import_module("tensorflow")

        yield "fit", tf.data.Dataset.from_tensor_slices((IDS, TARGETS)).batch(4), {}


@pytest.mark.filterwarnings("ignore:Your input ran out of data", "ignore:.*shuffle=True. was passed")
def test_a_last_batch_of_fewer_rows():
    """A model that isn't built yet trains and scores from a zero state as NumPy does."""
    for method, x, arguments in data():
        one = model()
        name = f"{method} {x}"
        if method == "fit":
            found = one.fit(x, verbose=0, shuffle=False, **arguments).history
        else:
            found = one.evaluate(x, verbose=0, return_dict=True, **arguments)
        loss = np.ravel(found["loss"])[0]
        assert {state.shape[0] for lstm in one.lstms for state in lstm.states} == {4}, name
        log_p = oracle.log_softmax(logits_of(one, np.split(IDS, [4, 8]), 4))
        expected = -np.take_along_axis(log_p, TARGETS[..., None], axis=-1)
        assert loss == pytest.approx(expected.mean(), rel=1e-5), name


def test_predict_of_a_model_that_is_not_built():
    one = model()
    actual = one.predict(IDS, batch_size=4, verbose=0)
    np.testing.assert_allclose(actual, logits_of(one, np.split(IDS, [4, 8]), 4), atol=1e-5)


def test_batches_larger_than_the_model_was_built_for():
    one = model(batch=2)
    for read, arguments in ((one.fit, {"y": TARGETS}), (one.evaluate, {"y": TARGETS}), (one.predict, {})):
        with pytest.raises(
            ValueError, match=r"`batch_size` .* for, 2. .*\(\(4, None\)\)`. Received: batches of 4 rows"
        ):
            read(IDS, batch_size=4, verbose=0, **arguments)
    model(batch=5).fit(IDS, TARGETS, validation_split=0.5, verbose=0)
    assert model(stateful=False, batch=2).predict(IDS, batch_size=4, verbose=0).shape == (ROWS, TIME, WORDS)


@pytest.mark.parametrize("stateful", [True, False])
def test_rows_that_are_no_stream(stateful):
    """With `stateful=False`, a row's logits don't depend on its batch or on earlier calls."""
    one = with_large_weights(model(stateful, batch=4))
    ids = np.repeat(IDS[:1], 6, axis=0)
    alone = logits_of(one, [IDS[:1]], 1)
    found = [*(one.predict(ids, batch_size=size, verbose=0) for size in (4, 1)), one(ids[:4]), one(ids[:4])]
    found += [one(ids[:4], training=True), one(ids[:4], training=True)]
    differences = [np.abs(ops.convert_to_numpy(logits) - alone).max() for logits in found]
    assert max(differences) < 1e-5 if not stateful else min(differences[0], differences[1], differences[3]) > 1e-2
    assert len(one.get_weights()) == 5


def test_reset_states():
    one = with_large_weights(model(batch=4))
    first = [ops.convert_to_numpy(one(IDS[:4], training=training)) for training in (False, True)]
    one.reset_states()
    again = [ops.convert_to_numpy(one(IDS[:4], training=training)) for training in (False, True)]
    np.testing.assert_array_equal(first, again)
    without = [ops.convert_to_numpy(one(IDS[:4], training=training)) for training in (False, True)]
    assert min(np.abs(a - b).max() for a, b in zip(first, without, strict=True)) > 1e-2


@pytest.mark.once
def test_what_reads_a_text_wants_a_model_that_carries_its_state():
    one = model(stateful=False, batch=1)
    vocabulary = Vocabulary.from_words([*"abcdefgh", "<eos>"])
    tokens = np.arange(30) % WORDS
    for read in (
        lambda: evaluation.perplexity(one, tokens),
        lambda: evaluation.cache_perplexity(one, tokens),
        lambda: evaluation.dynamic_perplexity(one, tokens, rms=[]),
        lambda: evaluation.gradient_rms(one, tokens),
        lambda: evaluation.surprisal(one, vocabulary, "a b c"),
        lambda: generation.generate(one, vocabulary, "a"),
        lambda: next(generation.stream(one, vocabulary, "a")),
    ):
        with pytest.raises(ValueError, match="`model` must carry its state.*`stateful=True`.*Received: .*AWDLSTM"):
            read()
    carrying = AWDLSTM.from_config({**one.get_config(), "stateful": True})
    carrying.build((1, None))
    carrying.set_weights(one.get_weights())
    assert evaluation.perplexity(carrying, tokens).tokens == 29


@pytest.mark.once
def test_stateful_is_a_boolean():
    with pytest.raises(ValueError, match="`stateful` must be a boolean. Received: stateful=1"):
        AWDLSTM(WORDS, stateful=1)
