import keras
import numpy as np
import pytest

from awd_keras.data import Vocabulary
from awd_keras.generation import generate
from awd_keras.models import AWDLSTM

WORDS = ("<eos>", "a", "b", "c", "d", "e")


@pytest.fixture
def vocabulary():
    return Vocabulary(WORDS)


@pytest.fixture
def model():
    model = AWDLSTM(len(WORDS), embedding_dim=8, hidden_units=12, num_layers=1, seed=3)
    model.build((3, None))
    rng = np.random.default_rng(5)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(scale=1.0, size=variable.shape))
    return model


def logits_of(model, words):
    """The model's logits after each word, from one call on the whole text and a zero state."""
    for lstm in model.lstms:
        lstm.reset_inference_state()
    ids = np.array([[WORDS.index(word) for word in words]], dtype="int32")
    return keras.ops.convert_to_numpy(model(ids, training=False))[0]


def words_of(text):
    return text.replace("\n", " <eos> ").split()


def test_greedy_follows_the_logits_of_the_whole_text(model, vocabulary):
    text = generate(model, vocabulary, "a c b", max_words=6, temperature=0)
    words = words_of(text)
    assert words[:3] == ["a", "c", "b"]
    assert len(words) == 3 + 6
    likeliest = np.argmax(logits_of(model, words), axis=-1)
    assert words[3:] == [WORDS[i] for i in likeliest[2:-1]]


def test_draws_from_the_softmax(vocabulary):
    # Every word has the same logits, so that each word drawn is a fresh draw.
    logits = np.array([0.5, 1.0, -1.0, 0.0, 2.0, -3.0], "float32")
    model = keras.Sequential([keras.layers.Embedding(len(WORDS), len(WORDS))])
    model.build((1, 1))
    model.set_weights([np.tile(logits, (len(WORDS), 1))])
    for temperature in (1.0, 0.5):
        p = np.exp(logits / temperature)
        p /= p.sum()
        text = generate(model, vocabulary, "a", max_words=800, temperature=temperature, seed=1)
        drawn = words_of(text)[1:]
        shares = [drawn.count(word) / len(drawn) for word in WORDS]
        np.testing.assert_allclose(shares, p, atol=0.06)


def test_a_small_temperature_is_greedy(model, vocabulary):
    greedy = generate(model, vocabulary, "a", max_words=6, temperature=0)
    assert generate(model, vocabulary, "a", max_words=6, temperature=1e-4, seed=1) == greedy


def test_the_same_seed_gives_the_same_text(model, vocabulary):
    first = generate(model, vocabulary, "a", max_words=20, seed=1)
    assert generate(model, vocabulary, "a", max_words=20, seed=1) == first
    assert generate(model, vocabulary, "a", max_words=20, seed=2) != first


def test_leaves_training_state_alone(model, vocabulary):
    model(np.ones((3, 4), "int32"), training=True)
    before = [keras.ops.convert_to_numpy(part) for part in model.lstms[0].training_state]
    generate(model, vocabulary, "a", max_words=3)
    after = [keras.ops.convert_to_numpy(part) for part in model.lstms[0].training_state]
    np.testing.assert_array_equal(before, after)


def test_eos_is_a_newline(model, vocabulary):
    text = generate(model, vocabulary, "a\nb", max_words=40, seed=1)
    assert text.startswith("a\nb")
    assert "<eos>" not in text
    assert text.count("\n") > 1
    assert len(words_of(text)) == 3 + 40


def test_an_empty_prompt_is_a_new_line(model, vocabulary):
    text = generate(model, vocabulary, "", max_words=1, temperature=0)
    expected = WORDS[int(np.argmax(logits_of(model, ["<eos>"])[0]))]
    assert text == expected.replace("<eos>", "\n")


def test_unknown_words(model, vocabulary):
    with pytest.raises(ValueError, match=r"`prompt` must be of words.*'zzz'"):
        generate(model, vocabulary, "a zzz")
    known = Vocabulary([*WORDS[:-1], "<unk>"])
    unknown = generate(model, known, "a zzz", max_words=5, temperature=0)
    same = generate(model, known, "a <unk>", max_words=5, temperature=0)
    assert unknown.split()[2:] == same.split()[2:]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": -1.0}, "`temperature` must be .*-1.0"),
        ({"temperature": float("nan")}, "`temperature` must be .*nan"),
        ({"max_words": 0}, "`max_words` must be .*0"),
    ],
)
def test_bad_arguments(model, vocabulary, arguments, message):
    with pytest.raises(ValueError, match=message):
        generate(model, vocabulary, "a", **arguments)
