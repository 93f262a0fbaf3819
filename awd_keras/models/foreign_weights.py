"""Weights of models that the original program or fastai trained."""

import json
import os
import re
from pathlib import Path

import numpy as np

from awd_keras.backend.torch_file import read_torch_file
from awd_keras.checks import check_not_quantized
from awd_keras.models.awd_lstm import AWDLSTM

# The dtypes of safetensors files. NumPy has no BF16: it is read as integers, the upper halves of float32 numbers.
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
    """Loads the weights of a model that the paper's original program or fastai trained.

    The file holds a PyTorch state dictionary. Some weights are converted:

    - Each LSTM in the file has two biases, which are added.
    - A recurrent weight may be in the file twice. The one with `_raw` in its name is used, as the other has dropout.
    - If the file has no decoder, as those of fastai's `save_encoder`, or no bias of it, the logits' bias is zero.
    - A QRNN's gate `f` in the file is `1 - f` here, so its columns are negated.

    The file has no vocabulary: see `awd_keras.data.Vocabulary.from_pickled_list`. The rates of dropout are those of
    `model`.

    Source: the state dictionaries of https://github.com/salesforce/awd-lstm-lm and of fastai's `AWD_LSTM`.

    Args:
        model: a built `AWDLSTM` of `cell="lstm"` or `"qrnn"`, `softmax="full"` and the file's sizes.
        path: a file that `torch.save` wrote, which PyTorch reads with `weights_only=True`; or one whose name ends with
            `.safetensors`, which needs no PyTorch.

    Returns:
        List of the keys that the model doesn't use, such as those of a classifier's head.

    Raises:
        ImportError: if the file needs PyTorch, which isn't installed.
        OSError: if the file can't be read.
        ValueError: if `model` isn't as above, or the file holds anything but weights, lacks some, or has other sizes.

    Example:

    A file like that of fastai's `save_encoder`, here with ones, written in the format safetensors:

    >>> import json, pathlib, tempfile
    >>> import numpy as np
    >>> from awd_keras.models import AWDLSTM, load_torch_weights
    >>> layer = {
    ...     "weight_ih_l0": (16, 4),
    ...     "weight_hh_l0": (16, 4),
    ...     "bias_ih_l0": (16,),
    ...     "bias_hh_l0": (16,),
    ... }
    >>> shapes = {
    ...     "encoder.weight": (9, 4),
    ...     **{f"rnns.0.{name}": shape for name, shape in layer.items()},
    ... }
    >>> header, data = {}, b""
    >>> for name, shape in shapes.items():
    ...     values = np.ones(shape, "float32").tobytes()
    ...     places = [len(data), len(data) + len(values)]
    ...     header[name] = {"dtype": "F32", "shape": shape, "data_offsets": places}
    ...     data += values
    >>> start = json.dumps(header).encode()
    >>> path = pathlib.Path(tempfile.mkdtemp(), "encoder.safetensors")
    >>> _ = path.write_bytes(len(start).to_bytes(8, "little") + start + data)
    >>> model = AWDLSTM(vocabulary_size=9, embedding_dim=4, hidden_units=8, num_layers=1)
    >>> model.build((1, None))
    >>> load_torch_weights(model, path)
    []
    >>> model.embedding.get_weights()[0][0].tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    if not isinstance(model, AWDLSTM) or model.softmax != "full" or model.cell not in ("lstm", "qrnn"):
        raise ValueError(
            f"Argument `model` must be an AWDLSTM of cell='lstm' or 'qrnn' and softmax='full'. Received: {model=}"
        )
    if not model.built:
        raise ValueError("Argument `model` must be built: call it on data, or `model.build((80, None))`.")
    check_not_quantized("model", model, "load the weights before")
    if model.embedding.lora_enabled:
        raise ValueError("Argument `model` must have no LoRA: load the weights before `enable_lora`")
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
        values += zip(layer.cell.weights, weights, strict=True)
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
    """Kernel and bias; in the file, the previous input's rows come last, and `f` is `1 - f`."""
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
        # Of two keys with one name, the last one stays. Sorting puts the one that ends with `_raw` last.
        self._keys = {_name(key): key for key in sorted(content, key=lambda key: str(key).endswith("_raw"))}
        self._used = {"encoder_dp.emb.weight", "encoder_with_dropout.embed.weight"}  # copies of encoder.weight

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
    """A key without the prefixes and suffixes that differ between programs."""
    return re.sub(r"^\d+\.|\bmodule\.|\blayers\.0\.(?=linear)|_raw$", "", str(key))


def _read(path):
    content = _read_safetensors(path) if Path(path).suffix == ".safetensors" else read_torch_file(path)
    # fastai's learner saves the optimizer's state beside the model's.
    content = content.get("model", content) if isinstance(content, dict) else content
    if not isinstance(content, dict):
        raise ValueError(
            f"Argument `path` must be a file with a state dictionary. Received: a {type(content).__name__} in "
            f"{os.fspath(path)!r}"
        )
    return content


def _read_safetensors(path):
    """Arrays by name. The format is a header's length (8 bytes), the header in JSON, and the arrays' bytes."""
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
