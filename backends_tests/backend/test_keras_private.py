"""Checks every private name of Keras that is used, so that another version of Keras fails here and says what is gone.

How they work is tested where they are used. This also checks that no other file uses private names.
"""

import ast
import functools
import importlib
import inspect
import pkgutil
import types
from pathlib import Path

import keras
import numpy as np
import pytest

import awd_keras
from awd_keras.backend import keras_private

PACKAGE = Path(awd_keras.__file__).parent
KERAS = Path(keras.__file__).parent / "src"
ONLY_FILE = Path(keras_private.__file__)
BACKEND = keras.backend.backend()
RNN = "step_function inputs initial_states go_backwards mask unroll input_length zero_output_for_mask"
LSTM = (
    "inputs initial_state_h initial_state_c mask kernel recurrent_kernel bias activation recurrent_activation "
    "return_sequences"
)

# Where each name is imported from, and the parameters that it is called with.
IMPORTED = {
    "get_keras_mask": ("keras.src.backend.common.masking", "x"),
    "set_keras_mask": ("keras.src.backend.common.masking", "x mask"),
    "in_stateless_scope": ("keras.src.backend.common.stateless_scope", ""),
    "reduce_weighted_values": ("keras.src.losses.loss", "values sample_weight mask reduction dtype"),
    "KerasSaveable": ("keras.src.saving.keras_saveable", ""),
    "DataAdapter": ("keras.src.trainers.data_adapters.data_adapter", ""),
    "PyDatasetAdapter": ("keras.src.trainers.data_adapters.py_dataset_adapter", "x"),
}
# The class of each method, and the parameters that it is called or overridden with.
METHODS = {
    "_flatten_layers": (keras.Model, "self"),
    "_obj_type": (keras.Layer, "self"),
    "_clip_gradients": (keras.optimizers.Optimizer, "self grads"),
    "_apply_weight_decay": (keras.optimizers.Optimizer, "self variables"),
    "_backend_update_step": (keras.optimizers.Optimizer, "self grads trainable_variables learning_rate"),
    "_get_variable_index": (keras.optimizers.Optimizer, "self variable"),
    "_use_weight_decay": (keras.optimizers.Optimizer, "self variable"),
    "_maybe_symbolic_build": (keras.Model, "self iterator data_batch"),
}
# Names that Keras has on one framework only.
OF_ONE = {"_maybe_symbolic_build": "tensorflow", "_distribute_strategy": "tensorflow"}


def compiled():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def rematerialized():
    with keras.RematScope(mode="activations"):
        return keras.layers.Dense(1)


def embedding():
    layer = keras.layers.ReversibleEmbedding(3, 2)
    layer.build()
    return layer


def unborn_variable():
    with keras.StatelessScope():
        variable = keras.Variable("zeros", shape=(2,))
        # Its initial value is drawn when the scope ends.
        return types.SimpleNamespace(_initializer=variable._initializer)


# An object with each attribute, and a check of the attribute's value.
ATTRIBUTES = {
    "_compile_config": (compiled, lambda config: config is not None),
    "_distribute_strategy": (compiled, lambda strategy: strategy is None),
    "_remat_mode": (rematerialized, lambda mode: mode.mode == "activations"),
    "_initializer": (unborn_variable, callable),
    "_value": (lambda: keras.Variable([1.0]), lambda value: np.array_equal(keras.ops.convert_to_numpy(value), [1.0])),
    "_initial_seed": (lambda: keras.random.SeedGenerator(7), lambda seed: seed == 7),
    "_embeddings": (embedding, lambda table: tuple(table.shape) == (3, 2)),
    "_direction": (keras.metrics.MeanSquaredError, lambda direction: direction == "down"),
    "_iterations": (lambda: compiled().optimizer, lambda steps: int(steps.numpy()) == 0),
    "_variables": (lambda: compiled().optimizer, lambda variables: len(variables) == 2),
    "_trainable_variables": (lambda: compiled().optimizer, lambda variables: len(variables) == 2),
}


def here(names):
    return [name for name in names if OF_ONE.get(name, BACKEND) == BACKEND]


def takes(function, parameters):
    known = inspect.signature(function).parameters
    return [name for name in parameters.split() if name not in known] == []


@pytest.mark.parametrize("name", here(IMPORTED))
def test_imported_name(name):
    module, parameters = IMPORTED[name]
    assert takes(getattr(importlib.import_module(module), name), parameters)


@pytest.mark.parametrize(("name", "parameters"), [("rnn", RNN), ("lstm", LSTM)])
def test_loop(name, parameters):
    assert takes(getattr(keras_private._loops, name), parameters)


@pytest.mark.parametrize("name", here(METHODS))
def test_method(name):
    owner, parameters = METHODS[name]
    assert takes(getattr(owner, name), parameters)


@pytest.mark.parametrize("name", here(ATTRIBUTES))
def test_attribute(name):
    make, is_right = ATTRIBUTES[name]
    assert is_right(getattr(make(), name))


@pytest.mark.once
def test_a_lacking_parameter_is_noticed():
    assert takes(lambda a, *, b=None: a, "a b")
    assert not takes(lambda a, *, b=None: a, "a c")


def test_all_names_are_asked_for():
    """The tables above have exactly the names that the file uses."""
    tree = ast.parse(ONLY_FILE.read_text(encoding="utf-8"))
    own = {"_backend", "_loops", "_layer", "_step_of_all", "_decay_of", "_model_variables", "_items"}
    own |= {"_surround", "_around", "_indices_of", "_inner_step", "_leave_decay_to_the_step"}
    imported, used = set(), set()
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module)) if module.startswith("keras.src"):
                imported |= {alias.asname or alias.name for alias in node.names}
            case ast.Attribute(attr=name) | ast.FunctionDef(name=name) | ast.Constant(value=str(name)):
                if name.startswith("_") and not name.startswith("__") and name.isidentifier():
                    used.add(name)
    assert imported - {"_backend"} == {*IMPORTED}
    assert used - own == {*METHODS, *ATTRIBUTES}


# No other file uses private names.


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def names_of_class(tree):
    """The private names that a class defines, or sets on its objects."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.Attribute(attr=name, ctx=ast.Store()):
                found.add(name)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
    return set(filter(is_private, found))


@functools.cache
def names_of_keras():
    """The private names that any class of Keras has."""
    found = set()
    for path in KERAS.rglob("*.py"):
        if not path.name.endswith("_test.py"):
            classes = (
                node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)
            )
            found |= set().union(*map(names_of_class, classes))
    return found


@functools.cache
def names_that_keras_reads():
    """The private names that Keras reads from objects that are passed to it, `metric._direction` for example."""
    found = set()
    for path in KERAS.rglob("*.py"):
        if path.name.endswith("_test.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Attribute(value=ast.Name(id="self" | "cls")):
                    pass
                case ast.Attribute(attr=name):
                    found.add(name)
    return set(filter(is_private, found))


def reached_for(source):
    """Imports of `keras.src`, and private names of Keras that are read from other objects than `self`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found += [alias.name for alias in names if f"{alias.name}.".startswith("keras.src.")]
            case ast.ImportFrom(module=str(module), names=names):
                paths = [f"{module}.{alias.name}." for alias in names]
                found += [path for path in paths if path.startswith("keras.src.")]
            case ast.Attribute(value=ast.Name(id="self" | "cls")) | ast.Attribute(attr="_asdict"):
                pass  # of a named tuple, which Python documents
            case ast.Attribute(attr=name) if is_private(name) and name in names_of_keras():
                found.append(name)
            case ast.Call(func=ast.Name(id="getattr" | "hasattr" | "setattr"), args=[_, ast.Constant(value=name), *_]):
                if is_private(name) and name in names_of_keras():
                    found.append(name)
    return found


@functools.cache
def names_of_base(base):
    return names_of_class(ast.parse(inspect.cleandoc("\n" + inspect.getsource(base))))


def overridden(cls):
    """The private names that a class uses or defines and that one of its Keras base classes has too."""
    mine = {
        name
        for node in ast.walk(ast.parse(inspect.cleandoc("\n" + inspect.getsource(cls))))
        for name in (getattr(node, "attr", None), node.name if isinstance(node, ast.FunctionDef) else None)
        if name and is_private(name)
    }
    theirs = set(names_that_keras_reads())
    for base in cls.__mro__:
        if base.__module__.startswith("keras.src."):
            theirs |= names_of_base(base)
    return sorted(mine & theirs)


@functools.cache
def classes():
    """All classes of the package."""
    found = {}
    for module in pkgutil.walk_packages(awd_keras.__path__, "awd_keras."):
        name = module.name.rpartition(".")[2]
        # Each imports its framework, which this session may lack.
        of_other = ".backend." in module.name and name in (
            "torch",
            "torch_products",
            "jax",
            "tensorflow",
        )
        if of_other or name in ("__main__", "keras_private"):
            continue
        for cls in vars(importlib.import_module(module.name)).values():
            if isinstance(cls, type) and cls.__module__ == module.name:
                found[f"{module.name}.{cls.__name__}"] = cls
    return found


@pytest.mark.once
@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_other_file_reaches_for_a_private_name(path):
    found = reached_for(path.read_text(encoding="utf-8"))
    assert (found != []) == (path == ONLY_FILE)


@pytest.mark.once
@pytest.mark.parametrize("name", classes())
def test_no_other_class_overrides_a_private_name(name):
    assert overridden(classes()[name]) == []


@pytest.mark.once
@pytest.mark.parametrize(
    "source",
    [
        "from keras.src.backend import rnn",
        "from keras import src",
        "import keras.src",
        "model._flatten_layers()",
        "getattr(model, '_compile_config', None)",
        "super()._clip_gradients(grads)",
    ],
)
def test_what_is_reached_for_is_noticed(source):
    assert len(reached_for(source)) == 1


class Overriding(keras.metrics.Mean):
    def __init__(self):
        super().__init__()
        self._direction = "down"
        self._own = 1


@pytest.mark.once
def test_what_is_overridden_is_noticed():
    assert overridden(Overriding) == ["_direction"]
