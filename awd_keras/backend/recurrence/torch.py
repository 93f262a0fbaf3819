"""Loops over time on PyTorch: its own LSTM, whose gates are in Keras's order, and its own GRU; cuDNN on a GPU."""

import torch
from torch.autograd import forward_ad

from awd_keras.backend.loops.torch import _is_ordered
from awd_keras.backend.recurrence import generic
from awd_keras.backend.torch import transformed
from awd_keras.backend.torch_products import affine, are_few, product

# From how many weights of a recurrent kernel a loop is faster than `torch.lstm` in bfloat16: those of 600 units.
_MANY_WEIGHTS = 4 * 600**2


def fast_lstm(sequences, state, kernel, recurrent_kernel, bias):
    """Uses `torch.lstm`, or for one time step `torch.lstm_cell`; of few rows, the products that are faster for them."""
    if _without_kernels() or _is_faster_in_half_precision(sequences, recurrent_kernel):
        return None
    if sequences.shape[1] == 1 and are_few(sequences[:, 0], recurrent_kernel):
        rows, (h, c) = sequences[:, 0], state
        projection = product(rows, kernel) if bias is None else affine(rows, kernel, bias)
        h, state = generic.lstm_step(projection + product(h, recurrent_kernel), c, torch.tanh, torch.sigmoid)
        return h.unsqueeze(1), state, "torch.lstm"
    # PyTorch has two bias vectors; Keras's one is their sum.
    biases = [] if bias is None else [bias, torch.zeros_like(bias)]
    if sequences.shape[1] == 1:
        # `torch.lstm` first rearranges all weights, which for one time step costs more than the step.
        h, c = torch.lstm_cell(sequences[:, 0], state, kernel.T, recurrent_kernel.T, *biases)
        return h.unsqueeze(1), [h, c], "torch.lstm"
    # After `keep_by_columns`, nothing is copied here. Other kernels are copied once: `torch.lstm` would copy them in
    # both the forward pass and the backward pass.
    weights = [kernel.T.contiguous(), recurrent_kernel.T.contiguous(), *biases]
    outputs, *state = _one_layer(torch.lstm, sequences, tuple(part.unsqueeze(0) for part in state), weights)
    return outputs, [part.squeeze(0) for part in state], "torch.lstm"


def fast_gru(sequences, state, kernel, recurrent_kernel, bias):
    """Uses `torch.gru`, whose gates are in the order r, z, n. For one time step, ordering them takes too long.

    With a large kernel on a CPU, the loop is 1.7 times as fast: `torch.gru` makes a product for the kernel's gradient
    in each step.
    """
    if _without_kernels() or sequences.shape[1] == 1 or _is_ordered(recurrent_kernel, sequences.shape[1]):
        return None
    units = recurrent_kernel.shape[0]

    def reordered(columns):
        return torch.cat([columns[units : 2 * units], columns[:units], columns[2 * units :]])

    weights = [reordered(kernel.T), reordered(recurrent_kernel.T)]
    if bias is not None:
        weights += [reordered(bias[0]), reordered(bias[1])]
    outputs, h = _one_layer(torch.gru, sequences, state[0].unsqueeze(0), weights)
    return outputs, [h.squeeze(0)], "torch.gru"


def weighted_sums(forget, addends, initial):
    """Uses a hand-written gradient, except in transforms of functions that have no rule for it."""
    run = generic.weighted_sums if transformed() else generic.differentiable_sums
    return run(forget, addends, initial)


def _one_layer(function, sequences, state, weights):
    """Runs `torch.lstm` or `torch.gru` for a single layer, whose weights are two kernels, or biases too."""
    if sequences.device.type == "meta" and sequences.shape[1] > 2:
        # Keras only asks for shapes, for which PyTorch would take milliseconds for each time step.
        outputs, *state = _one_layer(function, sequences[:, :2], state, weights)
        return outputs.new_empty((len(sequences), sequences.shape[1], outputs.shape[2])), *state
    return function(
        sequences,
        state,
        weights,
        has_biases=len(weights) > 2,
        num_layers=1,
        dropout=0.0,
        train=torch.is_grad_enabled(),
        bidirectional=False,
        batch_first=True,
    )


def _is_faster_in_half_precision(sequences, recurrent_kernel):
    """Whether `fused_lstm` takes less time than `torch.lstm`: with 640 units 0.8 of it, with 1150 units 0.4."""
    return (
        sequences.dtype == torch.bfloat16
        and recurrent_kernel.numel() >= _MANY_WEIGHTS
        and _is_ordered(recurrent_kernel, sequences.shape[1])
    )


def _without_kernels():
    """Whether a transform runs that PyTorch's LSTM kernels don't support: any but gradients."""
    functorch = torch._C._functorch
    transforms = functorch.get_interpreter_stack() or ()
    return forward_ad._current_level >= 0 or any(each.key() != functorch.TransformType.Grad for each in transforms)
