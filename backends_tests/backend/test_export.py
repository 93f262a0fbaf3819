"""The artefacts that `model.export` writes, run by the framework that reads them, without Keras."""

import keras
import numpy as np
import pytest

from awd_keras.models import AWDLSTM

# The batch size that PyTorch's export takes where none is given.
WORDS, BATCH, TIME = 9, 1, 3


def exported(path, **arguments):
    """Exports a model with both windows' logits, the second's with the state that the first left."""
    model = AWDLSTM(WORDS, embedding_dim=4, hidden_units=5, num_layers=2, seed=1)
    windows = np.random.default_rng(0).integers(0, WORDS, (2, BATCH, TIME)).astype("int32")
    model(windows[0])
    for lstm in model.lstms:
        lstm.reset_state()
    model.export(path, verbose=False, **arguments)
    for lstm in model.lstms:
        lstm.reset_state()
    return windows, [keras.ops.convert_to_numpy(model(window)) for window in windows]


def test_export(tmp_path):
    match keras.backend.backend():
        case "torch":
            import torch

            windows, logits = exported(tmp_path / "model.pt2", format="torch")
            run = torch.export.load(tmp_path / "model.pt2").module()
            results = [run(torch.from_numpy(window)).detach().numpy() for window in windows]
        case "tensorflow":
            import tensorflow as tf

            windows, logits = exported(tmp_path / "model")
            loaded = tf.saved_model.load(tmp_path / "model")
            results = [loaded.serve(window).numpy() for window in windows]
        case "jax":
            # Keras exports from JAX by way of TensorFlow or jax2onnx, which aren't here.
            with pytest.raises(ImportError, match="requires the tensorflow module"):
                exported(tmp_path / "model")
            return
    np.testing.assert_allclose(results, logits, atol=1e-5)
    assert np.abs(logits[0] - logits[1]).max() > 1e-3
