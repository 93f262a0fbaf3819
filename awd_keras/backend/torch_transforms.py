"""PyTorch's transforms of functions: `torch.func`, `torch.vmap`, and differentiation in forward mode."""

import torch
from torch.autograd import forward_ad

# PyTorch has no public question for what runs, nor a way around it.
_interpreters = torch._C._functorch.get_interpreter_stack
_GRAD = torch._C._functorch.TransformType.Grad


def transformed():
    """Whether a transform runs, under which a function with a gradient of its own may have none."""
    return bool(_interpreters()) or forward_ad._current_level >= 0


def without_kernels():
    """Whether a transform runs that PyTorch's LSTM kernels have no rule for: all but gradients."""
    return forward_ad._current_level >= 0 or any(each.key() != _GRAD for each in _interpreters() or ())
