"""`num_beams`: beam search, compared with all possible texts, and with taking the likeliest word each time."""

import itertools

import keras
import numpy as np
import pytest

from awd_keras.data import Vocabulary
from awd_keras.generation import generate
from backends_tests import oracle
from backends_tests.evaluation.small_model import Counted, make_model, same_logits
from backends_tests.helpers import once

WORDS = ("<eos>", "a", "b", "c")
PROMPTS = ["a c", "b", "c c a b"]


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary(WORDS)


@pytest.fixture(scope="module")
def model():
    return make_model(3 * 64, len(WORDS))


def weights_of(model):
    return [keras.ops.convert_to_numpy(variable) for variable in model.trainable_variables]


def log_p(weights, prompt, words):
    """The log-probabilities of words after a prompt, in NumPy."""
    ids = [WORDS.index(word) for word in [*prompt.split(), *words]]
    logits = oracle.AWDLSTM(weights, 1).forward(np.array([ids]))[0][0].astype("float64")
    logits -= np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    first = len(ids) - len(words)
    return sum(logits[place - 1, ids[place]] for place in range(first, len(ids)))


def best_of_all(weights, prompt, length, stop=(), penalty=1.0):
    """The best of all texts of this length and of all that end earlier, without the word that ends them."""
    texts = []
    for words in itertools.product(WORDS, repeat=length):
        end = next((place for place, word in enumerate(words) if word in stop), length)
        texts.append(words[: end + 1])
    best = max(set(texts), key=lambda text: log_p(weights, prompt, text) / len(text) ** penalty)
    return [word for word in best if word not in stop]


@pytest.mark.parametrize("settings", [*once({}, {"stop": "b"}), {"stop": ["b", "c"], "length_penalty": 0.0}])
@pytest.mark.parametrize("length", [*once(1), 3])
def test_enough_beams_find_the_best_of_all_texts(model, vocabulary, settings, length):
    texts = generate(model, vocabulary, PROMPTS, max_words=length, num_beams=64, **settings)
    weights, penalty = weights_of(model), settings.get("length_penalty", 1.0)
    for prompt, text in zip(PROMPTS, texts, strict=True):
        best = best_of_all(weights, prompt, length, settings.get("stop", ()), penalty)
        assert text.replace("\n", " <eos> ").split() == [*prompt.split(), *best]


@pytest.mark.once
@pytest.mark.parametrize("settings", [{}, {"stop": "a"}, {"repetition_penalty": 1.5}, {"banned": "c"}])
def test_one_beam_takes_the_likeliest_word_each_time(model, vocabulary, settings):
    greedy = generate(model, vocabulary, PROMPTS, max_words=15, temperature=0, **settings)
    assert generate(model, vocabulary, PROMPTS, max_words=15, num_beams=1, **settings) == greedy


@pytest.mark.once
def test_a_search_that_has_ended_stays_as_it_is_while_others_go_on(vocabulary):
    model = same_logits([-9.0, 2.9, 2.8, 3.0])
    settings = {"max_words": 9, "stop": "c", "repetition_penalty": 2.0, "length_penalty": 3.0}
    # After a prompt of "c", which ends a text, it is less likely than the two others are once.
    assert generate(model, vocabulary, ["b", "c"], num_beams=1, **settings) == ["b", "c a b"]


@pytest.mark.once
def test_more_beams_find_likelier_texts(model, vocabulary):
    weights = weights_of(model)

    def found(beams):
        text = generate(model, vocabulary, "a", max_words=12, num_beams=beams)
        return log_p(weights, "a", text.replace("\n", " <eos> ").split()[1:])

    assert found(1) < found(4) <= found(60)


@pytest.mark.parametrize("stop", [WORDS[1], *once(WORDS[0], *WORDS[2:])])
@pytest.mark.parametrize("length_penalty", [0.7, *once(3.0)])
def test_prompts_together_give_the_texts_of_each_alone(model, vocabulary, stop, length_penalty):
    settings = {"max_words": 10, "num_beams": 2, "stop": stop, "length_penalty": length_penalty}
    texts = generate(model, vocabulary, PROMPTS, **settings)
    assert texts == [generate(model, vocabulary, prompt, **settings) for prompt in PROMPTS]
    assert generate(model, vocabulary, [], **settings) == []


@pytest.mark.once
def test_longer_texts_by_the_length_penalty(model, vocabulary):
    lengths = [
        len(generate(model, vocabulary, "b", max_words=9, num_beams=30, stop="a", length_penalty=penalty).split())
        for penalty in (-3.0, 0.0, 3.0)
    ]
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[2]


@pytest.mark.once
@pytest.mark.parametrize("penalty", [-1e4, 1e4])
def test_penalties_beyond_the_range_of_a_power(model, vocabulary, penalty):
    settings = {"max_words": 9, "num_beams": 30, "stop": "a"}
    text = generate(model, vocabulary, "b", length_penalty=penalty, **settings)
    assert text == generate(model, vocabulary, "b", length_penalty=penalty / 100, **settings)


@pytest.mark.once
def test_every_word_ends_a_text(model, vocabulary):
    assert generate(model, vocabulary, "b", max_words=9, num_beams=2, stop=WORDS) == "b"


def test_one_compiled_step(vocabulary):
    model = Counted(len(WORDS), embedding_dim=4, hidden_units=5, num_layers=1, seed=3)
    model.build((8, None))
    generate(model, vocabulary, ["a", "b"], max_words=30, num_beams=4)
    generate(model, vocabulary, ["c", "c"], max_words=10, num_beams=4, stop="a")
    runs = {"jax": 1, "tensorflow": 1}.get(keras.backend.backend(), 40)
    assert model.runs <= runs


@pytest.mark.once
def test_a_vocabulary_of_another_model():
    """It is only found when there are logits."""
    with pytest.raises(ValueError, match="`vocabulary` must have .* logits, 4. Received: .*3 words"):
        generate(same_logits([1.0, 2.0, 3.0, 4.0]), Vocabulary(WORDS[:3]), "a", num_beams=2)


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_beams": "3"}, "`num_beams` must be a positive integer.*'3'"),
        ({"num_beams": 0}, "`num_beams` must be a positive integer.*0"),
        ({"num_beams": 2, "seed": 1}, "`num_beams` must be left out where words are drawn.*num_beams=2"),
        ({"num_beams": 2, "temperature": 0}, "`num_beams` must be left out where words are drawn"),
        ({"num_beams": 2, "length_penalty": float("nan")}, "`length_penalty` must be a finite number.*nan"),
        ({"length_penalty": 2.0}, "`length_penalty` needs `num_beams`.*2.0"),
        ({"num_beams": 193}, "`prompt` must hold .* built for, 192. Received: 1 prompts of 193 beams each"),
    ],
)
def test_bad_arguments(model, vocabulary, arguments, message):
    with pytest.raises(ValueError, match=message):
        generate(model, vocabulary, "a", **arguments)
