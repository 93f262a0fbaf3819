"""The model of `inference_step`, exported to every format of every backend, and run without Keras.

A format needs the tools in MODULES. The environments of the tests have some of them; `nox -s exports` runs these tests
with nearly all. If a backend can't export a format or lacks its tools, the error is the one in docs/guides/export.md.
"""

import importlib.util

import keras
import numpy as np
import pytest

from awd_keras.data import Vocabulary
from awd_keras.generation import generate
from awd_keras.models import AWDLSTM, inference_step
from backends_tests import oracle
from backends_tests.backend.artefacts import ENDINGS, RUNTIMES
from backends_tests.helpers import draw_weights

BACKEND = keras.backend.backend()
WORDS = 9
NAMES = ["tokens", "h_0", "c_0", "h_1", "c_1"]
# The modules that a backend needs for a format, and the error without them.
MODULES = {
    ("torch", "tf_saved_model"): ("torch_xla", ImportError, "requires the tensorflow module"),
    ("torch", "openvino"): ("openvino", ImportError, "openvino"),
    ("torch", "litert"): ("litert_torch", ImportError, "you must install the `litert-torch` package"),
    ("jax", "tf_saved_model"): ("tensorflow", ImportError, "requires the tensorflow module"),
    ("jax", "onnx"): ("jax2onnx", ImportError, "requires the jax2onnx module"),
    ("tensorflow", "openvino"): ("openvino", ImportError, "openvino"),
}
# The formats that a backend can't export.
REFUSED = {
    ("jax", "openvino"): (ImportError, "openvino"),
    ("jax", "litert"): (ValueError, "requires TensorFlow or PyTorch backend"),
    ("jax", "torch"): (ValueError, "requires PyTorch backend"),
    ("tensorflow", "torch"): (ValueError, "requires PyTorch backend"),
}

pytestmark = [
    # On PyTorch, for a variable batch size Keras uses two functions that are deprecated.
    pytest.mark.filterwarnings("ignore:You are using the legacy TorchScript-based ONNX export:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The feature will be removed:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:`torch.jit.trace:DeprecationWarning"),
    # Tracing warns of Python integers, all of which are constant sizes here.
    pytest.mark.filterwarnings("ignore:Converting a tensor to a Python (boolean|integer):Warning"),
    # A warning of matrices that are stored column by column, which matters only on a GPU.
    pytest.mark.filterwarnings("ignore:No complete tensor found in the group:UserWarning"),
    # Keras makes tf2onnx work with NumPy 2.
    pytest.mark.filterwarnings("ignore:In the future `np.object`:FutureWarning"),
    # The newer package for these files supports only a few versions of Python on Linux.
    pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated:UserWarning"),
    # From Keras's call of jax2tf.
    pytest.mark.filterwarnings("ignore:The `native_serialization` parameter is deprecated:DeprecationWarning"),
]


def trained(batch_size=1, **arguments):
    model = AWDLSTM(WORDS, embedding_dim=4, hidden_units=5, num_layers=2, seed=1, **arguments)
    model.build((batch_size, None))
    # With these weights, many different words are drawn, and the likeliest word is never close to another.
    rng = np.random.default_rng(86)
    draw_weights(model, rng)
    model.embedding.bias.assign(np.zeros(WORDS))
    return model


def exported(model, format, folder):
    """Exports the model in a format, and returns an object that runs the file."""
    path = str(folder / f"step{ENDINGS[format]}")
    inference_step(model).export(path, format=format, verbose=False)
    return RUNTIMES[format](path)


def named(tokens, state, names=NAMES):
    return dict(zip(names, [tokens, *state], strict=True))


def check_values(run, model, batch_size):
    """Logits and states of three words are NumPy's."""
    state = [np.zeros((batch_size, units), "float32") for units in (5, 5, 4, 4)]
    reference = oracle.AWDLSTM([v.numpy() for v in model.trainable_variables], batch_size)
    for tokens in np.random.default_rng(0).integers(0, WORDS, (3, batch_size, 1)).astype("int32"):
        logits, *state = run(named(tokens, state))
        np.testing.assert_allclose(logits, reference.forward(tokens)[0], atol=1e-5)
        expected = [part for pair in reference.state for part in pair]
        for part, other in zip(state, expected, strict=True):
            np.testing.assert_allclose(part, other, atol=1e-5)


def check_text(run, model):
    """Words drawn from the file with NumPy are those that `generate` writes."""
    vocabulary = Vocabulary([*"abcdefg", "<unk>", "<eos>"])
    state = [np.zeros((1, units), "float32") for units in (5, 5, 4, 4)]
    words = ["b", "e"]
    for word in words:
        logits, *state = run(named(vocabulary.encode([word])[None].astype("int32"), state))
    for _ in range(8):
        token = np.argmax(logits[:, -1:], axis=-1)
        words += vocabulary.decode(token[0])
        logits, *state = run(named(token.astype("int32"), state))
    text = generate(model, vocabulary, "b e", max_words=8, temperature=0, allow_unknown=True)
    assert words == text.replace("\n", " <eos> ").split()
    assert len(set(words)) > 3


def refusal(format):
    """The exception of the export and its message, or None."""
    if (BACKEND, format) in MODULES:
        module, *error = MODULES[BACKEND, format]
        return None if importlib.util.find_spec(module) else error
    return REFUSED.get((BACKEND, format))


@pytest.mark.parametrize("format", ENDINGS)
def test_step(format, tmp_path):
    model = trained()
    if refusal(format):
        kind, message = refusal(format)
        with pytest.raises(kind, match=message):
            exported(model, format, tmp_path)
        return
    run = exported(model, format, tmp_path)
    assert run.inputs in (None, NAMES, sorted(NAMES))
    # By default torch.export fixes the batch size.
    for batch_size in (1,) if format == "torch" else (1, 3):
        check_values(run, model, batch_size)
    check_text(run, model)


@pytest.mark.thorough
@pytest.mark.parametrize("cell", ["gru", "qrnn", "mogrifier", "-srnn-out", "-srnn-hidden", "-gates"])
@pytest.mark.parametrize("format", [format for format in ENDINGS if not refusal(format)])
def test_other_cells(cell, format, tmp_path):
    """Word by word, the file gives the model's logits for the whole text."""
    model = trained(cell=cell)
    tokens = np.random.default_rng(0).integers(0, WORDS, (1, 5)).astype("int32")
    expected = model.predict(tokens, verbose=0)
    step = inference_step(model)
    names = [tensor.name for tensor in step.inputs]
    state = [np.zeros((1, *tensor.shape[1:]), "float32") for tensor in step.inputs[1:]]
    run = exported(model, format, tmp_path)
    for word in range(tokens.shape[1]):
        logits, *state = run(named(tokens[:, word : word + 1], state, names))
        np.testing.assert_allclose(logits[:, 0], expected[:, word], atol=1e-5)
