import keras
import numpy as np
import pytest

from awd_keras.layers import EmbeddingDropout, WeightDropLSTM
from backends_tests.helpers import to_numpy

WORDS, SIZE = 200, 6


def built(**kwargs):
    layer = EmbeddingDropout(WORDS, SIZE, **{"seed": 1, **kwargs})
    layer.build()
    return layer


def test_lookup_at_inference():
    layer = built(rate=0.5)
    ids = np.array([[3, 1], [199, 0]])
    np.testing.assert_array_equal(to_numpy(layer(ids)), to_numpy(layer.embeddings)[ids])


def test_whole_words_are_dropped_wherever_they_occur():
    layer = built(rate=0.3)
    ids = np.tile(np.arange(WORDS), (3, 2))
    y = to_numpy(layer(ids, training=True))
    scaled = to_numpy(layer.embeddings)[ids] / 0.7
    kept = (y != 0).any(axis=-1)
    np.testing.assert_allclose(y, scaled * kept[..., None], rtol=1e-6)
    first = kept[0, :WORDS]
    np.testing.assert_array_equal(kept, np.tile(first, (3, 2)))
    assert abs((~first).mean() - 0.3) < 5 * np.sqrt(0.3 * 0.7 / WORDS)


def test_other_words_in_the_next_call_and_the_same_from_the_same_seed():
    ids = np.arange(WORDS)[None]
    layer, same = built(rate=0.3), built(rate=0.3)
    same.embeddings.assign(layer.embeddings)
    first, second = (to_numpy(layer(ids, training=True)) for _ in range(2))
    assert (first != second).any()
    np.testing.assert_array_equal(first, to_numpy(same(ids, training=True)))


def test_no_gradient_for_dropped_words(rng):
    layer = built(rate=0.5, use_bias=False)
    model = keras.Sequential([layer])
    model.compile(keras.optimizers.SGD(1.0), loss="mse")
    ids = np.arange(WORDS)[None]
    before = to_numpy(layer.embeddings)
    state = to_numpy(layer.seed_generator.state)
    kept = (to_numpy(layer(ids, training=True)) != 0).any(axis=-1)[0]
    layer.seed_generator.state.assign(state)
    model.train_on_batch(ids, rng.normal(size=(1, WORDS, SIZE)).astype("float32"))
    changed = (to_numpy(layer.embeddings) != before).any(axis=-1)
    np.testing.assert_array_equal(changed, kept)


def test_reverse_without_a_bias(rng):
    layer = built(rate=0.5, use_bias=False)
    x = rng.normal(size=(2, 3, SIZE)).astype("float32")
    np.testing.assert_allclose(to_numpy(layer(x, reverse=True)), x @ to_numpy(layer.embeddings).T, atol=1e-5)


def test_reverse_uses_the_whole_table_and_a_bias(rng):
    layer = built(rate=0.9)
    layer.bias.assign(rng.normal(size=WORDS))
    h = rng.normal(size=(2, 3, SIZE)).astype("float32")
    expected = h @ to_numpy(layer.embeddings).T + to_numpy(layer.bias)
    for training in (False, True):
        np.testing.assert_allclose(to_numpy(layer(h, reverse=True, training=training)), expected, atol=1e-5)
    assert len(layer.trainable_variables) == 2


@pytest.mark.once
def test_initial_values():
    layer = EmbeddingDropout(5000, 10)
    layer.build()
    table = to_numpy(layer.embeddings)
    assert np.abs(table).max() <= 0.1
    assert abs(table.std() - 0.2 / np.sqrt(12)) < 1e-3
    assert not to_numpy(layer.bias).any()


def test_padding_is_masked_through_lstm_and_logits():
    embedding = built(mask_zero=True)
    lstm = WeightDropLSTM(SIZE, return_sequences=True)
    ids = np.array([[1, 2, 0, 0]])
    h = lstm(embedding(ids))
    logits = embedding(h, reverse=True)
    for x in (h, logits):
        np.testing.assert_array_equal(to_numpy(x._keras_mask), [[True, True, False, False]])
    np.testing.assert_allclose(
        to_numpy(logits)[:, :2], to_numpy(embedding(lstm(embedding(ids[:, :2])), reverse=True)), atol=1e-6
    )
    assert getattr(built()(ids), "_keras_mask", None) is None


def test_functional_model_with_tied_logits():
    layer = EmbeddingDropout(WORDS, SIZE)
    ids = keras.Input((None,), dtype="int32")
    model = keras.Model(ids, layer(layer(ids), reverse=True))
    assert model.output_shape == (None, None, WORDS)
    assert model.predict(np.ones((2, 3), "int32"), verbose=0).shape == (2, 3, WORDS)


# Keras's own test fits on a generator, and never calls the layer in reverse, so `use_bias` is False.
@pytest.mark.once
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")
def test_keras_layer_contract():
    from keras.src.testing import TestCase

    case = TestCase()
    case.run_layer_test(
        EmbeddingDropout,
        init_kwargs={"input_dim": 4, "output_dim": 3, "use_bias": False, "seed": 3},
        input_shape=(2, 5),
        input_dtype="int32",
        expected_output_shape=(2, 5, 3),
        expected_num_trainable_weights=1,
        expected_num_seed_generators=1,
        supports_masking=True,
    )
    case.run_class_serialization_test(
        EmbeddingDropout(4, 3, rate=0.2, mask_zero=True, embeddings_regularizer="l2", seed=3)
    )


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"input_dim": 0}, "input_dim"),
        ({"output_dim": -1}, "output_dim"),
        ({"rate": 1.0}, "rate"),
        ({"seed": -1}, "seed"),
    ],
    ids=str,
)
def test_bad_arguments(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}`.*Received: {name}="):
        EmbeddingDropout(**{"input_dim": 4, "output_dim": 3, **arguments})
