import keras
import numpy as np
import pytest
from keras import ops

from awd_keras.models import AWDLSTM, inference_step
from backends_tests import oracle
from backends_tests.helpers import draw_weights, values_of

WORDS, UNITS = 11, (7, 7, 5)


def trained():
    """A model whose logits depend visibly on all weights and states."""
    model = AWDLSTM(WORDS, embedding_dim=UNITS[-1], hidden_units=UNITS[0], num_layers=3, seed=1)
    model.build((2, None))
    rng = np.random.default_rng(5)
    draw_weights(model, rng, 0.5)
    return model


def zero_state(batch_size):
    return [np.zeros((batch_size, units), "float32") for units in UNITS for _ in "hc"]


@pytest.mark.parametrize("batch_size", [1, 3])
def test_equals_numpy(batch_size):
    """Logits and states, word by word, for any batch size that the model was built for."""
    model = trained()
    step, state = inference_step(model), zero_state(batch_size)
    reference = oracle.AWDLSTM(values_of(model.trainable_variables), batch_size)
    for tokens in np.random.default_rng(0).integers(0, WORDS, (3, batch_size, 1)):
        logits, *state = (ops.convert_to_numpy(part) for part in step([tokens, *state]))
        np.testing.assert_allclose(logits, reference.forward(tokens)[0], atol=1e-5)
        for part, expected in zip(state, (part for pair in reference.state for part in pair), strict=True):
            np.testing.assert_allclose(part, expected, atol=1e-5)


def test_has_the_weights_of_the_model_and_no_state():
    model = trained()
    step = inference_step(model)
    assert {id(v) for v in step.trainable_variables} == {id(v) for v in model.trainable_variables}
    model(np.array([[1], [2]]))
    carried = [ops.convert_to_numpy(part) for lstm in model.lstms for part in lstm.inference_state]
    inputs = [np.array([[1], [2]]), *zero_state(2)]
    first, again = (ops.convert_to_numpy(step(inputs)[0]) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    after = [ops.convert_to_numpy(part) for lstm in model.lstms for part in lstm.inference_state]
    np.testing.assert_array_equal(np.concatenate(carried, axis=1), np.concatenate(after, axis=1))
    model.set_weights([0 * weights for weights in model.get_weights()])
    assert not ops.convert_to_numpy(step(inputs)[0]).any()


@pytest.mark.once
def test_takes_inputs_by_name():
    step = inference_step(trained())
    inputs = [np.array([[1], [2]]), *zero_state(2)]
    by_name = dict(zip([tensor.name for tensor in step.inputs], inputs, strict=True))
    np.testing.assert_array_equal(*(ops.convert_to_numpy(step(given)[0]) for given in (inputs, by_name)))
    assert [tensor.name for tensor in step.inputs] == ["tokens", "h_0", "c_0", "h_1", "c_1", "h_2", "c_2"]


def test_is_saved_and_loaded(tmp_path):
    step = inference_step(trained())
    step.save(tmp_path / "step.keras")
    loaded = keras.saving.load_model(tmp_path / "step.keras")
    inputs = [np.array([[1], [2]]), *zero_state(2)]
    np.testing.assert_allclose(*(ops.convert_to_numpy(each(inputs)[0]) for each in (step, loaded)), atol=1e-6)


def test_mixed_precision():
    model = AWDLSTM(WORDS, embedding_dim=5, hidden_units=7, num_layers=3, dtype="mixed_bfloat16")
    model.build((1, None))
    step = inference_step(model)
    outputs = step([np.array([[1]]), *zero_state(1)])
    assert {keras.backend.standardize_dtype(part.dtype) for part in outputs} == {"bfloat16"}
    assert {tensor.dtype for tensor in step.inputs} == {"int32", "bfloat16"}


@pytest.mark.once
def test_wrong_model():
    with pytest.raises(ValueError, match="`model` must be an AWDLSTM. Received: model=3"):
        inference_step(3)
    with pytest.raises(ValueError, match="`model` must be built"):
        inference_step(AWDLSTM(WORDS))
