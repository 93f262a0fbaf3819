"""Loops on PyTorch, operation by operation."""

import functools

import torch

from awd_keras.backend.loops import generic
from awd_keras.backend.torch import transformed

# From how many weights of a kernel, and how many steps, oneDNN's own order pays.
_WEIGHTS, _STEPS = 2**18, 16


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


def products_in_steps(series, *kernels):
    return [_product_in_steps(series, kernel) for kernel in kernels]


def transposed_products_in_steps(series, *kernels):
    return products_in_steps(series, *(kernel.T for kernel in kernels))


def _is_ordered(kernel, steps):
    """Whether a loop of so many steps multiplies by the kernel in oneDNN's order, if it is written by hand.

    There, the product of a few rows takes 0.5 to 0.8 of the time. Putting a kernel in that order takes as long as one
    or two products.
    """
    return (
        kernel.numel() >= _WEIGHTS
        and steps >= _STEPS
        and kernel.device.type == "cpu"
        and torch.backends.mkldnn.is_available()
        and _is_multiplied(kernel.dtype)
        and not torch.compiler.is_compiling()
        and not transformed()
    )


def _is_multiplied(dtype):
    """Whether oneDNN multiplies this dtype here: bfloat16 needs a processor of its own."""
    if dtype == torch.bfloat16:
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return dtype == torch.float32


def _product_in_steps(series, kernel):
    # Products by ordered kernels have no gradients.
    if torch.is_grad_enabled() or not _is_ordered(kernel, len(series)):
        (product,) = generic.products_in_steps(series, kernel)
        return product
    # `torch.compile` does this to kernels that don't change.
    ordered = torch.ops.mkldnn._reorder_linear_weight(kernel.T.contiguous(), series.shape[1])
    return functools.partial(_ordered_product, ordered)


def _ordered_product(kernel, rows):
    return torch.ops.mkldnn._linear_pointwise(rows, kernel, None, "none", [], "")
