"""What holds for every public class: copies, configs, files, clones, dtypes, and errors that name what is wrong.

A class that is added to a public namespace needs an entry here, or the first test fails.
"""

import copy
import inspect
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

import awd_keras
from awd_keras import (
    analysis,
    callbacks,
    data,
    evaluation,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    regularizers,
    runs,
)
from awd_keras.verification import Check
from backends_tests.helpers import once

WORDS, SIZE, BATCH, TIME = 9, 4, 2, 3
IDS = np.array([[1, 2, 3], [4, 5, 8]])
TARGETS = np.array([[2, 3, 4], [5, 8, 0]])
X = np.random.default_rng(0).normal(size=(BATCH, TIME, SIZE)).astype("float32")
LOGITS = np.random.default_rng(1).normal(size=(BATCH, TIME, WORDS)).astype("float32")


def dataset():
    return data.BPTTDataset(np.arange(100) % WORDS, 2, bptt=10, seed=3)


def vocabulary():
    return data.Vocabulary(["a", "b"])


def gates():
    return analysis.Gates(*np.ones((6, BATCH, TIME, SIZE)))


def memory():
    return analysis.Memory(np.ones((BATCH, TIME, TIME)), np.ones((BATCH, TIME)))


# The classes that have a config and are saved in a model.
KERAS_CLASSES = {
    layers.AdaptiveSoftmax: lambda **k: layers.AdaptiveSoftmax(WORDS, SIZE, cutoffs=[3, 6], div_value=2, **k),
    layers.ConcatPooling: lambda **k: layers.ConcatPooling(**k),
    layers.EmbeddingDropout: lambda **k: layers.EmbeddingDropout(
        WORDS, SIZE, rate=0.2, embeddings_regularizer="l2", embeddings_constraint="max_norm", seed=1, **k
    ),
    layers.LockedDropout: lambda **k: layers.LockedDropout(0.2, seed=1, **k),
    # Not with Keras's orthogonal kernel, as PyTorch can't compute one in half precision on a CPU.
    layers.WeightDropLSTM: lambda **k: layers.WeightDropLSTM(
        SIZE,
        weight_drop=0.2,
        kernel_weight_drop=0.1,
        return_sequences=True,
        recurrent_initializer="glorot_uniform",
        seed=1,
        **k,
    ),
    layers.AblatedLSTM: lambda **k: layers.AblatedLSTM(
        SIZE, "-srnn-hidden", kernel_weight_drop=0.1, return_sequences=True, seed=1, **k
    ),
    layers.WeightDropGRU: lambda **k: layers.WeightDropGRU(
        SIZE, kernel_weight_drop=0.1, return_sequences=True, recurrent_initializer="glorot_uniform", seed=1, **k
    ),
    layers.QRNN: lambda **k: layers.QRNN(
        SIZE, 2, zoneout=0.1, kernel_weight_drop=0.1, return_sequences=True, seed=1, **k
    ),
    layers.MogrifierLSTM: lambda **k: layers.MogrifierLSTM(
        SIZE, 3, 2, return_sequences=True, recurrent_initializer="glorot_uniform", seed=1, **k
    ),
    models.AWDLSTM: lambda **k: models.AWDLSTM(
        WORDS, embedding_dim=SIZE, hidden_units=5, num_layers=2, weight_drop=0.2, alpha=0.5, beta=0.25, seed=1, **k
    ),
    models.TextClassifier: lambda **k: models.TextClassifier(
        KERAS_CLASSES[models.AWDLSTM](), num_classes=WORDS, dropout=0.1, hidden_units=[5], max_gradient_tokens=2, **k
    ),
    regularizers.ActivationRegularizer: lambda: regularizers.ActivationRegularizer(0.5),
    regularizers.TemporalActivationRegularizer: lambda: regularizers.TemporalActivationRegularizer(0.5),
    losses.TokenCrossEntropy: lambda: losses.TokenCrossEntropy(name="mine", reduction="sum"),
    metrics.MeanCrossEntropy: lambda: metrics.MeanCrossEntropy(name="mine"),
    metrics.Perplexity: lambda: metrics.Perplexity(name="mine"),
    metrics.BitsPerCharacter: lambda: metrics.BitsPerCharacter(name="mine"),
    optimizers.NTASGD: lambda: optimizers.NTASGD(
        0.5, non_monotone_interval=3, weight_decay=0.1, global_clipnorm=None, clipvalue=0.2, name="mine"
    ),
    optimizers.L2WeightDecay: lambda: optimizers.L2WeightDecay(keras.optimizers.Adam(0.5), 0.1, name="mine"),
    optimizers.LayerwiseLearningRate: lambda: optimizers.LayerwiseLearningRate(
        optimizers.NTASGD(0.5, name="inner"), {"embedding": 0.5}, name="mine"
    ),
    optimizers.schedules.SlantedTriangular: lambda: optimizers.schedules.SlantedTriangular(0.5, 20, 0.25, 8.0, "mine"),
}
# The layers that take floats; the others take ids.
OF_FLOATS = (
    layers.ConcatPooling,
    layers.LockedDropout,
    layers.WeightDropLSTM,
    layers.AblatedLSTM,
    layers.WeightDropGRU,
    layers.QRNN,
    layers.MogrifierLSTM,
)
LAYERS = [cls for cls in KERAS_CLASSES if issubclass(cls, keras.layers.Layer)]
# The layers whose outputs have no time axis.
OF_TEXTS = (layers.ConcatPooling, models.TextClassifier)
# The classes whose objects a model has even if it isn't compiled.
IN_MODELS = [*LAYERS, *(cls for cls in KERAS_CLASSES if issubclass(cls, keras.regularizers.Regularizer))]
# The classes that belong to a process or to files, and have no config.
OTHER_CLASSES = {
    analysis.Gates: gates,
    analysis.LayerAnalysis: lambda: analysis.LayerAnalysis("lstm", gates(), memory()),
    analysis.Memory: memory,
    analysis.TextAnalysis: lambda: analysis.TextAnalysis(("a", "b"), ("b",), ()),
    callbacks.GradualUnfreezing: lambda: callbacks.GradualUnfreezing(["head", ["a", "b"]], 2),
    callbacks.CatchNonFinite: lambda: callbacks.CatchNonFinite(dataset(), skip=True),
    callbacks.NonMonotonicTrigger: lambda: callbacks.NonMonotonicTrigger("val_loss", 3, (IDS, TARGETS)),
    callbacks.ResetStates: lambda: callbacks.ResetStates(dataset()),
    callbacks.ScaleLearningRate: lambda: callbacks.ScaleLearningRate(dataset()),
    callbacks.SwapAveragedWeights: callbacks.SwapAveragedWeights,
    callbacks.SynchronizeReplicas: lambda: callbacks.SynchronizeReplicas(dataset()),
    data.BPTTDataset: dataset,
    data.Corpus: lambda: data.Corpus(np.arange(2), np.arange(2), np.arange(1), vocabulary()),
    data.TextDataset: lambda: data.TextDataset(["a b", "b"], [0, 1], vocabulary(), 2),
    data.Vocabulary: vocabulary,
    evaluation.Score: lambda: evaluation.Score(1.0, 2.7, 1.4, 100, 0.5),
    evaluation.TextScore: lambda: evaluation.TextScore(-12.5, 3.5, 10, 1),
    evaluation.SurprisalTable: lambda: evaluation.SurprisalTable(["a", "b"], [0.5, 3.0], even_guess=1.0),
    evaluation.Trial: lambda: evaluation.Trial({"theta": 1.0}, evaluation.Score(1.0, 2.7, 1.4, 100, 0.5)),
    evaluation.WordCost: lambda: evaluation.WordCost("a", 2, 3.0, 1.5),
    evaluation.WordSurprisal: lambda: evaluation.WordSurprisal("a", 1.5),
    models.Preset: lambda: models.Preset({"num_layers": 2}, {"learning_rate": 1.0}, batch_size=20, epochs=3),
    runs.Checkpoints: lambda: runs.Checkpoints("somewhere"),
    runs.Interrupted: lambda: runs.Interrupted(2),
    runs.Run: lambda: runs.Run("somewhere"),
    runs.RunRecorder: lambda: runs.RunRecorder(runs.Run("somewhere"), dataset()),
    runs.StopOnSignal: runs.StopOnSignal,
    Check: lambda: Check("masks", True, "0.5", "of 0.5"),
}
CONTRACTS = {**KERAS_CLASSES, **OTHER_CLASSES}


def public_classes():
    """All classes in the public namespaces."""
    namespaces = [*(getattr(awd_keras, name) for name in awd_keras.__all__), optimizers.schedules]
    public = [getattr(namespace, name) for namespace in namespaces for name in namespace.__all__]
    return {value for value in public if isinstance(value, type)}


def new_model(tested, **arguments):
    """A compiled model from ids to logits that contains `tested`, an object of any of the Keras classes."""
    by_default = {"optimizer": "sgd", "loss": losses.TokenCrossEntropy(), "metrics": []}
    for name, base in (("optimizer", keras.optimizers.Optimizer), ("loss", keras.losses.Loss)):
        if isinstance(tested, base):
            by_default[name] = tested
    if isinstance(tested, keras.optimizers.schedules.LearningRateSchedule):
        by_default["optimizer"] = keras.optimizers.SGD(tested)
    if isinstance(tested, keras.metrics.Metric):
        by_default["metrics"] = [tested]
    ids = keras.Input((TIME,), batch_size=BATCH, dtype="int32")
    if isinstance(tested, models.AWDLSTM):
        model = tested
        model.build((BATCH, TIME))
    elif isinstance(tested, (layers.AdaptiveSoftmax, layers.EmbeddingDropout)):
        model = keras.Model(ids, tested(tested(ids), reverse=True))
    elif isinstance(tested, models.TextClassifier):
        model = keras.Model(ids, keras.layers.RepeatVector(TIME)(tested(ids)))
    else:
        x = keras.layers.Embedding(WORDS, SIZE)(ids)
        if isinstance(tested, keras.regularizers.Regularizer):
            x = keras.layers.Activation("linear", activity_regularizer=tested)(x)
        elif isinstance(tested, keras.layers.Layer):
            x = tested(x)
        if isinstance(tested, layers.ConcatPooling):
            x = keras.layers.RepeatVector(TIME)(x)
        model = keras.Model(ids, keras.layers.Dense(WORDS)(x))
    model.compile(**by_default, **arguments)
    model.optimizer.build(model.trainable_variables)
    return model


def observe(model):
    """The parts and the results of a model, as values that JSON can hold."""
    for layer in model._flatten_layers():
        if hasattr(layer, "reset_state"):
            layer.reset_state()
    ids, targets = np.array([[1, 2, 3], [4, 5, 8]]), np.array([[2, 3, 4], [5, 8, 0]])
    return {
        "class": type(model).__name__,
        "config": keras.saving.serialize_keras_object(model.get_config()),
        "compiled": model.get_compile_config(),
        "outputs": ops.convert_to_numpy(model(ids)).tolist(),
        "logs": {name: float(value) for name, value in model.test_on_batch(ids, targets, return_dict=True).items()},
        "variables": [ops.convert_to_numpy(variable).tolist() for variable in model.optimizer.variables],
    }


def assert_same(actual, expected):
    actual, expected = (json.loads(json.dumps(value)) for value in (actual, expected))
    for name in ("class", "config", "compiled"):
        assert actual[name] == expected[name]
    np.testing.assert_allclose(actual["outputs"], expected["outputs"], atol=1e-6)
    assert actual["logs"] == pytest.approx(expected["logs"], rel=1e-5)
    for value, other in zip(actual["variables"], expected["variables"], strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-6)


def reset(model):
    for layer in model._flatten_layers():
        if hasattr(layer, "reset_state"):
            layer.reset_state()


def state(value):
    """The values by which an object without a config can be compared with another one by `==`."""
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.tolist()
    if isinstance(value, dict):
        return {key: state(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value), [state(entry) for entry in value]
    if type(value).__module__.startswith("awd_keras"):
        return type(value), state(vars(value)), str(value) if isinstance(value, BaseException) else None
    return value


def names(classes):
    return pytest.mark.parametrize("cls", classes, ids=lambda cls: cls.__name__)


def test_every_public_class_has_a_contract():
    assert public_classes() == set(CONTRACTS)
    assert set(KERAS_CLASSES) == {cls for cls in CONTRACTS if hasattr(cls, "from_config")}


@pytest.mark.once
def test_a_class_without_a_contract_is_noticed(monkeypatch):
    monkeypatch.setattr(layers, "New", type("New", (), {}), raising=False)
    monkeypatch.setattr(layers, "__all__", [*layers.__all__, "New"])
    with pytest.raises(AssertionError):
        test_every_public_class_has_a_contract()


# Copies


@pytest.mark.once
@names(CONTRACTS)
def test_makes_what_it_says(cls):
    assert type(CONTRACTS[cls]()) is cls


@pytest.mark.once
@names(OTHER_CLASSES)
def test_deepcopy(cls):
    one = OTHER_CLASSES[cls]()
    assert state(copy.deepcopy(one)) == state(one)
    assert type(copy.deepcopy(one)) is cls


@names([cls if cls in (models.AWDLSTM, optimizers.NTASGD) else once(cls)[0] for cls in KERAS_CLASSES])
def test_deepcopy_in_a_model(cls):
    """Before and after it is built. Its variables are copied too."""
    one = KERAS_CLASSES[cls]()
    assert copy.deepcopy(one).get_config() == one.get_config()
    model = new_model(one)
    expected = observe(model)
    other = copy.deepcopy(model)
    assert_same(observe(other), expected)
    for variable in other.trainable_variables:
        variable.assign(variable + 1)
    assert_same(observe(model), expected)


@pytest.mark.once
@names(KERAS_CLASSES)
def test_config(cls):
    one = KERAS_CLASSES[cls]()
    config = one.get_config()
    assert cls.from_config(copy.deepcopy(config)).get_config() == config
    # As text, as it is saved.
    text = json.dumps(keras.saving.serialize_keras_object(one))
    again = keras.saving.deserialize_keras_object(json.loads(text))
    assert type(again) is cls
    assert json.dumps(keras.saving.serialize_keras_object(again)) == text
    # It has every argument, except those that Keras leaves out at their default, and a table, which is in variables.
    arguments = set(inspect.signature(cls).parameters) - {"kwargs", "embeddings"}
    assert arguments - set(config) <= {"dtype"}
    assert f"awd_keras>{cls.__name__}" == keras.saving.get_registered_name(cls)


@pytest.mark.once
@names(IN_MODELS)
def test_clone_model(cls):
    model = new_model(KERAS_CLASSES[cls]())
    clone = keras.models.clone_model(model)
    for copied, layer in zip(clone.layers, model.layers, strict=True):
        # Keras numbers the tensors of an InputLayer.
        assert isinstance(layer, keras.layers.InputLayer) or copied.get_config() == layer.get_config()
    clone.set_weights(model.get_weights())
    np.testing.assert_allclose(*(ops.convert_to_numpy(each(IDS)) for each in (clone, model)), atol=1e-6)


LOAD = f"""
import json, sys
import numpy as np
import keras
from keras import ops
import awd_keras

{inspect.getsource(observe)}
print("FOUND", json.dumps([observe(keras.saving.load_model(path)) for path in sys.argv[1:]]))
"""


@pytest.mark.once
def test_keras_file_in_a_fresh_process(tmp_path):
    """One process for all classes, as a framework takes seconds to start; in safe mode, Keras's default."""
    expected, paths = [], []
    for cls, make in KERAS_CLASSES.items():
        model = new_model(make())
        if issubclass(cls, keras.optimizers.Optimizer):
            model.train_on_batch(IDS, TARGETS)
        paths.append(str(tmp_path / f"{cls.__name__}.keras"))
        model.save(paths[-1])
        expected.append(observe(model))
    run = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", LOAD, *paths],
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.rpartition("FOUND")[2])
    for cls, actual, wanted in zip(KERAS_CLASSES, found, expected, strict=True):
        assert_same(actual, wanted)
        assert actual["class"] == "AWDLSTM" or f"awd_keras>{cls.__name__}" in json.dumps(actual)


# Dtypes

TOLERANCES = {"float32": 1e-5, "float64": 1e-5, "float16": 5e-3, "bfloat16": 5e-2}
# float32 is tested everywhere else, and the results are compared with it.
POLICIES = [*once("float16", "bfloat16", "mixed_float16"), "mixed_bfloat16"]


def check_policy(cls, policy):
    """Outputs and variables have the policy's dtypes, and their values are near those of float32."""
    inputs = X if cls in OF_FLOATS else IDS
    layer, plain = KERAS_CLASSES[cls](dtype=policy), KERAS_CLASSES[cls]()
    expected = plain(inputs)
    layer.build(inputs.shape)
    layer.set_weights(plain.get_weights())
    reset(layer)
    outputs = layer(inputs)
    assert keras.backend.standardize_dtype(outputs.dtype) == layer.compute_dtype == policy.removeprefix("mixed_")
    np.testing.assert_allclose(
        *(ops.convert_to_numpy(ops.cast(each, "float32")) for each in (outputs, expected)),
        atol=TOLERANCES[layer.compute_dtype],
    )
    assert {keras.backend.standardize_dtype(v.dtype) for v in layer.trainable_variables} <= {layer.variable_dtype}
    assert cls.from_config(layer.get_config()).dtype_policy.name == policy
    dropped = ops.convert_to_numpy(ops.cast(layer(inputs, training=True), "float32"))
    assert np.isfinite(dropped).all()


def check_logits(dtype):
    """The loss, the metrics and the penalties take floats of any dtype."""
    for cls in (losses.TokenCrossEntropy, *(getattr(metrics, name) for name in metrics.__all__)):
        values = [float(cls()(TARGETS, ops.cast(LOGITS, kind))) for kind in ("float32", dtype)]
        assert values[1] == pytest.approx(values[0], rel=TOLERANCES[dtype])
    for cls in (regularizers.ActivationRegularizer, regularizers.TemporalActivationRegularizer):
        values = [float(cls()(ops.cast(X, kind))) for kind in ("float32", dtype)]
        assert values[1] == pytest.approx(values[0], rel=TOLERANCES[dtype])


def check_training(policy):
    model = KERAS_CLASSES[models.AWDLSTM](dtype=policy)
    model.compile(optimizers.NTASGD(0.1))
    logs = model.train_on_batch(IDS, TARGETS, return_dict=True)
    assert all(np.isfinite(float(value)) for value in logs.values())
    assert float(logs["perplexity"]) == pytest.approx(WORDS, rel=0.3)
    for variable in model.trainable_variables:
        assert np.isfinite(ops.convert_to_numpy(ops.cast(variable, "float32"))).all()


# For float64, see backend/test_float64.py, as JAX must be started with it.
@pytest.mark.parametrize("policy", POLICIES)
def test_dtype_policies(policy):
    for cls in LAYERS:
        check_policy(cls, policy)
    check_logits(policy.removeprefix("mixed_"))
    if policy in ("float16", "bfloat16"):  # for mixed precision, see models/test_awd_lstm.py
        check_training(policy)


# Sizes


@names([cls for cls in LAYERS if cls not in OF_TEXTS])
def test_empty_and_single(cls):
    layer = KERAS_CLASSES[cls]()
    inputs = X if cls in OF_FLOATS else IDS
    whole = ops.convert_to_numpy(layer(inputs))
    for training in (False, True):
        assert tuple(layer(inputs[:0], training=training).shape) == (0, *whole.shape[1:])
    reset(layer)
    np.testing.assert_allclose(ops.convert_to_numpy(layer(inputs[:1, :1])), whole[:1, :1], atol=1e-6)
    assert np.isfinite(ops.convert_to_numpy(layer(inputs[:1, :1], training=True))).all()


def test_training_on_an_empty_and_a_single_batch():
    model = new_model(KERAS_CLASSES[models.AWDLSTM]())
    for batch in ((IDS[:0], TARGETS[:0]), (IDS[:1, :1], TARGETS[:1, :1])):
        assert np.isfinite(float(model.train_on_batch(*batch)))
        assert all(np.isfinite(weights).all() for weights in model.get_weights())


def test_losses_and_metrics_of_empty_and_single():
    assert float(losses.TokenCrossEntropy()(TARGETS[:0], LOGITS[:0])) == 0
    for name in metrics.__all__:
        metric, single = getattr(metrics, name)(), getattr(metrics, name)()
        metric.update_state(TARGETS[:1, :1], LOGITS[:1, :1])
        expected = float(metric.result())
        metric.update_state(TARGETS[:0], LOGITS[:0])
        single.update_state(TARGETS[0, :1], LOGITS[0, :1])
        assert float(metric.result()) == expected == float(single.result())
    for cls in (regularizers.ActivationRegularizer, regularizers.TemporalActivationRegularizer):
        for x in (X[:0], X[:, :0]):
            assert float(cls()(x)) == 0
    assert float(regularizers.ActivationRegularizer(2.0)(X[:1, :1])) == pytest.approx(2 * np.mean(X[:1, :1] ** 2))


# Bad input: a ValueError that names the argument, what was expected and what came.

NDIM = "Input 0 .* of layer '{}.*' is incompatible with the layer: expected ndim={}, found ndim={}"
LSTM, AR = layers.WeightDropLSTM, regularizers.ActivationRegularizer
ONE = np.float32(1)


def called(cls, *arguments, **keywords):
    def call(values=(arguments, keywords)):
        one = CONTRACTS[cls]()
        if cls is layers.WeightDropLSTM:
            one.build(X.shape)
        return one(*values[0], **values[1])

    call.cls = cls
    call.symbolic = keras.tree.map_structure(
        lambda value: (
            keras.KerasTensor(value.shape, str(value.dtype)) if isinstance(value, np.ndarray) and value.ndim else value
        ),
        (arguments, keywords),
    )
    return call


def lstm(**arguments):
    return called(LSTM, X, **arguments)


def zeros(*shape):
    return np.zeros(shape, "float32")


WRONG = {
    "adaptive floats": (called(layers.AdaptiveSoftmax, X), "`inputs` must hold integers. Received: dtype=float32"),
    "adaptive size": (
        called(layers.AdaptiveSoftmax, zeros(2, 3, 5), reverse=True),
        r"`inputs` must have the shape \(2, 3, 4\). Received: shape=\(2, 3, 5\)",
    ),
    "adaptive targets": (
        lambda: CONTRACTS[layers.AdaptiveSoftmax]().loss(X, TARGETS.T),
        r"`targets` must have the shape \(2, 3\). Received: shape=\(3, 2\)",
    ),
    "embedding bool": (called(layers.EmbeddingDropout, IDS > 1), "`inputs` .* integer ids.* Received: dtype=bool"),
    "reverse integers": (
        called(layers.EmbeddingDropout, IDS[..., None].repeat(SIZE, -1), reverse=True),
        "`inputs` must hold floats. Received: dtype=int",
    ),
    "reverse size": (
        called(layers.EmbeddingDropout, zeros(2, 3, 5), reverse=True),
        r"`inputs` must have the shape \(2, 3, 4\). Received: shape=\(2, 3, 5\)",
    ),
    "locked rank": (called(layers.LockedDropout, X[0]), NDIM.format("locked_dropout", 3, 2)),
    "locked integers": (called(layers.LockedDropout, X.astype("int32")), "`inputs` must hold floats.*: dtype=int32"),
    "lstm rank 2": (called(LSTM, X[0]), NDIM.format("weight_drop_lstm", 3, 2)),
    "lstm rank 4": (called(LSTM, X[None]), NDIM.format("weight_drop_lstm", 3, 4)),
    "lstm integers": (called(LSTM, X.astype("int32")), "`sequences` must hold floats. Received: dtype=int32"),
    "lstm complex": (called(LSTM, X * 1j), "`sequences` must hold floats. Received: dtype=complex64"),
    "lstm features": (called(LSTM, X[..., :2]), r"expected axis -1 .* value 4, but received .* shape \(2, 3, 2\)"),
    "lstm no time": (called(LSTM, X[:, :0]), r"`sequences` .* one time step. Received: shape=\(2, 0, 4\)"),
    "mask length": (lstm(mask=np.ones((2, 5), bool)), r"`mask` .* \(2, 3\). Received: shape=\(2, 5\)"),
    "mask rank": (lstm(mask=np.ones((2,), bool)), r"`mask` .* \(2, 3\). Received: shape=\(2,\)"),
    "one state": (lstm(initial_state=[zeros(2, 4)]), r"`initial_state` must be a list \[h, c\]. Received"),
    "state array": (lstm(initial_state=zeros(2, 4)), r"`initial_state` must be a list \[h, c\]. Received"),
    "state rank": (lstm(initial_state=[zeros(4)] * 2), r"`initial_state` .* \(2, 4\). Received: shape=\(4,\)"),
    "state units": (lstm(initial_state=[zeros(2, 3)] * 2), r"`initial_state` .* \(2, 4\). Received: shape=\(2, 3\)"),
    "state batch": (lstm(initial_state=[zeros(3, 4)] * 2), r"`initial_state` .* \(2, 4\). Received: shape=\(3, 4\)"),
    "model rank 1": (called(models.AWDLSTM, IDS[0]), NDIM.format("awdlstm", 2, 1)),
    "model rank 3": (called(models.AWDLSTM, IDS[None]), NDIM.format("awdlstm", 2, 3)),
    "model scalar": (called(models.AWDLSTM, np.array(1)), NDIM.format("awdlstm", 2, 0)),
    "model floats": (called(models.AWDLSTM, X[0]), "`inputs` must hold integers. Received: dtype=float32"),
    "model no time": (called(models.AWDLSTM, IDS[:, :0]), r"`sequences` .* one time step. Received: shape=\(2, 0, "),
    "predict floats": (lambda: new_model(KERAS_CLASSES[models.AWDLSTM]()).predict(X[0]), "`x` .* integers.*=float32"),
    "fit floats": (
        lambda: new_model(KERAS_CLASSES[models.AWDLSTM]()).fit(IDS, TARGETS + 0.5),
        "`y` must hold integers. Received: dtype=float64",
    ),
    "fit strings": (
        lambda: new_model(KERAS_CLASSES[models.AWDLSTM]()).fit(IDS.astype(str), TARGETS),
        "`x` must hold integers. Received: dtype=<U",
    ),
    "ar scalar": (called(AR, ONE), r"`x` must have the shape \(batch, ...\). Received: shape=\(\)"),
}
for _cls in (losses.TokenCrossEntropy, metrics.MeanCrossEntropy, metrics.Perplexity, metrics.BitsPerCharacter):
    WRONG |= {
        f"{_cls.__name__} {name}": (called(_cls, y, logits), message)
        for name, y, logits, message in (
            ("rank", TARGETS[0], LOGITS, r"`y_true` must have the shape \(2, 3\). Received: shape=\(3,\)"),
            ("turned", TARGETS.T, LOGITS, r"`y_true` must have the shape \(2, 3\). Received: shape=\(3, 2\)"),
            ("one-hot", np.eye(WORDS, dtype="int32")[TARGETS], LOGITS, r"`y_true` .* Received: shape=\(2, 3, 9\)"),
            ("floats", TARGETS.astype("float32"), LOGITS, "`y_true` must hold integers. Received: dtype=float32"),
            ("no logits", TARGETS, LOGITS[0, 0], r"`y_pred` must be logits .* Received: shape=\(9,\)"),
        )
    }


@pytest.mark.once
@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_inputs(wrong):
    call, message = WRONG[wrong]
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.once
@pytest.mark.parametrize("wrong", [name for name, (call, _) in WRONG.items() if getattr(call, "cls", None) in LAYERS])
def test_wrong_inputs_of_which_only_the_shape_is_known(wrong):
    """In a functional model, they are refused when the model is made, not when it runs."""
    call, message = WRONG[wrong]
    with pytest.raises(ValueError, match=message):
        call(call.symbolic)


def test_ids_as_floats_where_keras_makes_them():
    """A Sequential model without an Input casts ids to the layer's dtype; half precision would round them."""
    model = keras.Sequential([KERAS_CLASSES[layers.EmbeddingDropout]()])
    table = ops.convert_to_numpy(model(IDS))
    np.testing.assert_array_equal(table, ops.convert_to_numpy(model.layers[0].embeddings)[IDS])
    half = keras.Sequential([layers.EmbeddingDropout(WORDS, SIZE, dtype="mixed_bfloat16")])
    with pytest.raises(ValueError, match="`inputs` must hold integer ids: .* Received: dtype=bfloat16"):
        half(IDS)
