"""What compiling a program takes of memory is given back."""

import keras
import numpy as np
import pytest
from keras import ops

from awd_keras.backend.devices import program

if keras.backend.backend() == "jax":
    from awd_keras.backend import jax as module

    @pytest.mark.parametrize(("seconds", "given_back"), [(0.0, True), (1e9, False)])
    def test_memory_is_given_back_after_a_long_compilation(monkeypatch, seconds, given_back):
        calls = []
        monkeypatch.setattr(module, "_LONG", seconds)
        monkeypatch.setattr(module, "_trim", lambda: calls.append("trimmed"))
        model = keras.Sequential([keras.layers.Dense(2)])
        model.build((None, 3))
        run = program(lambda model, x: ops.sum(model(x)) + seconds, model)
        run(ops.convert_to_tensor(np.ones((2, 3), "float32")))
        assert bool(calls) == given_back
        calls.clear()
        run(ops.convert_to_tensor(np.ones((2, 3), "float32")))
        assert not calls  # nothing was compiled

    def test_giving_back_works_on_this_system():
        module._trim()
