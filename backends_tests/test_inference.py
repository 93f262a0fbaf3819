"""The programs that score and write: how many there are, when they are compiled again, and that the model owns them."""

import functools
import gc
import weakref

import keras
import numpy as np
import pytest
from keras import ops

from awd_keras import evaluation, inference
from awd_keras.data import Vocabulary
from awd_keras.generation import generate
from awd_keras.models import AWDLSTM
from backends_tests.evaluation.small_model import Counted, make_bigrams
from backends_tests.helpers import once, values_of

WORDS = 11
TOKENS = np.random.default_rng(3).integers(WORDS, size=21)
COMPILES = keras.backend.backend() != "torch"


def make_model(kind=AWDLSTM):
    model = kind(WORDS, embedding_dim=4, hidden_units=5, num_layers=1, seed=3)
    model.build((2, None))
    return model


def ones(model):
    return [np.ones(variable.shape, "float32") for variable in model.trainable_variables]


VOCABULARY = Vocabulary(map(str, range(WORDS)))
FUNCTIONS = {
    "perplexity": lambda model: evaluation.perplexity(model, TOKENS, bptt=10).loss,
    "surprisal": lambda model: evaluation.surprisal(model, VOCABULARY, TOKENS, bptt=10).bits,
    "cache_perplexity": lambda model: evaluation.cache_perplexity(model, TOKENS, bptt=10).loss,
    "tune_cache": lambda model: evaluation.tune_cache(model, TOKENS, [5], [0.1], [0.5], bptt=10)[0].score.loss,
    "gradient_rms": lambda model: evaluation.gradient_rms(model, TOKENS, batch_size=1, bptt=10)[0],
    "dynamic_perplexity": lambda model: evaluation.dynamic_perplexity(model, TOKENS, rms=ones(model), bptt=10).loss,
    "tune_dynamic": lambda model: (
        evaluation.tune_dynamic(model, TOKENS, [0.1], [0.1], rms=ones(model), bptt=10)[0].score.loss
    ),
    "generate": lambda model: generate(model, VOCABULARY, "1 2 3", max_words=4, temperature=0),
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_calls_again_and_again_compile_once(function):
    """They also leave no objects behind."""
    model = make_model(Counted)
    first = function(model)
    once = model.runs
    for _ in range(4):
        function(model)
    more = []
    for _ in range(2):
        gc.collect()
        objects = len(gc.get_objects())
        for _ in range(10):
            again = function(model)
        gc.collect()
        more.append(len(gc.get_objects()) - objects)
    # Objects that calls leave behind would add up. A few may come once from the test process itself.
    assert min(more) < 10
    assert model.runs == (once if COMPILES else 25 * once)
    np.testing.assert_array_equal(first, again)
    assert not COMPILES or once == 1


def test_one_program_for_all_functions_that_read_alike():
    model = make_model(Counted)
    FUNCTIONS["perplexity"](model)
    once = model.runs
    FUNCTIONS["surprisal"](model)
    assert model.runs == (once if COMPILES else 2 * once)


@pytest.mark.parametrize("name", [name if name in ("perplexity", "generate") else once(name)[0] for name in FUNCTIONS])
def test_programs_end_with_the_model(name):
    model = make_model()
    FUNCTIONS[name](model)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def expected_loss(model):
    """Keras's own loss, of the whole text in one call that isn't compiled."""
    inference.begin_text(model)
    logits = model(TOKENS[None, :-1], training=False)
    nats = keras.losses.sparse_categorical_crossentropy(TOKENS[None, 1:], logits, from_logits=True)
    return float(np.mean(ops.convert_to_numpy(nats)))


def test_weights_are_those_of_the_call(tmp_path):
    model = make_model(Counted)
    FUNCTIONS["perplexity"](model)
    once = model.runs
    weights = [5 * weight for weight in model.get_weights()]
    model.set_weights(weights)
    loss = FUNCTIONS["perplexity"](model)
    assert model.runs == (once if COMPILES else 2 * once)
    assert loss == pytest.approx(expected_loss(model), rel=1e-5)
    other = make_model()
    before = FUNCTIONS["perplexity"](other)
    other.save_weights(tmp_path / "other.weights.h5")
    model.load_weights(tmp_path / "other.weights.h5")
    assert FUNCTIONS["perplexity"](model) == pytest.approx(before, rel=1e-6) != pytest.approx(loss, rel=1e-3)


def test_a_recompiled_model_is_compiled_anew():
    """As Keras's own methods are, after a layer has changed."""
    model = make_model()
    FUNCTIONS["perplexity"](model)
    model.lstms[0].cell.activation = keras.activations.relu
    model.set_weights([5 * weight for weight in model.get_weights()])
    model.compile()
    loss = FUNCTIONS["perplexity"](model)
    assert loss == pytest.approx(expected_loss(model), rel=1e-5)
    model.lstms[0].cell.activation = keras.activations.tanh
    assert abs(expected_loss(model) - loss) > 1e-3


def test_other_dtypes_are_compiled_anew():
    model = make_model()
    model.set_weights([5 * weight for weight in model.get_weights()])
    before = FUNCTIONS["perplexity"](model)
    for layer in (model.embedding, *model.lstms, *model.locked_dropouts, model.input_locked_dropout):
        layer.dtype_policy = "mixed_bfloat16"
    assert 1e-6 < abs(FUNCTIONS["perplexity"](model) - before) < 0.1


def test_other_variables_are_compiled_anew(rng):
    model = make_bigrams(rng)
    table = model.get_weights()[0]
    score = functools.partial(evaluation.perplexity, model, TOKENS, bptt=10)
    score()
    model.layers[1].enable_lora(2)
    changed = rng.normal(size=table.shape)
    model.layers[1].lora_embeddings_b.assign(changed[:2])
    table = table + ops.convert_to_numpy(model.layers[1].lora_embeddings_a) @ changed[:2]
    logits = table[TOKENS[:-1]]
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    assert score().loss == pytest.approx(-np.mean(log_p[np.arange(20), TOKENS[1:]]), rel=1e-4)


def test_a_scored_model_is_saved_and_cloned(tmp_path):
    model = make_model()
    loss = FUNCTIONS["perplexity"](model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert FUNCTIONS["perplexity"](loaded) == pytest.approx(loss, rel=1e-6)
    clone = AWDLSTM.from_config(model.get_config())
    clone.build((2, None))
    clone.set_weights([0 * weight for weight in model.get_weights()])
    assert FUNCTIONS["perplexity"](clone) == pytest.approx(np.log(WORDS), rel=1e-6)
    assert FUNCTIONS["perplexity"](model) == loss


def test_an_unbuilt_model_is_built_for_the_rows():
    model = AWDLSTM(WORDS, embedding_dim=4, hidden_units=5, num_layers=1)
    evaluation.perplexity(model, TOKENS, batch_size=2, bptt=5)
    assert inference.most_rows(model) == 2
    assert inference.most_rows(keras.Sequential()) is None


def add_twice(model, x, numbers):
    return [x + number + number for number in numbers]


def test_lists_and_numbers_are_arguments():
    model = make_model()
    for number in (1.0, 2.5):
        results = inference.run(model, add_twice, np.ones(3, "float32"), [np.float32(number), np.float32(0)])
        results = values_of(results)
        np.testing.assert_allclose(results, [[1 + 2 * number] * 3, [1] * 3])
