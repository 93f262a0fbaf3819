"""Weights of models that were trained by the original program or by fastai."""

import json
import os
import re
from pathlib import Path

import numpy as np

from awd_keras.backend.torch_file import read_torch_file
from awd_keras.models.awd_lstm import AWDLSTM

# Of safetensors files. NumPy has no BF16, the upper half of a float32.
_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}


def load_torch_weights(model: AWDLSTM, path: str | os.PathLike) -> list[str]:
    """Gives a model the weights of a state dictionary that the original program or fastai wrote.

    Each layer's two biases are summed, as there is one here. Of a recurrent weight and its copy with `_raw` in its
    name, which nothing was dropped of, the latter counts. A file without a decoder, as fastai's `save_encoder` writes
    it, or without its bias, makes the bias of the logits zero. Of the QRNN of both, whose gate `f` is `1 - f` here,
    columns are negated.

    What isn't in such a file is the vocabulary, `awd_keras.data.Vocabulary.from_pickled_list`, and dropout, which is
    the model's own.

    Args:
        model: a built `AWDLSTM` of `cell="lstm"` or `"qrnn"`, `softmax="full"` and the file's sizes.
        path: a file of `torch.save`, which PyTorch reads with `weights_only=True`, or one whose name ends with
            `.safetensors`, which needs no other package.

    Returns:
        The keys that there is no use for here, of a classifier's head for example.

    Raises:
        ImportError: if the file needs PyTorch and there is none.
        OSError: if the file can't be read.
        ValueError: if `model` isn't as above, the file holds more than weights, lacks some, or its sizes differ.

    Example:

    >>> import os, tempfile
    >>> import numpy as np
    >>> from awd_keras.models import AWDLSTM, load_torch_weights
    >>> model = AWDLSTM(vocabulary_size=9, embedding_dim=4, hidden_units=8, num_layers=1)
    >>> model.build((1, None))
    >>> path = os.path.join(tempfile.mkdtemp(), "wt103.safetensors")
    >>> with open(path, "wb") as file:
    ...     _ = file.write((2).to_bytes(8, "little") + b"{}")
    >>> load_torch_weights(model, path)
    Traceback (most recent call last):
        ...
    ValueError: Argument `path` must be a file with the weight 'encoder.weight', of shape (9, 4). Received: no weights
    """
    if not isinstance(model, AWDLSTM) or model.softmax != "full" or model.cell not in ("lstm", "qrnn"):
        raise ValueError(
            f"Argument `model` must be an AWDLSTM of cell='lstm' or 'qrnn' and softmax='full'. Received: {model=}"
        )
    if not model.built:
        raise ValueError("Argument `model` must be built: call it on data, or `model.build((80, None))`.")
    found = _Weights(_read(path))
    table = found.take("encoder.weight", model.embedding.embeddings.shape)
    bias = found.take("decoder.bias", (model.vocabulary_size,), optional=True)
    decoder = found.take("decoder.weight", table.shape, optional=True)
    if model.tie_weights and decoder is not None and not np.array_equal(decoder, table):
        raise ValueError(
            "Argument `model` must have `tie_weights=False` for a file whose encoder and decoder differ. "
            f"Received: {model=}"
        )
    values = [(model.embedding.embeddings, table)]
    if not model.tie_weights:
        values.append((model.embedding.reverse_embeddings, table.T if decoder is None else decoder.T))
    values.append((model.embedding.bias, np.zeros(model.vocabulary_size) if bias is None else bias))
    for index, layer in enumerate(model.lstms):
        weights = _of_qrnn(found, index, layer) if model.cell == "qrnn" else _of_lstm(found, index, layer)
        values += zip(layer.trainable_variables, weights, strict=True)
    found.refuse_more_layers(len(model.lstms))
    for variable, value in values:
        variable.assign(value)
    return found.unused()


def _of_lstm(found, index, layer):
    """Kernel, recurrent kernel and bias; both have the gates in the order i, f, c, o."""
    columns, units = 4 * layer.units, layer.units
    features = layer.cell.kernel.shape[0]
    kernel = found.take(f"rnns.{index}.weight_ih_l0", (columns, features))
    recurrent = found.take(f"rnns.{index}.weight_hh_l0", (columns, units))
    biases = [found.take(f"rnns.{index}.bias_{one}_l0", (columns,)) for one in ("ih", "hh")]
    return kernel.T, recurrent.T, biases[0] + biases[1]


def _of_qrnn(found, index, layer):
    """Kernel and bias; in the file, the input before is below the present one, and `f` is `1 - f`."""
    inputs, columns = layer.cell.kernel.shape
    kernel = found.take(f"rnns.{index}.linear.weight", (columns, inputs)).T
    bias = found.take(f"rnns.{index}.linear.bias", (columns,))
    if layer.window == 2:
        present, before = np.split(kernel, 2)
        kernel = np.concatenate([before, present])
    signs = np.repeat([1, -1, 1], layer.units)
    return kernel * signs, bias * signs


class _Weights:
    """The weights of a file, by names that are the same in all such files."""

    def __init__(self, content):
        self._content = content
        # Of two keys of one name, that with `_raw` comes last.
        self._keys = {_name(key): key for key in sorted(content, key=lambda key: str(key).endswith("_raw"))}
        self._used = {"encoder_dp.emb.weight", "encoder_with_dropout.embed.weight"}  # the encoder's weight once more

    def take(self, name, shape, optional=False):
        if name not in self._keys:
            if optional:
                return None
            held = ", ".join(map(str, self._content)) or "no weights"
            raise ValueError(
                f"Argument `path` must be a file with the weight {name!r}, of shape {tuple(shape)}. Received: {held}"
            )
        key = self._keys[name]
        value = self._content[key]
        if getattr(value, "shape", None) != tuple(shape):
            raise ValueError(
                f"Argument `path` must be a file of the model's sizes, with {key!r} of shape {tuple(shape)}. "
                f"Received: {getattr(value, 'shape', type(value).__name__)}"
            )
        self._used.add(name)
        return value

    def refuse_more_layers(self, count):
        for name, key in self._keys.items():
            if name.startswith(f"rnns.{count}."):
                raise ValueError(
                    f"Argument `path` must be a file of the model's {count} layers. Received: more, with {key!r}"
                )

    def unused(self):
        return [str(key) for key in self._content if _name(key) not in self._used]


def _name(key):
    """What a key is called whatever wrote it: without the number of a part, what weights are wrapped in, and `_raw`."""
    return re.sub(r"^\d+\.|\bmodule\.|\blayers\.0\.(?=linear)|_raw$", "", str(key))


def _read(path):
    content = _read_safetensors(path) if Path(path).suffix == ".safetensors" else read_torch_file(path)
    # fastai keeps the optimizer's state beside the model's.
    content = content.get("model", content) if isinstance(content, dict) else content
    if not isinstance(content, dict):
        raise ValueError(
            f"Argument `path` must be a file with a state dictionary. Received: a {type(content).__name__} in "
            f"{os.fspath(path)!r}"
        )
    return content


def _read_safetensors(path):
    """Arrays by name: the length of a header (8 bytes), the header in JSON, and bytes that it tells the places of."""
    data = Path(path).read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    arrays = {}
    try:
        header = json.loads(data[8:start].decode("utf-8"))
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            first, last = entry["data_offsets"]
            values = np.frombuffer(data[start + first : start + last], _DTYPES[entry["dtype"]])
            if entry["dtype"] == "BF16":
                values = (values.astype("uint32") << 16).view("float32")
            arrays[name] = values.reshape(entry["shape"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"Argument `path` must be a safetensors file. Received: {os.fspath(path)!r}, "
            f"{type(error).__name__}: {error}"
        ) from error
    return arrays
