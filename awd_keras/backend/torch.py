"""Overrides for PyTorch, which runs operation by operation."""

import collections
import contextlib
import functools
import math

import numpy as np
import torch
from keras import ops
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack
from torch.autograd import forward_ad
from torch.nn import functional
from torch.optim.sgd import sgd

from awd_keras.backend import generic
from awd_keras.backend.keras_private import in_stateless_scope, replace_value
from awd_keras.backend.torch_products import affine as affine
from awd_keras.backend.torch_products import product as product


def cross_entropy(ids, rows):
    """Needs two arrays of the logits' size at once. PyTorch's own function needs four."""
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
        # For gradients of gradients, which need the probabilities, and for transforms of functions.
        if torch.is_grad_enabled() or transformed():
            return None, (probabilities * d_losses).scatter_add(1, ids, -d_losses)
        return None, probabilities.mul_(d_losses).scatter_add_(1, ids, -d_losses)


def large_vocabulary():
    """It is never slower, and at a few thousand words up to 2 times faster."""
    return 0


def linear_cross_entropy(ids, weights, rows, table, bias, chunk, count=None):
    if transformed():
        return generic.linear_cross_entropy(ids, weights, rows, table, bias, chunk, count)
    count = rows.shape[0] if count is None else int(count)
    # Asked here: within the function gradients are always off, and its inputs require them even where none are taken.
    differentiated = torch.is_grad_enabled() and any(x.requires_grad for x in (weights, rows, table, bias))
    return _LinearCrossEntropy.apply(ids.long(), weights, rows, table, bias, chunk, count, differentiated)


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, ids, weights, rows, table, bias, chunk, count, differentiated):
        inputs = ids, weights, rows, table, bias
        dtype = torch.promote_types(torch.float32, rows.dtype)
        weights = weights.to(dtype)
        losses = rows.new_zeros(len(rows), dtype=dtype)
        if differentiated:
            d_rows, d_table, d_bias = (torch.zeros_like(x, dtype=dtype) for x in (rows, table, bias))
        # One array for all parts, as allocating a new one takes longer than a pass over it.
        buffer = rows.new_empty(min(chunk, count), len(table))
        for start in range(0, count, chunk):
            part = slice(start, min(start + chunk, count))
            targets = ids[part, None]
            logits = torch.addmm(bias, rows[part], table.T, out=buffer[: len(targets)]).to(dtype)
            target_logits = logits.gather(1, targets)
            largest = logits.amax(1, keepdim=True)
            powers = logits.sub_(largest).exp_()
            sums = powers.sum(1, keepdim=True)
            losses[part] = (sums.log() - (target_logits - largest)).squeeze(1)
            if not differentiated:
                continue
            weight = weights[part, None]
            d_logits = powers.mul_(weight / sums).scatter_add_(1, targets, -weight)
            d_bias += d_logits.sum(0)
            d_logits = d_logits.to(rows.dtype)
            d_rows[part] = d_logits @ table
            if dtype == rows.dtype:
                d_table.addmm_(d_logits.T, rows[part])
            else:
                d_table += d_logits.T @ rows[part]
        if differentiated:
            ctx.save_for_backward(losses, d_rows, d_table, d_bias, *inputs)
            ctx.constants = chunk, count
        ctx.mark_non_differentiable(losses)
        return torch.dot(weights, losses), losses

    @staticmethod
    def backward(ctx, d_total, _):
        losses, *gradients, ids, weights, rows, table, bias = ctx.saved_tensors
        inputs = weights, rows, table, bias
        if torch.is_grad_enabled():  # for gradients of gradients, which the gradients computed above don't have
            total, _ = generic.linear_cross_entropy(ids, *inputs, *ctx.constants)
            wanted = [x for x in inputs if x.requires_grad]
            found = iter(torch.autograd.grad(total, wanted, d_total, create_graph=True))
            scaled = [next(found) if x.requires_grad else None for x in inputs]
        else:
            taken = (losses, *gradients)
            scaled = [(d_total * gradient).to(x.dtype) for gradient, x in zip(taken, inputs, strict=True)]
        return None, *scaled, None, None, None


def keep_losses(targets, logits, losses):
    if not (targets.is_inference() or logits.is_inference()):  # PyTorch doesn't count changes of these
        logits._awd_keras_losses = targets, targets._version, logits._version, losses.detach()


def kept_losses(targets, logits):
    """Also returns None if one of the tensors has been changed in place since."""
    kept = getattr(logits, "_awd_keras_losses", None)
    if kept is None:
        return None
    of_targets, *versions, losses = kept
    return losses if of_targets is targets and versions == [targets._version, logits._version] else None


def keep_by_columns(variable):
    """`torch.lstm` needs the transposed matrix row by row, which is then a view and no copy."""
    replace_value(variable, lambda tensor: tensor.T.contiguous().T)


@contextlib.contextmanager
def exporting(variables):
    """Switches gradients off, as PyTorch can't load a program that does so itself to assign a state.

    Also stores weights row by row, as PyTorch warns of others.
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


def _device():
    """The device on which Keras computes. It is `"meta"` while Keras only asks for shapes."""
    return ops.empty(()).device  # nothing is computed for it


def device_name() -> str:
    device = _device()
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def keep_mask(shape, rate, seed):
    """Draws only as many random bits as `mask_bits` returns."""
    device = _device()
    if device.type == "meta":  # Keras is only asking for shapes
        return torch.empty(shape, dtype=torch.bool, device=device)
    with untransformed():
        return _keep_mask(shape, rate, seed, device)


def _keep_mask(shape, rate, seed, device):
    # Not as Keras does, which adds a generator's seed and its count of calls: generators with close seeds would draw
    # the same masks a few calls apart. A CPU generator reads only 32 bits of its seed.
    state = [int(part) & 0xFFFFFFFF for part in seed]
    mixed = int(np.random.SeedSequence(state).generate_state(1)[0])
    generator = torch.Generator(device=device).manual_seed(mixed)
    bits, threshold = generic.mask_bits(rate)
    count = math.prod(shape)
    words = torch.empty(-(-count * bits // 64), dtype=torch.int64, device=device)
    words.random_(-(2**63), None, generator=generator)
    values = words.view(torch.int8 if bits == 8 else torch.int16)[:count]
    # A matrix is stored column by column, like the kernels that it masks.
    values = values.view(shape[::-1]).T if len(shape) == 2 else values.view(shape)
    return values >= threshold - 2 ** (bits - 1)


def locked_dropout(inputs, rate, seed):
    if not transformed():
        return generic.locked_dropout(inputs, rate, seed)
    batch_size, _, features = inputs.shape
    with untransformed():
        factors = torch.ones((batch_size, 1, features), dtype=inputs.dtype, device=inputs.device)
        factors = generic.locked_dropout(factors, rate, seed)
    return inputs * factors


def transformed():
    # PyTorch has no public way to ask which transform is running.
    return bool(torch._C._functorch.get_interpreter_stack()) or forward_ad._current_level >= 0


def untransformed():
    return temporarily_clear_interpreter_stack()


def can_assign(values):
    return not transformed()


def runs_again():
    return torch._C._current_graph_task_id() != -1 and not in_stateless_scope()


def drop(values, keep, rate):
    return generic.drop(values, keep, rate) if transformed() else _Drop.apply(values, keep, 1 / (1 - rate))


class _Drop(torch.autograd.Function):
    """`values * keep * scale`. Keeps a mask of 1 byte an element for the gradient, where PyTorch would keep 4."""

    @staticmethod
    def forward(values, keep, scale):
        kept = keep.to(values.dtype)
        return torch.addcmul(values.new_zeros(()), values, kept, value=scale, out=kept)

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
    dtype = functools.reduce(torch.promote_types, (g.dtype for g in gradients), torch.float32)
    return torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g, dtype=dtype) for g in gradients]))


@torch.no_grad()
def descend(variables, gradients, learning_rate, scale, decays, finite):
    """Makes the step in one pass over the weights, by PyTorch's fused SGD, which takes a loss scale too."""
    groups = collections.defaultdict(list)
    for variable, gradient, decay in zip(variables, gradients, decays, strict=True):
        if gradient.stride() != variable.value.stride():  # which PyTorch's fused step assumes
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
    on_cpu = share.device.type == "cpu"
    if on_cpu and share == 0:
        return
    for mean, variable in zip(averages, variables, strict=True):
        mean = mean.value
        new = variable.value.to(mean.dtype)
        # On a GPU, reading the share in Python would wait for all computations. With `where`, as 0 times infinity is
        # NaN.
        mean.lerp_(new if on_cpu else torch.where(share > 0, new, mean), share.to(mean.dtype))
