"""Reads files that PyTorch wrote, on any backend of Keras."""

import os

import numpy as np


def read_torch_file(path: str | os.PathLike) -> dict:
    """Reads what `torch.save` wrote, without running code from it. Tensors become NumPy arrays.

    Args:
        path: the file to read.

    Raises:
        ImportError: if there is no PyTorch.
        OSError: if the file can't be read.
        ValueError: if it holds anything but tensors, numbers and strings in dictionaries and lists, or isn't such a
            file.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"Argument `path`: only PyTorch can read {os.fspath(path)!r}. Install it (`pip install torch`), on any "
            "backend of Keras. Files that end with .safetensors don't need it"
        ) from error
    with open(path, "rb") as file:
        try:
            content = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # damaged bytes may raise anything
            reason = str(error).partition("\n")[0]
            raise ValueError(
                f"Argument `path` must be a file with a state dictionary and nothing else, as "
                f"`torch.save(model.state_dict(), path)` writes it. Received: {os.fspath(path)!r}, {reason}"
            ) from error
    return _arrays(content, torch)


def _arrays(content, torch):
    if isinstance(content, dict):
        return {key: _arrays(value, torch) for key, value in content.items()}
    if not isinstance(content, torch.Tensor):
        return content
    # NumPy has no bfloat16.
    return np.asarray(content.detach().float() if content.dtype == torch.bfloat16 else content.detach())
