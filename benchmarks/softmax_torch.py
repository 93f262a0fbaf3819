"""Like `softmax.py`, in plain PyTorch."""

import torch
from softmax import cutoffs, hidden_states, targets
from torch import nn
from torch.nn import functional


def plain(shape):
    """Like `softmax.plain`."""
    layer = nn.Linear(shape.embedding_dim, shape.vocabulary_size)
    return _differentiated(layer, lambda h, y: functional.cross_entropy(layer(h), y), shape)


def adaptive(shape):
    """Like `softmax.adaptive`, by `torch.nn.AdaptiveLogSoftmaxWithLoss`."""
    layer = nn.AdaptiveLogSoftmaxWithLoss(
        shape.embedding_dim, shape.vocabulary_size, cutoffs(shape), div_value=4.0, head_bias=True
    )
    return _differentiated(layer, lambda h, y: layer(h, y).loss, shape)


def _differentiated(layer, loss, shape):
    h, y = torch.tensor(hidden_states(shape), requires_grad=True), torch.tensor(targets(shape)).long()

    def step():
        value = loss(h, y)
        torch.autograd.grad(value, [h, *layer.parameters()])
        return value.item()

    return step
