from pathlib import Path

import keras
import numpy as np
import pytest

from awd_keras import inference
from awd_keras.backend.devices import program
from awd_keras.data import Vocabulary
from awd_keras.generation import generate, stream
from backends_tests import oracle
from backends_tests.evaluation.small_model import Counted, make_model, same_logits
from backends_tests.helpers import once, values_of

WORDS = ("<eos>", "a", "b", "c", "d", "e")
PROMPTS = ["a c b", "", "d", "a\nb e e"]
SAVED = Path(__file__).parent.parent / "models" / "saved"


@pytest.fixture
def vocabulary():
    return Vocabulary(WORDS)


@pytest.fixture
def model():
    return make_model(4, len(WORDS))


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


@pytest.mark.parametrize("settings", [{"temperature": 0}, {"seed": 5}])
@pytest.mark.parametrize("backend", ["torch", *once("jax", "tensorflow")])
def test_text_of_a_saved_model_is_that_of_numpy(backend, settings):
    """The same model, saved on each backend, writes the same text on every backend."""
    model = keras.saving.load_model(SAVED / f"{backend}.keras")
    # Larger weights, and no bias: with the saved weights, the same word follows every word.
    for variable in model.trainable_variables:
        variable.assign((0 if variable is model.embedding.bias else 4) * variable)
    weights = [keras.ops.convert_to_numpy(variable) for variable in model.trainable_variables]
    prompts, expected = ["1", "5 0 9 3", "8 8"], []
    for prompt in prompts:
        reference, words = oracle.AWDLSTM(weights, 1), [int(word) for word in prompt.split()]
        rng = np.random.default_rng([settings.get("seed", 0), *words])
        logits = reference.forward(np.array([words]))[0]
        for _ in range(15):
            p = np.exp(logits[0, -1].astype("float64"))
            words.append(int(rng.choice(len(p), p=p / p.sum()) if "seed" in settings else np.argmax(p)))
            logits = reference.forward(np.array([words[-1:]]))[0]
        expected.append(" ".join(map(str, words)))
        assert len(set(words)) > 4
    assert generate(model, Vocabulary(map(str, range(11))), prompts, max_words=15, **settings) == expected


@pytest.mark.once
def test_draws_from_the_softmax(vocabulary):
    logits = np.array([0.5, 1.0, -1.0, 0.0, 2.0, -3.0])
    for temperature in (1.0, 0.5):
        p = np.exp(logits / temperature)
        p /= p.sum()
        text = generate(same_logits(logits), vocabulary, "a", max_words=500, temperature=temperature, seed=1)
        drawn = words_of(text)[1:]
        shares = [drawn.count(word) / len(drawn) for word in WORDS]
        np.testing.assert_allclose(shares, p, atol=0.06)


@pytest.mark.once
@pytest.mark.parametrize(
    ("settings", "drawn"),
    [
        ({}, {"a", "b", "c", "d", "e"}),
        ({"top_k": 3}, {"b", "c", "d"}),
        ({"top_p": 0.5}, {"b", "c"}),
        ({"top_k": 3, "top_p": 0.7}, {"b", "c"}),
        ({"top_k": 1}, {"c"}),
        ({"min_p": 0.5}, {"b", "c"}),
        ({"min_p": 0.4}, {"b", "c", "d"}),
        ({"banned": ["b", "<eos>"]}, {"a", "c", "d", "e"}),
        ({"banned": "c", "top_k": 1}, {"b"}),
    ],
)
def test_draws_from_the_likeliest(vocabulary, settings, drawn):
    logits = np.log([1e-9, 0.1, 0.3, 0.35, 0.15, 0.1])
    text = generate(same_logits(logits), vocabulary, "a", max_words=100, seed=1, **settings)
    assert set(words_of(text)[1:]) == drawn


@pytest.mark.parametrize(
    "settings", [*once({"temperature": 0}, {"seed": 7}), {"seed": 7, "top_k": 4, "stop": ["<eos>", "b"]}]
)
def test_a_batch_gives_the_texts_of_single_prompts(model, vocabulary, settings):
    texts = generate(model, vocabulary, PROMPTS, max_words=12, **settings)
    assert texts == [generate(model, vocabulary, prompt, max_words=12, **settings) for prompt in PROMPTS]
    assert generate(model, vocabulary, PROMPTS[:1], max_words=12, **settings) == texts[:1]
    assert generate(model, vocabulary, [], **settings) == []


@pytest.mark.once
def test_no_unknown_word_is_written_unless_it_is_allowed():
    known = Vocabulary([*WORDS[:-1], "<unk>"])
    model = same_logits(np.log([1e-9, 0.1, 0.1, 0.1, 0.1, 0.6]))
    for settings in ({"seed": 1}, {"temperature": 0}, {"num_beams": 1}):
        assert "<unk>" not in generate(model, known, "a", max_words=60, **settings)
        assert "<unk>" in generate(model, known, "a", max_words=60, allow_unknown=True, **settings)
    # The other words share the probability of `<unk>`.
    words = words_of(generate(model, known, "a", max_words=800, seed=1))
    np.testing.assert_allclose([words.count(word) / 800 for word in "abcd"], 0.25, atol=0.06)
    # In a prompt, `<unk>` is still read.
    assert generate(model, known, "zzz", max_words=1, seed=1).startswith("zzz ")


@pytest.mark.once
def test_repetition_is_penalized(vocabulary):
    # Once a word was read, in the prompt or after it was written, its logit falls from 4 or 3 to a tenth of that.
    model = same_logits([1.0, 4.0, 3.0, 2.5, -5.0, -5.0])
    text = generate(model, vocabulary, "a", max_words=4, temperature=0, repetition_penalty=10.0)
    assert words_of(text) == ["a", "b", "c", "<eos>", "a"]


@pytest.mark.once
def test_rows_draw_independently(vocabulary):
    model = same_logits(np.zeros(len(WORDS)))
    texts = generate(model, vocabulary, ["a", "b", "a"], max_words=200, seed=1)
    first, second, third = (words_of(text)[1:] for text in texts)
    assert first == third
    assert np.mean(np.array(first) == np.array(second)) == pytest.approx(1 / len(WORDS), abs=0.1)
    first, second = generate(model, vocabulary, ["a", "a"], max_words=50)
    assert first != second


def test_one_compiled_step_for_prompts_and_words_of_any_number(vocabulary):
    model = Counted(len(WORDS), embedding_dim=4, hidden_units=5, num_layers=1, seed=3)
    model.build((2, None))
    generate(model, vocabulary, ["a", "b"], max_words=2, seed=1)
    assert model.runs == {"jax": 1, "tensorflow": 1, "torch": 2}[keras.backend.backend()]
    generate(model, vocabulary, ["a b c d", ""], max_words=30, seed=1)
    generate(model, vocabulary, ["a", "\n\n"], max_words=3, temperature=0, top_k=2)
    assert model.runs == {"jax": 1, "tensorflow": 1, "torch": 2 + 33 + 4}[keras.backend.backend()]
    # 100 words of the longer row are 3 windows of 32 and 4 of one word. 199 words of both rows are one window of 128, 2
    # of 32 and 7 of one word. The last word is left.
    generate(model, vocabulary, ["a " * 300, "b " * 200], max_words=1, seed=1)
    generate(model, vocabulary, ["a " * 9, "b " * 77], max_words=1, seed=1)
    # On TensorFlow, from the second length on one graph serves all lengths.
    assert model.runs == {"jax": 4, "tensorflow": 3, "torch": 39 + 18 + 8}[keras.backend.backend()]


def test_prompts_are_read_as_word_by_word(vocabulary):
    """For long prompts: the shorter ones begin later, and what their rows read before has no effect."""
    model = make_model(3, len(WORDS))
    rng = np.random.default_rng(1)
    prompts = [rng.integers(len(WORDS), size=length).tolist() for length in (171, 140, 8)]
    expected = []
    for words in prompts:
        reference = oracle.AWDLSTM(values_of(model.trainable_variables), 1)
        for word in words:
            logits = reference.forward(np.array([[word]]))[0]
        for _ in range(6):
            words = [*words, int(np.argmax(logits[0, -1]))]
            logits = reference.forward(np.array([words[-1:]]))[0]
        expected.append([WORDS[word] for word in words])
    texts = [vocabulary.decode(words) for words in prompts]
    texts = generate(model, vocabulary, [" ".join(text) for text in texts], max_words=6, temperature=0)
    assert [words_of(text) for text in texts] == expected


def test_a_state_of_which_rows_cannot_be_zeroed(vocabulary):
    class Carries(keras.layers.Layer):
        def call(self, inputs):
            return inputs

        def reset_inference_state(self):
            pass

    model = keras.Sequential([*same_logits(np.zeros(len(WORDS))).layers, Carries()])
    assert generate(model, vocabulary, ["a b", "c d"], max_words=1)
    with pytest.raises(AttributeError, match="inference_state"):
        generate(model, vocabulary, ["a b", "c"], max_words=1)


@pytest.mark.once
def test_stops(vocabulary):
    model = same_logits([0.0, 0.0, 0.0, 0.0, -99.0, -99.0])
    whole = words_of(generate(model, vocabulary, "a c", max_words=60, seed=1))
    for stop in ("c", ["c"], "<eos>", ["<eos>", "b"], ("a", "b", "c")):
        text = generate(model, vocabulary, "a c", max_words=60, seed=1, stop=stop)
        words = [stop] if isinstance(stop, str) else stop
        end = next(place for place in range(2, len(whole)) if whole[place] in words)
        assert words_of(text) == whole[:end]
        assert not text.endswith("\n") or "<eos>" not in words
    # A stop word that is never drawn changes nothing.
    assert words_of(generate(model, vocabulary, "a c", max_words=60, seed=1, stop="e")) == whole


@pytest.mark.once
def test_streams_the_text_of_generate(model, vocabulary):
    texts = generate(model, vocabulary, PROMPTS, max_words=20, seed=1, stop="e")
    pieces = list(stream(model, vocabulary, PROMPTS, max_words=20, seed=1, stop="e"))
    for row, text in enumerate(texts):
        assert "".join(piece for place, piece in pieces if place == row) == text
    # First come the prompts, then the words, one for each row in turn.
    assert pieces[:4] == list(enumerate(PROMPTS))
    single = [piece for _, piece in stream(model, vocabulary, PROMPTS[3], max_words=20, seed=1, stop="e")]
    assert single == [piece for row, piece in pieces if row == 3]


@pytest.mark.once
def test_streams_each_word_when_it_is_drawn(model, vocabulary, monkeypatch):
    calls = []

    def recorded(function, model):
        run = program(function, model)
        return lambda ids: calls.append(keras.ops.convert_to_numpy(ids).tolist()) or run(ids)

    monkeypatch.setattr(inference, "program", recorded)
    pieces = stream(model, vocabulary, "a b", max_words=9, seed=1)
    assert calls == []
    assert next(pieces) == (0, "a b")
    assert calls == []
    next(pieces)
    assert calls == [[[1]], [[2]]]
    next(pieces)
    assert len(calls) == 3
    assert len(list(pieces)) == 7
    assert len(calls) == 10


@pytest.mark.once
def test_the_same_seed_gives_the_same_text(model, vocabulary):
    first = generate(model, vocabulary, "a", max_words=20, seed=1)
    assert generate(model, vocabulary, "a", max_words=20, seed=1) == first
    assert generate(model, vocabulary, "a", max_words=20, seed=2) != first


def test_leaves_training_state_alone(model, vocabulary):
    state = model.lstms[0].training_state
    for part in state:
        part.assign(np.full(part.shape, 0.5))
    generate(model, vocabulary, "a", max_words=3)
    np.testing.assert_array_equal(values_of(state), 0.5)


@pytest.mark.once
def test_eos_is_a_newline(model, vocabulary):
    text = generate(model, vocabulary, "a\nb", max_words=40, seed=1)
    assert text.startswith("a\nb")
    assert "<eos>" not in text
    assert text.count("\n") > 1
    assert len(words_of(text)) == 3 + 40


@pytest.mark.once
def test_an_empty_prompt_is_a_new_line(model, vocabulary):
    text = generate(model, vocabulary, "", max_words=1, temperature=0)
    expected = WORDS[int(np.argmax(logits_of(model, ["<eos>"])[0]))]
    assert text == expected.replace("<eos>", "\n")


@pytest.mark.once
def test_unknown_words(model, vocabulary):
    with pytest.raises(ValueError, match=r"`prompt` must hold words.*'zzz'"):
        generate(model, vocabulary, ["a b", "a zzz"])
    known = Vocabulary([*WORDS[:-1], "<unk>"])
    unknown = generate(model, known, "a zzz", max_words=5, temperature=0)
    assert unknown.startswith("a zzz ")
    same = generate(model, known, "a <unk>", max_words=5, temperature=0)
    assert unknown.split()[2:] == same.split()[2:]


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": -1.0}, "`temperature` must be .*-1.0"),
        ({"temperature": float("nan")}, "`temperature` must be .*nan"),
        ({"max_words": 0}, "`max_words` must be .*0"),
        ({"top_k": 0}, "`top_k` must be a positive integer.*0"),
        ({"top_p": 0.0}, r"`top_p` must be a number in \(0, 1\].*0.0"),
        ({"top_p": 1.5}, "`top_p` must be .*1.5"),
        ({"top_p": float("nan")}, "`top_p` must be .*nan"),
        ({"top_p": True}, "`top_p` must be .*True"),
        ({"seed": -1}, "`seed` must be .*-1"),
        ({"min_p": 0}, r"`min_p` must be a number in \(0, 1\].*0"),
        ({"repetition_penalty": 0}, "`repetition_penalty` must be a positive number.*0"),
        ({"allow_unknown": 1}, "`allow_unknown` must be a boolean.*1"),
        ({"banned": ["a", "zzz"]}, "`banned` must hold words of the vocabulary only.*'zzz'"),
        ({"banned": WORDS}, "`banned` must leave a word to write. Received: all 6 words"),
        ({"stop": ["a", "zzz"]}, "`stop` must hold words of the vocabulary only.*'zzz'"),
        ({"stop": "a b"}, "`stop` must hold .*'a b'"),
    ],
)
def test_bad_arguments(model, vocabulary, arguments, message):
    with pytest.raises(ValueError, match=message):
        generate(model, vocabulary, "a", **arguments)
    # The error comes at once, not with the first piece.
    with pytest.raises(ValueError, match=message):
        stream(model, vocabulary, "a", **arguments)


def test_a_model_with_hidden_states_too(vocabulary):
    ids = keras.Input((None,), dtype="int32")
    hidden_states = keras.layers.Embedding(len(WORDS), 4, embeddings_initializer="normal")(ids)
    logits = keras.layers.Dense(len(WORDS), kernel_initializer="normal")(hidden_states)
    texts = [
        generate(keras.Model(ids, outputs), vocabulary, ["a", "b c"], max_words=9, seed=1)
        for outputs in (logits, [logits, hidden_states])
    ]
    assert texts[0] == texts[1]


@pytest.mark.once
def test_a_vocabulary_of_another_model(model):
    with pytest.raises(ValueError, match=r"`vocabulary` must have .* logits, 6. Received: .*5 words"):
        generate(model, Vocabulary(WORDS[:-1]), "a")


@pytest.mark.once
def test_more_prompts_than_the_model_was_built_for(model, vocabulary):
    with pytest.raises(ValueError, match="^Argument `prompt` .*the batch size .* built for, 4. Received: 5 prompts$"):
        generate(model, vocabulary, ["a"] * 5)
