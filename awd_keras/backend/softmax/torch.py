"""PyTorch."""

import torch

from awd_keras.backend.softmax import generic
from awd_keras.backend.torch_transforms import transformed


def linear_cross_entropy(ids, weights, rows, table, bias, chunk, count=None):
    if transformed():
        return generic.linear_cross_entropy(ids, weights, rows, table, bias, chunk, count)
    count = rows.shape[0] if count is None else int(count)
    return _LinearCrossEntropy.apply(ids.long(), weights, rows, table, bias, chunk, count)


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, ids, weights, rows, table, bias, chunk, count):
        inputs = ids, weights, rows, table, bias
        dtype = torch.promote_types(torch.float32, rows.dtype)
        weights = weights.to(dtype)
        losses = rows.new_zeros(len(rows), dtype=dtype)
        differentiated = any(ctx.needs_input_grad)
        if differentiated:
            d_rows, d_table, d_bias = (torch.zeros_like(x, dtype=dtype) for x in (rows, table, bias))
        # One array for all parts: a fresh one costs more time, for the system to give it, than a pass over it.
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
        if torch.is_grad_enabled():  # for gradients of gradients, which those that have been taken have none of
            total, _ = generic.linear_cross_entropy(ids, *inputs, *ctx.constants)
            wanted = [x for x in inputs if x.requires_grad]
            found = iter(torch.autograd.grad(total, wanted, d_total, create_graph=True))
            scaled = [next(found) if x.requires_grad else None for x in inputs]
        else:
            taken = (losses, *gradients)
            scaled = [(d_total * gradient).to(x.dtype) for gradient, x in zip(taken, inputs, strict=True)]
        return None, *scaled, None, None
