"""Products of matrices on PyTorch, with a way of their own for few rows and a large kernel."""

import torch

# The most rows for which `_by_parts` is faster, and the fewest weights.
_FEW_ROWS = 4
_MANY_WEIGHTS = 2**18
# One thread computes a part.
_PARTS = 8


def product(rows, kernel):
    """Computes as PyTorch does, or by parts."""
    return _by_parts(rows, kernel) if are_few(rows, kernel) else rows @ kernel


def affine(rows, kernel, bias):
    """Computes product and sum in one pass over the results."""
    return _by_parts(rows, kernel) + bias if are_few(rows, kernel) else torch.addmm(bias, rows, kernel)


def are_few(rows, kernel):
    """Whether the rows are few, as they are when a text is written, and nothing else speaks against `_by_parts`."""
    return (
        isinstance(rows.shape[0], int)  # not the size of an export, which stands for any number
        and 1 <= rows.shape[0] <= _FEW_ROWS
        and kernel.numel() >= _MANY_WEIGHTS
        and kernel.shape[1] >= _PARTS
        and rows.dtype == torch.float32
        and rows.device.type == "cpu"
        and kernel.T.is_contiguous()
        and not torch.is_grad_enabled()
    )


def _by_parts(rows, kernel):
    """The product of few rows, by a batch of products with parts of the kernel's columns.

    PyTorch's product of one row runs in one thread, and that of two rows copies the kernel first. This one reads the
    kernel once, in all threads.
    """
    columns = kernel.T
    size = len(columns) // _PARTS
    parts = columns[: _PARTS * size].view(_PARTS, size, -1)
    products = torch.bmm(parts, rows.T.expand(_PARTS, -1, -1)).permute(2, 0, 1).reshape(len(rows), -1)
    rest = columns[_PARTS * size :]
    return torch.cat([products, rows @ rest.T], dim=1) if len(rest) else products
