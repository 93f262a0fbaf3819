"""PyTorch."""

import collections
import contextlib
import functools
import math

import numpy as np
import torch
from keras.src import activations
from keras.src.backend.common.stateless_scope import in_stateless_scope
from keras.src.backend.torch.core import convert_to_tensor, get_device
from torch.nn import functional
from torch.optim.sgd import sgd

from awd_keras.backend import generic, torch_transforms
from awd_keras.backend.differentiable_sums import differentiable_sums
from awd_keras.backend.mask_bits import mask_bits
from awd_keras.backend.second_run import second_run
from awd_keras.backend.torch_transforms import transformed, without_kernels


def lstm(
    sequences,
    initial_state,
    kernel,
    recurrent_kernel,
    bias,
    *,
    activation,
    recurrent_activation,
    mask=None,
    recurrent_mask=None,
    go_backwards=False,
    unroll=False,
    zero_output_for_mask=False,
):
    """As `generic.lstm`, through `torch.lstm`, whose gates have Keras's order (cuDNN on a GPU)."""
    if (
        activation is activations.tanh
        and recurrent_activation is activations.sigmoid
        and mask is None
        and recurrent_mask is None
        and not unroll
        and not without_kernels()
    ):
        if sequences.shape[1] == 1:
            # `torch.lstm` first rearranges all weights, which for one time step costs more than the step.
            h, c = torch.lstm_cell(sequences[:, 0], initial_state, kernel.T, recurrent_kernel.T, *_biases(bias))
            return h.unsqueeze(1), [h, c], "torch.lstm"
        if go_backwards:
            sequences = torch.flip(sequences, dims=[1])
        # No copies where `keep_by_columns` has been. Others made here, as `torch.lstm` would copy once for the forward
        # pass and once for the backward one.
        weights = [kernel.T.contiguous(), recurrent_kernel.T.contiguous(), *_biases(bias)]
        outputs, h, c = torch.lstm(
            sequences,
            tuple(state.unsqueeze(0) for state in initial_state),
            weights,
            has_biases=bias is not None,
            num_layers=1,
            dropout=0.0,
            train=torch.is_grad_enabled(),
            bidirectional=False,
            batch_first=True,
        )
        return outputs, [h.squeeze(0), c.squeeze(0)], "torch.lstm"
    return generic.lstm(
        sequences,
        initial_state,
        kernel,
        recurrent_kernel,
        bias,
        activation=activation,
        recurrent_activation=recurrent_activation,
        mask=mask,
        recurrent_mask=recurrent_mask,
        go_backwards=go_backwards,
        unroll=unroll,
        zero_output_for_mask=zero_output_for_mask,
    )


def weighted_sums(forget, addends, initial):
    """As `generic.weighted_sums`."""
    run = generic.weighted_sums if transformed() else differentiable_sums
    return run(forget, addends, initial)


def cross_entropy(ids, rows):
    """As `generic.cross_entropy`, with two arrays of the logits' size at once, where PyTorch's own has four."""
    return generic.cross_entropy(ids, rows) if transformed() else _CrossEntropy.apply(ids.long(), rows)


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ids, rows):
        return functional.nll_loss(functional.log_softmax(rows, dim=-1), ids, reduction="none")

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, d_losses):
        ids, rows = ctx.saved_tensors
        ids, d_losses = ids[:, None], d_losses[:, None]
        probabilities = torch.softmax(rows, dim=-1)
        # As for gradients of gradients, which need the probabilities, and for many gradients at once.
        if torch.is_grad_enabled() or transformed():
            return None, (probabilities * d_losses).scatter_add(1, ids, -d_losses)
        return None, probabilities.mul_(d_losses).scatter_add_(1, ids, -d_losses)


def keep_losses(targets, logits, losses):
    """As `generic.keep_losses`."""
    if not (targets.is_inference() or logits.is_inference()):  # whose changes aren't counted
        logits._awd_keras_losses = targets, targets._version, logits._version, losses.detach()


def kept_losses(targets, logits):
    """As `generic.kept_losses`; None if either has been changed in place since."""
    kept = getattr(logits, "_awd_keras_losses", None)
    if kept is None:
        return None
    of_targets, *versions, losses = kept
    return losses if of_targets is targets and versions == [targets._version, logits._version] else None


def product(rows, kernel):
    """As `generic.product`."""
    return generic.product(rows, kernel)


def affine(rows, kernel, bias):
    """As `generic.affine`, in one pass over the results."""
    return torch.addmm(bias, rows, kernel)


def keep_by_columns(variable):
    """As `generic.keep_by_columns`: a transposed view of it is what `torch.lstm` wants, and needs no copy."""

    def by_columns(tensor):
        return tensor.T.contiguous().T

    initializer = variable._initializer
    if initializer is None:
        variable._value.data = by_columns(variable._value.data)
    else:  # Keras draws the value later
        variable._initializer = lambda *shape, **dtype: by_columns(convert_to_tensor(initializer(*shape, **dtype)))


def _biases(bias):
    """PyTorch has two bias vectors; Keras's one is their sum."""
    return [] if bias is None else [bias, torch.zeros_like(bias)]


@contextlib.contextmanager
def exporting(variables):
    """As `generic.exporting`: a program that switches gradients off for itself, to assign a state, can't be loaded.

    And PyTorch warns of weights that don't lie row by row.
    """
    by_columns = [variable for variable in variables if not variable.value.is_contiguous()]
    for variable in by_columns:
        variable.value.data = variable.value.data.contiguous()
    try:
        with torch.no_grad():
            yield
    finally:
        for variable in by_columns:
            keep_by_columns(variable)


def device_name() -> str:
    """As `generic.device_name`."""
    return torch.cuda.get_device_name() if get_device().startswith("cuda") else get_device()


def lstm_supports_jit() -> bool:
    """As `generic.lstm_supports_jit`."""
    return True


def map_flat(function, tensor):
    """As `generic.map_flat`: there are no ragged tensors."""
    return function(tensor)


def keep_mask(shape, rate, seed):
    """As `generic.keep_mask`, from as few random bits as `mask_bits` says."""
    device = get_device()
    if device == "meta":  # Keras is only asking for shapes
        return torch.empty(shape, dtype=torch.bool, device=device)
    with torch_transforms.untransformed():
        return _keep_mask(shape, rate, seed, device)


def _keep_mask(shape, rate, seed, device):
    # Keras would seed with the sum of the generator's seed and count, so that generators of close seeds would draw the
    # same masks a few calls apart; and a CPU generator only reads 32 bits of its seed.
    state = [int(part) & 0xFFFFFFFF for part in seed]
    mixed = int(np.random.SeedSequence(state).generate_state(1)[0])
    generator = torch.Generator(device=device).manual_seed(mixed)
    bits, threshold = mask_bits(rate)
    count = math.prod(shape)
    words = torch.empty(-(-count * bits // 64), dtype=torch.int64, device=device)
    words.random_(-(2**63), None, generator=generator)
    values = words.view(torch.int8 if bits == 8 else torch.int16)[:count]
    # A matrix by columns, like the kernels that it is for.
    values = values.view(shape[::-1]).T if len(shape) == 2 else values.view(shape)
    return values >= threshold - 2 ** (bits - 1)


def locked_dropout(inputs, rate, seed):
    """As `generic.locked_dropout`."""
    if not transformed():
        return generic.locked_dropout(inputs, rate, seed)
    batch_size, _, features = inputs.shape
    with torch_transforms.untransformed():
        factors = torch.ones((batch_size, 1, features), dtype=inputs.dtype, device=inputs.device)
        factors = generic.locked_dropout(factors, rate, seed)
    return inputs * factors


def untransformed():
    """As `generic.untransformed`."""
    return torch_transforms.untransformed()


def can_assign(values):
    """As `generic.can_assign`."""
    return not transformed()


def rematerialize(function, tensors):
    """As `generic.rematerialize`."""
    return generic.rematerialize(function, tensors)


def check_first_run(name):
    """As `generic.check_first_run`."""
    if torch._C._current_graph_task_id() != -1 and not in_stateless_scope():
        raise second_run(name)


def drop(values, keep, rate):
    """As `generic.drop`."""
    return generic.drop(values, keep, rate) if transformed() else _Drop.apply(values, keep, 1 / (1 - rate))


class _Drop(torch.autograd.Function):
    """`values * keep * scale`, which PyTorch's own gradient of would keep the mask for as floats, 4 bytes for 1."""

    @staticmethod
    def forward(values, keep, scale):
        product = keep.to(values.dtype)
        return torch.addcmul(values.new_zeros(()), values, product, value=scale, out=product)

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, keep, ctx.scale = inputs
        ctx.save_for_backward(keep)

    @staticmethod
    def backward(ctx, gradients):
        (keep,) = ctx.saved_tensors
        return _Drop.apply(gradients, keep, ctx.scale), None, None


@torch.no_grad()
def global_norm(gradients):
    """As `generic.global_norm`."""
    dtype = functools.reduce(torch.promote_types, (g.dtype for g in gradients), torch.float32)
    return torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g, dtype=dtype) for g in gradients]))


@torch.no_grad()
def descend(variables, gradients, learning_rate, scale, decays, finite):
    """As `generic.descend`, by the one pass over the weights that PyTorch has for a step with a loss scale."""
    groups = collections.defaultdict(list)
    for variable, gradient, decay in zip(variables, gradients, decays, strict=True):
        if gradient.stride() != variable.value.stride():  # which PyTorch's pass takes for granted
            gradient = torch.empty_like(variable.value).copy_(gradient)
        groups[decay].append((variable.value, gradient))
    for decay, pairs in groups.items():
        parameters, gradients = zip(*pairs, strict=True)
        sgd(
            list(parameters),
            list(gradients),
            [None] * len(pairs),
            fused=True,
            grad_scale=scale.reciprocal().to(torch.float32),
            found_inf=(~finite).to(torch.float32),
            weight_decay=decay,
            momentum=0.0,
            lr=learning_rate.to(torch.float32),
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )


@torch.no_grad()
def average(averages, variables, share):
    """As `generic.average`."""
    on_cpu = share.device.type == "cpu"
    if on_cpu and share == 0:
        return
    for mean, variable in zip(averages, variables, strict=True):
        mean = mean.value
        new = variable.value.to(mean.dtype)
        # To look at the share would wait for a GPU, where a pass costs nothing; and 0 of something infinite is NaN.
        mean.lerp_(new if on_cpu else torch.where(share > 0, new, mean), share.to(mean.dtype))


def jit_compile():
    """As `generic.jit_compile`: eager, as Keras has it."""
    return "auto"


def compiles_each_length(jit_compile):
    """As `generic.compiles_each_length`."""
    return False
