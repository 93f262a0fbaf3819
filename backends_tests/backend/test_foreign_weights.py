"""Weights of the original program and of fastai. PyTorch's own modules compute the expected logits."""

import json
import os
import pickle
import struct
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from awd_keras.data import Vocabulary
from awd_keras.models import AWDLSTM, load_torch_weights
from backends_tests.helpers import to_numpy

WORDS, SIZE, UNITS, LAYERS = 11, 4, 6, 3
IDS = np.array([[0, 3, 10, 2, 2], [7, 1, 4, 9, 0]])


def small(cell="lstm", **arguments):
    model = AWDLSTM(WORDS, embedding_dim=SIZE, hidden_units=UNITS, num_layers=LAYERS, cell=cell, seed=1, **arguments)
    model.build((2, None))
    return model


def sizes(index):
    return SIZE if index == 0 else UNITS, SIZE if index == LAYERS - 1 else UNITS


def lstm_layers(torch):
    return [torch.nn.LSTM(*sizes(index), batch_first=True) for index in range(LAYERS)]


class Quasi:
    """The original's layer. The current input comes before the previous one, columns are z, f, o, and `f` is 1 - f."""

    def __init__(self, torch, features, units, window):
        self.torch, self.window = torch, window
        self.linear = torch.nn.Linear(window * features, 3 * units)

    def __call__(self, x):
        torch = self.torch
        if self.window == 2:
            x = torch.cat([x, torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1)], 2)
        z, f, o = self.linear(x).chunk(3, dim=2)
        c, outputs = 0.0, []
        for t in range(x.shape[1]):
            c = f[:, t].sigmoid() * z[:, t].tanh() + (1 - f[:, t].sigmoid()) * c
            outputs.append(o[:, t].sigmoid() * c)
        return torch.stack(outputs, 1), None


def state_dictionary(torch, layers, own_decoder=False):
    """The original program's keys, with weights so large that errors show, and the logits of IDS."""
    torch.manual_seed(1)
    encoder, decoder = torch.nn.Embedding(WORDS, SIZE), torch.nn.Linear(SIZE, WORDS)
    if not own_decoder:
        decoder.weight = encoder.weight
    weights = {"encoder.weight": encoder.weight, "decoder.weight": decoder.weight, "decoder.bias": decoder.bias}
    x = encoder(torch.tensor(IDS))
    for index, layer in enumerate(layers):
        x, _ = layer(x)
        named = layer.linear if isinstance(layer, Quasi) else layer
        for name, weight in named.named_parameters():
            weights[f"rnns.{index}.{'linear.' if isinstance(layer, Quasi) else ''}{name}"] = weight
    return {key: weight.detach() for key, weight in weights.items()}, decoder(x).detach().numpy()


def of_the_original(weights):
    """The weights with weight drop, which wraps a module and stores its weight as `_raw`."""
    names = {"weight_hh_l0": "module.weight_hh_l0_raw", "linear.weight": "linear.module.weight_raw"}
    names |= {"linear.bias": "linear.module.bias"} | {n: f"module.{n}" for n in ("weight_ih_l0", "bias_ih_l0")}
    names |= {"bias_hh_l0": "module.bias_hh_l0"}
    return renamed(weights, names)


def of_fastai(weights):
    """The weights with both forms of the recurrent weight, one of them with dropout, and with the embedding twice."""
    names = {"weight_hh_l0": "weight_hh_l0_raw", "linear.weight": "layers.0.linear.weight_raw"}
    names |= {"linear.bias": "layers.0.linear.module.bias"}
    names |= {n: f"module.{n}" for n in ("weight_ih_l0", "bias_ih_l0", "bias_hh_l0")}
    dropped = {"weight_hh_l0": "module.weight_hh_l0", "linear.weight": "layers.0.linear.module.weight"}
    zeros = {key: 0 * weight for key, weight in weights.items() if key.endswith(("hh_l0", "linear.weight"))}
    keys = {**renamed(zeros, dropped), **renamed(weights, names), "encoder_dp.emb.weight": weights["encoder.weight"]}
    return {f"{int(key.startswith('decoder'))}.{key}": weight for key, weight in keys.items()}


def renamed(weights, names):
    def name(key):
        place, number, rest = [*key.split(".", 2), "", ""][:3] if key.startswith("rnns") else ("", "", "")
        return f"{place}.{number}.{names.get(rest, rest)}" if place else key

    return {name(key): weight for key, weight in weights.items()}


def logits(model):
    return to_numpy(model(IDS))


@pytest.mark.once
@pytest.mark.parametrize("layout", [dict, of_the_original, of_fastai])
@pytest.mark.parametrize("cell", ["lstm", "qrnn"])
@pytest.mark.parametrize("own_decoder", [False, True])
def test_logits_are_those_of_torchs_modules(tmp_path, cell, layout, own_decoder):
    import torch

    layers = lstm_layers(torch)
    if cell == "qrnn":
        layers = [Quasi(torch, *sizes(index), window=1 if index else 2) for index in range(LAYERS)]
    weights, expected = state_dictionary(torch, layers, own_decoder)
    torch.save(layout(weights), tmp_path / "model.pth")
    model = small(cell, tie_weights=not own_decoder)
    model.lstms[0].trainable = False  # it is read all the same
    assert load_torch_weights(model, tmp_path / "model.pth") == []
    np.testing.assert_allclose(logits(model), expected, atol=1e-5)


@pytest.mark.once
def test_what_else_is_in_a_file(tmp_path):
    import torch

    weights, _ = state_dictionary(torch, lstm_layers(torch))
    encoder = {key: weight for key, weight in weights.items() if "decoder" not in key}
    head = {"1.layers.0.0.weight": torch.ones(3), "1.layers.0.0.num_batches_tracked": torch.tensor(1)}
    # In the form in which a fastai learner saves a classifier and its optimizer's state.
    content = {"model": {f"0.module.{key}": weight for key, weight in encoder.items()} | head, "opt": {"state": [1.0]}}
    torch.save(content, tmp_path / "classifier.pth")
    model = small()
    model.embedding.bias.assign(np.ones(WORDS))
    assert load_torch_weights(model, tmp_path / "classifier.pth") == list(head)
    np.testing.assert_array_equal(to_numpy(model.embedding.embeddings), encoder["encoder.weight"])
    np.testing.assert_array_equal(to_numpy(model.embedding.bias), np.zeros(WORDS))
    half = {key: weight.bfloat16() for key, weight in weights.items()}
    torch.save(half, tmp_path / "half.pth")
    assert load_torch_weights(model, tmp_path / "half.pth") == []
    np.testing.assert_array_equal(to_numpy(model.embedding.embeddings), half["encoder.weight"].float())


class Trap:
    """A class whose pickle calls a function when it is loaded."""

    def __reduce__(self):
        return os.mkdir, ("sprung",)


@pytest.mark.once
def test_a_file_runs_nothing(tmp_path, monkeypatch):
    import torch

    monkeypatch.chdir(tmp_path)
    torch.save({"encoder.weight": Trap()}, "trap.pth")
    torch.save(torch.nn.Linear(1, 1), "model.pth")
    (tmp_path / "text.pth").write_text("no weights")
    for name in ("trap.pth", "model.pth", "text.pth"):
        with pytest.raises(ValueError, match=f"state dictionary and nothing else, .* Received: '{name}', .+"):
            load_torch_weights(small(), name)
    traps = [pickle.dumps(["a", Trap()], protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    for number, trap in enumerate([*traps, pickle.dumps([os.system]), b"]r\xff\xff\xff\x7fc", b"]U\x01a."]):
        (tmp_path / f"{number}.pkl").write_bytes(trap)
        with pytest.raises(ValueError, match=f"'{number}.pkl' doesn't hold a pickled list of words: .+"):
            Vocabulary.from_pickled_list(f"{number}.pkl")
    assert not (tmp_path / "sprung").exists()
    pickle.loads((tmp_path / "0.pkl").read_bytes())
    assert (tmp_path / "sprung").exists()  # loading the pickle does call it
    torch.save([1], "list.pth")
    with pytest.raises(ValueError, match="with a state dictionary. Received: a list in 'list.pth'"):
        load_torch_weights(small(), "list.pth")


@pytest.mark.once
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickled_list_is_a_vocabulary(tmp_path, protocol):
    words = ["xxunk", "xxpad", "the", "é", "a\nb", "x" * 300, *map(str, range(2000))]
    (tmp_path / "itos.pkl").write_bytes(pickle.dumps(words, protocol))
    assert Vocabulary.from_pickled_list(tmp_path / "itos.pkl") == Vocabulary(words)
    # A word that occurs twice is stored once, and the second place refers to it.
    (tmp_path / "itos.pkl").write_bytes(pickle.dumps([words[4], "b", words[4]], protocol))
    with pytest.raises(ValueError, match="each word once. Received: 'a.nb' twice"):
        Vocabulary.from_pickled_list(tmp_path / "itos.pkl")


@pytest.mark.once
@pytest.mark.parametrize("content", [("a", "b"), {"a": 1}, "ab", [1, 2], [["a"]], [["a"], "b"], [], None])
def test_another_pickle_is_no_vocabulary(tmp_path, content):
    (tmp_path / "itos.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=r"itos.pkl' doesn't hold a pickled list of words: [^\n]+$"):
        Vocabulary.from_pickled_list(tmp_path / "itos.pkl")


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("bytes")


@pytest.mark.once
@given(content=st.binary(max_size=40))
def test_any_bytes_are_a_vocabulary_or_an_error_of_one_line(scratch, content):
    path = scratch / "itos.pkl"
    path.write_bytes(pickle.dumps(["a"])[:-1] + content)
    try:
        Vocabulary.from_pickled_list(path)
    except ValueError as error:
        told = str(error)
    else:
        told = "itos.pkl"
    assert "itos.pkl" in told
    assert "\n" not in told


def safetensors(arrays, **dtypes):
    """Writes the format by its description: the length of the header, the header, the bytes."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, array in arrays.items():
        raw = array.tobytes()
        dtype = dtypes.get(name, array.dtype.kind.upper() + str(8 * array.dtype.itemsize))
        header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    encoded = json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data


def arrays(rng):
    found = {"encoder.weight": rng.normal(size=(WORDS, SIZE)).astype("float32")}
    for index in range(LAYERS):
        features, units = sizes(index)
        shapes = {"weight_ih_l0": (4 * units, features), "weight_hh_l0": (4 * units, units)}
        shapes |= {"bias_ih_l0": (4 * units,), "bias_hh_l0": (4 * units,)}
        found |= {f"rnns.{index}.{name}": rng.normal(size=shape).astype("float32") for name, shape in shapes.items()}
    return found


def test_safetensors_need_no_pytorch(tmp_path, rng):
    weights = arrays(rng) | {"decoder.bias": rng.normal(size=WORDS).astype("float16"), "steps": np.arange(3)}
    (tmp_path / "model.safetensors").write_bytes(safetensors(weights))
    model = small()
    assert load_torch_weights(model, tmp_path / "model.safetensors") == ["steps"]
    np.testing.assert_array_equal(to_numpy(model.embedding.embeddings), weights["encoder.weight"])
    np.testing.assert_array_equal(to_numpy(model.embedding.bias), weights["decoder.bias"])
    for index, layer in enumerate(model.lstms):
        kernel, recurrent, bias = layer.get_weights()
        np.testing.assert_array_equal(kernel, weights[f"rnns.{index}.weight_ih_l0"].T)
        np.testing.assert_array_equal(recurrent, weights[f"rnns.{index}.weight_hh_l0"].T)
        sums = weights[f"rnns.{index}.bias_ih_l0"] + weights[f"rnns.{index}.bias_hh_l0"]
        np.testing.assert_array_equal(bias, sums)


@pytest.mark.once
def test_the_upper_half_of_a_float(tmp_path, rng):
    weights = arrays(rng)
    table = weights["encoder.weight"]
    weights["encoder.weight"] = (table.view("uint32") >> 16).astype("uint16")
    (tmp_path / "model.safetensors").write_bytes(safetensors(weights, **{"encoder.weight": "BF16"}))
    model = small()
    load_torch_weights(model, tmp_path / "model.safetensors")
    np.testing.assert_allclose(to_numpy(model.embedding.embeddings), table, rtol=2**-7)


@pytest.mark.once
def test_wrong_arguments(tmp_path, rng, monkeypatch):
    path = tmp_path / "model.safetensors"

    def refused(weights, match, model=None):
        path.write_bytes(weights if isinstance(weights, bytes) else safetensors(weights))
        model = small() if model is None else model
        before = model.get_weights() if isinstance(model, AWDLSTM) and model.built else []
        with pytest.raises(ValueError, match=match):
            load_torch_weights(model, path)
        for one, other in zip(before, model.get_weights() if before else [], strict=True):
            np.testing.assert_array_equal(one, other)

    weights = arrays(rng)
    refused(weights, "`model` must be an AWDLSTM of cell='lstm' or .* Received: model=3", 3)
    refused(weights, "`model` must be an AWDLSTM of cell='lstm' or .*", small("gru"))
    refused(weights, "`model` must be built", AWDLSTM(WORDS))
    refused({**weights, "decoder.weight": 2 * weights["encoder.weight"]}, "must have `tie_weights=False` for a file")
    refused({}, "the weight 'encoder.weight', of shape .11, 4.. Received: no weights")
    refused({"a": weights["encoder.weight"]}, "the weight 'encoder.weight', of shape .11, 4.. Received: a$")
    fewer = {key: value for key, value in weights.items() if key != "rnns.2.bias_hh_l0"}
    refused(fewer, "the weight 'rnns.2.bias_hh_l0', of shape .16,.. Received: encoder.weight, rnns.0")
    refused({**weights, "0.rnns.3.weight_ih_l0": np.ones(1)}, "model's 3 layers. Received: more, with '0.rnns.3.weight")
    other = {**weights, "rnns.0.weight_hh_l0": np.ones((24, 7))}
    refused(other, "'rnns.0.weight_hh_l0' of shape .24, 6.. Received: .24, 7.")
    for damaged in (b"", b"123", safetensors(weights)[:-1], struct.pack("<Q", 2) + b"[]", struct.pack("<Q", 2**63)):
        refused(damaged, "must be a safetensors file. Received: .*model.safetensors', |Received: no weights")
    refused(struct.pack("<Q", 12) + b'{"a": {"b":1', "must be a safetensors file. .* JSONDecodeError: ")
    model = small()
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="`path`: only PyTorch can read 'a.pth'. Install it .`pip install torch`.,"):
        load_torch_weights(model, "a.pth")
