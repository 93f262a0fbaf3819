"""Learning rates by layer against PyTorch's own groups of parameters."""

import keras
import numpy as np
import pytest
from keras import ops

from awd_keras.optimizers import LayerwiseLearningRate
from backends_tests.helpers import to_numpy
from backends_tests.optimizers.test_layerwise_learning_rate import INNER, MULTIPLIERS, RATE, gradients, new_variables

if keras.backend.backend() == "torch":
    import torch

    OWN = {
        "momentum": lambda groups: torch.optim.SGD(groups, momentum=0.9),
        "adamw": lambda groups: torch.optim.AdamW(groups, weight_decay=0.1),
    }

    @pytest.mark.parametrize("name", OWN)
    def test_equals_pytorchs_own(name, rng):
        """20 steps, with a change of a learning rate in between."""
        variables = new_variables(rng)
        own = [torch.nn.Parameter(torch.tensor(to_numpy(v))) for v in variables]
        rates = [RATE * MULTIPLIERS.get(v.name, 1.0) for v in variables]
        other = OWN[name]([{"params": [w], "lr": rate} for w, rate in zip(own, rates, strict=True)])
        optimizer = LayerwiseLearningRate(INNER[name](), MULTIPLIERS)
        optimizer.build(variables)
        for step, each in enumerate(gradients(rng)):
            if step == 10:
                optimizer.multipliers["body"].assign(0.5)
                other.param_groups[0]["lr"] = RATE * 0.5
            optimizer.apply([ops.convert_to_tensor(g) for g in each])
            for w, g in zip(own, each, strict=True):
                w.grad = torch.tensor(g)
            other.step()
        for variable, w in zip(variables, own, strict=True):
            np.testing.assert_allclose(to_numpy(variable), to_numpy(w), rtol=0, atol=1e-5)
