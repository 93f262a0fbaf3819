"""Loops on PyTorch, operation by operation."""

import torch

from awd_keras.backend.torch import transformed


def by_hand(forward, backward):
    """While a transform of functions runs, PyTorch itself differentiates the forward pass."""

    def run(*tensors):
        return forward(*tensors)[0] if transformed() else _ByHand.apply(forward, backward, *tensors)

    return run


class _ByHand(torch.autograd.Function):
    @staticmethod
    def forward(ctx, forward, backward, *tensors):
        results, saved = forward(*tensors)
        ctx.functions = forward, backward
        ctx.count = len(tensors)
        ctx.save_for_backward(*tensors, *saved)
        return results

    @staticmethod
    def backward(ctx, *upstream):
        forward, backward = ctx.functions
        tensors, saved = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
        if not torch.is_grad_enabled():
            return None, None, *backward(tensors, saved, upstream)
        # For gradients of gradients, the forward pass is computed again, as the saved tensors have no gradients.
        wanted = [tensor for tensor in tensors if tensor.requires_grad]
        found = iter(torch.autograd.grad(forward(*tensors)[0], wanted, upstream, create_graph=True, allow_unused=True))
        return None, None, *(next(found) if tensor.requires_grad else None for tensor in tensors)
