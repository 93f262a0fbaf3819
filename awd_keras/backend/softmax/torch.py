"""PyTorch."""

import torch
from torch.autograd.function import once_differentiable


def linear_cross_entropy(ids, weights, rows, table, bias, chunk, count=None):
    """As `generic.linear_cross_entropy`."""
    count = rows.shape[0] if count is None else int(count)
    return _LinearCrossEntropy.apply(ids.long(), weights, rows, table, bias, chunk, count)


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, ids, weights, rows, table, bias, chunk, count):
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
            ctx.save_for_backward(losses, d_rows, d_table, d_bias)
            ctx.dtypes = rows.dtype, table.dtype, bias.dtype
        ctx.mark_non_differentiable(losses)
        return torch.dot(weights, losses), losses

    @staticmethod
    @once_differentiable
    def backward(ctx, d_total, _):
        losses, *gradients = ctx.saved_tensors
        scaled = [(d_total * gradient).to(dtype) for gradient, dtype in zip(gradients, ctx.dtypes, strict=True)]
        return None, d_total * losses, *scaled, None, None


def register_structure(cls):
    """As `generic.register_structure`; PyTorch's autograd looks at tensors alone."""
