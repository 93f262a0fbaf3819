"""The artefacts that `model.export` writes, run by the framework that reads them, without Keras."""

import warnings

import keras
import numpy as np
import pytest

from awd_keras.models import AWDLSTM, TextClassifier

# The batch size of PyTorch's export if none is given.
WORDS, BATCH, TIME = 9, 1, 3


def exported(path, **arguments):
    """Exports a model. Also returns the logits of two windows, the second with the state that the first has left."""
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
            # Keras exports from JAX through TensorFlow or jax2onnx, which aren't installed here.
            with pytest.raises(ImportError, match="requires the tensorflow module"):
                exported(tmp_path / "model")
            return
    np.testing.assert_allclose(results, logits, atol=1e-5)
    assert np.abs(logits[0] - logits[1]).max() > 1e-3


def classifier(**arguments):
    model = AWDLSTM(WORDS, 4, 5, 2, seed=1)
    return TextClassifier(model, num_classes=3, hidden_units=[4], max_gradient_tokens=3, **arguments)


def mean_of_both_ways():
    ids = keras.Input((None,), dtype="int32")
    ways = classifier(name="forward"), classifier(name="backward", backwards=True)
    return keras.Model(ids, keras.layers.Average()([keras.layers.Softmax()(way(ids)) for way in ways]))


@pytest.mark.parametrize("make", [classifier, mean_of_both_ways])
def test_export_of_a_classifier(make, tmp_path):
    """For texts longer than `max_gradient_tokens`, with padding; on TensorFlow with any number and length of texts."""
    model = make()
    ids = np.random.default_rng(0).integers(0, WORDS, (2, 7)).astype("int32")
    ids[1, 4:] = -1
    logits = keras.ops.convert_to_numpy(model(ids))
    assert np.abs(logits[0] - logits[1]).max() > 1e-4
    match keras.backend.backend():
        case "torch":
            import torch

            signature = [keras.InputSpec(shape=ids.shape, dtype="int32")]
            with warnings.catch_warnings():
                # For a Keras model, PyTorch warns of weights that aren't stored row by row.
                warnings.filterwarnings("ignore", "No complete tensor", UserWarning)
                model.export(tmp_path / "model.pt2", format="torch", input_signature=signature, verbose=False)
            result = torch.export.load(tmp_path / "model.pt2").module()(torch.from_numpy(ids)).detach().numpy()
        case "tensorflow":
            import tensorflow as tf

            model.export(tmp_path / "model", verbose=False)
            loaded = tf.saved_model.load(tmp_path / "model")
            result = loaded.serve(ids).numpy()
            np.testing.assert_allclose(
                loaded.serve(ids[:1, :2]), keras.ops.convert_to_numpy(model(ids[:1, :2])), atol=1e-5
            )
        case "jax":
            with pytest.raises(ImportError, match="requires the tensorflow module"):
                model.export(tmp_path / "model", verbose=False)
            return
    np.testing.assert_allclose(result, logits, atol=1e-5)
