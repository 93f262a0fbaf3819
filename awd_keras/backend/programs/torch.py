"""PyTorch, which runs as Python says."""

import torch


def program(function, model):
    def run(*arguments):
        with torch.no_grad():
            return function(model, *arguments)

    return run


def gradients(loss, model):
    variables = [variable.value for variable in model.trainable_variables]
    with torch.enable_grad():
        value = loss()
        found = torch.autograd.grad(value, variables, allow_unused=True, materialize_grads=True)
    return value.detach(), list(found)
