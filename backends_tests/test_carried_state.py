"""The carried state of a layer belongs to a stream of data: no copy, count or file of weights includes it.

Tested for every public class whose config has `stateful`, by itself and within Keras's wrappers.
"""

import h5py
import keras
import numpy as np
import pytest
from keras import ops

from backends_tests.helpers import once, values_of
from backends_tests.test_contract import BATCH, KERAS_CLASSES, LAYERS, SIZE, TIME, WORDS, layers, models

CARRIERS = [cls for cls in LAYERS if "stateful" in KERAS_CLASSES[cls]().get_config()]
IDS = np.array([[1, 2, 3], [4, 5, 8], [0, 2, 6], [7, 7, 1]])


def of_layer(wrap):
    def build(cls, batch, **arguments):
        ids = keras.Input((TIME,), batch_size=batch, dtype="int32")
        x = keras.layers.Embedding(WORDS, SIZE)(ids)
        return keras.Model(ids, wrap(KERAS_CLASSES[cls](**arguments))(x))

    return build


class Subclassed(keras.Model):
    def __init__(self, layer):
        super().__init__()
        self.embedding = keras.layers.Embedding(WORDS, SIZE)
        self.layers_in_a_list = [layer]

    def call(self, ids, training=False):
        return self.layers_in_a_list[0](self.embedding(ids), training=training)


def subclassed(cls, batch, **arguments):
    model = Subclassed(KERAS_CLASSES[cls](**arguments))
    model(IDS[:batch])
    reset(model)
    return model


def in_a_functional_model(cls, batch, **arguments):
    ids = keras.Input((TIME,), batch_size=batch, dtype="int32")
    return keras.Model(ids, KERAS_CLASSES[cls](**arguments)(ids))


def alone(cls, batch, **arguments):
    model = KERAS_CLASSES[cls](**arguments)
    model.build((batch, TIME))
    return model


CASES = {
    f"{cls.__name__} {name}": (build, cls)
    for cls in CARRIERS
    for name, build in (
        {"alone": alone, "functional": in_a_functional_model}
        if issubclass(cls, keras.Model)
        else {
            "functional": of_layer(lambda layer: layer),
            "bidirectional": of_layer(keras.layers.Bidirectional),
            "subclassed": subclassed,
        }
    ).items()
}
cases = pytest.mark.parametrize(
    "case", [case if case in ("WeightDropLSTM functional", "AWDLSTM alone") else once(case)[0] for case in CASES]
)


def new(case, batch=BATCH, stateful=True):
    build, cls = CASES[case]
    return build(cls, batch, stateful=stateful)


def carriers(model):
    return [layer for layer in model._flatten_layers() if hasattr(layer, "training_state")]


def states(model):
    return [variable for layer in carriers(model) for variable in layer.states]


def reset(model):
    for layer in carriers(model):
        layer.reset_state()


def carrying(model):
    """The model after one call in training and one at inference, and its state."""
    model(IDS[:BATCH], training=True)
    model(IDS[:BATCH])
    state = values_of(states(model))
    assert all(np.abs(value).max() > 1e-3 for value in state)
    return model, state


def shapes(variables):
    return [tuple(variable.shape) for variable in variables]


def test_every_carrier_is_tested():
    made = {cls: KERAS_CLASSES[cls]() for cls in LAYERS}
    # A `TextClassifier` has such layers too, but they carry nothing from text to text.
    found = {cls for cls, layer in made.items() if carriers(layer) and hasattr(layer, "stateful")}
    assert found == set(CARRIERS) >= {layers.WeightDropLSTM, layers.WeightDropGRU, layers.QRNN, models.AWDLSTM}


@cases
def test_the_state_is_a_variable_and_no_weight(case):
    model, plain = new(case), new(case, stateful=False)
    for layer in carriers(model):
        assert list(map(id, layer.states)) == list(map(id, [*layer.training_state, *layer.inference_state]))
    assert all(layer.states is None for layer in carriers(plain))
    state = list(map(id, states(model)))
    assert state
    assert set(state) <= set(map(id, model.variables)) & set(map(id, model.non_trainable_variables))
    for weights in (model.weights, model.trainable_weights, model.non_trainable_weights, model.trainable_variables):
        assert not set(state) & set(map(id, weights))
    assert shapes(model.weights) == shapes(plain.weights)
    assert model.count_params() == plain.count_params() == sum(np.prod(shape) for shape in shapes(plain.weights))
    summaries = []
    for one in (model, plain):
        lines = []
        one.summary(print_fn=lines.append)
        summaries.append([line for line in "\n".join(lines).splitlines() if "params:" in line])
    assert len(summaries[0]) == 3
    assert summaries[0] == summaries[1]
    model.trainable = False
    assert shapes(model.non_trainable_weights) == shapes(plain.weights)
    assert not model.trainable_weights


@cases
def test_weights_are_copied_without_the_stream(case):
    """Also from a model without a carried state, and from one with another batch size."""
    model, state = carrying(new(case))
    for other in (model, new(case, stateful=False), new(case, batch=4)):
        model.set_weights(other.get_weights())
        other.set_weights(model.get_weights())
        for value, expected in zip(values_of(states(model)), state, strict=True):
            np.testing.assert_array_equal(value, expected)
    reset(model), reset(other)
    outputs = [ops.convert_to_numpy(one(IDS[:BATCH])) for one in (model, other)]
    np.testing.assert_allclose(*outputs, atol=1e-6)


FILES = {".keras": "save", ".weights.h5": "save_weights", ".h5": "save"}


def arrays(path):
    found = []
    with h5py.File(path) as file:
        file.visititems(lambda _, entry: found.append(entry[()]) if isinstance(entry, h5py.Dataset) else None)
    assert found
    return found


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@cases
def test_no_file_has_the_stream(case, tmp_path):
    model, state = carrying(new(case))
    reset(model)
    expected = ops.convert_to_numpy(model(IDS[:BATCH]))
    for variable, value in zip(states(model), state, strict=True):
        variable.assign(value)
    for suffix, method in FILES.items():
        if suffix == ".h5" and not hasattr(model, "inputs"):
            continue  # Keras doesn't write such a file for subclassed models
        if suffix == ".keras" and isinstance(model, Subclassed):
            continue  # its config has no layer
        path = tmp_path / f"file{suffix}"
        getattr(model, method)(path)
        if suffix != ".keras":
            assert not any(np.array_equal(one, value) for one in arrays(path) for value in state)
        if method == "save":
            loaded = keras.saving.load_model(path)
        else:
            loaded = new(case)
            carrying(loaded)
            loaded.load_weights(path)
            assert all(np.abs(value).max() > 0 for value in values_of(states(loaded)))  # its own stream
            reset(loaded)
        assert len(states(loaded)) == len(state)
        np.testing.assert_allclose(ops.convert_to_numpy(loaded(IDS[:BATCH])), expected, atol=1e-6)


def test_a_callback_that_restores_weights_leaves_the_stream():
    """With a learning rate of zero, all epochs have the same weights, and the state is that of the last epoch."""
    weights, ends = None, []
    for callbacks in ([], [keras.callbacks.EarlyStopping("loss", patience=9, restore_best_weights=True)]):
        model = new("WeightDropLSTM functional")
        weights = weights or model.get_weights()
        model.set_weights(weights)
        model.compile(keras.optimizers.SGD(0.0), "mse")
        targets = np.zeros((BATCH, TIME, SIZE), "float32")
        model.fit(IDS[:BATCH], targets, epochs=3, shuffle=False, callbacks=callbacks, verbose=0)
        ends.append(values_of(states(model)))
    for value, expected in zip(*ends, strict=True):
        np.testing.assert_array_equal(value, expected)
    assert np.abs(ends[0][0]).max() > 1e-3
