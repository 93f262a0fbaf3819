"""The logs of Keras's TensorBoard callback, which needs TensorFlow on any backend."""

import keras
import numpy as np
import pytest

from awd_keras.callbacks import awd_lstm
from awd_keras.data import BPTTDataset
from awd_keras.models import AWDLSTM


def fit(directory):
    model = AWDLSTM(7, embedding_dim=4, hidden_units=5, num_layers=1, seed=1)
    model.compile()
    dataset = BPTTDataset(np.arange(21) % 7, 2, bptt=5, variable=False)
    board = keras.callbacks.TensorBoard(directory, histogram_freq=1)
    callbacks = [*awd_lstm(dataset), board]
    return model.fit(dataset, validation_data=dataset, epochs=2, callbacks=callbacks, verbose=0).history


def test_tensorboard(tmp_path):
    if keras.backend.backend() != "tensorflow":
        with pytest.raises(ModuleNotFoundError, match="tensorflow"):
            fit(tmp_path)
        return
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    history = fit(tmp_path)
    for split, prefix in (("train", ""), ("validation", "val_")):
        events = EventAccumulator(str(tmp_path / split)).Reload()
        for name in ("loss", "perplexity"):
            written = [float(make_ndarray(event.tensor_proto)) for event in events.Tensors(f"epoch_{name}")]
            assert written == pytest.approx(history[prefix + name], rel=1e-6)
    weights = [
        tag for tag in EventAccumulator(str(tmp_path / "train")).Reload().Tags()["tensors"] if "histogram" in tag
    ]
    assert any("embeddings" in tag for tag in weights)
    assert any("recurrent_kernel" in tag for tag in weights)
