"""Weight decay in the gradient, compared with PyTorch's own optimizers, which the original program uses."""

import keras
import numpy as np
import pytest
from keras import ops

from awd_keras.models import PRESETS
from awd_keras.runs.optimizer import choose_optimizer
from backends_tests.helpers import to_numpy
from backends_tests.optimizers.test_l2_weight_decay import gradients, new_variables

if keras.backend.backend() == "torch":
    import torch

    OWN = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}

    @pytest.mark.parametrize("scale", [1.0, 1e-6])
    @pytest.mark.parametrize("name", OWN)
    def test_20_steps_of_a_run_equal_pytorchs(name, scale, rng):
        """As in the original's `main.py`, also with small gradients: the norm is clipped, then the decay is added."""
        variables = new_variables(rng)
        own = [torch.nn.Parameter(torch.tensor(to_numpy(v))) for v in variables]
        rate = 2e-3 if name == "adam" else 0.5
        other = OWN[name](own, lr=rate, weight_decay=0.1)
        settings = {"name": name, "learning_rate": rate, "weight_decay": 0.1}
        optimizer = choose_optimizer(PRESETS["ptb"].optimizer, settings)
        optimizer.build(variables)
        for each in gradients(rng):
            each = [scale * g for g in each]
            optimizer.apply([ops.convert_to_tensor(g) for g in each])
            for w, g in zip(own, each, strict=True):
                w.grad = torch.tensor(g)
            torch.nn.utils.clip_grad_norm_(own, 0.25)
            other.step()
        for variable, w in zip(variables, own, strict=True):
            np.testing.assert_allclose(to_numpy(variable), to_numpy(w), rtol=0, atol=1e-5)
