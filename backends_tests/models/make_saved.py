"""Writes saved/BACKEND.keras and .json for the backend that KERAS_BACKEND names; see test_awd_lstm.py."""

import json
from pathlib import Path

import keras
import numpy as np

from awd_keras.models import AWDLSTM

folder = Path(__file__).parent / "saved"
folder.mkdir(exist_ok=True)
backend = keras.backend.backend()
rng = np.random.default_rng(5)
model = AWDLSTM(11, embedding_dim=5, hidden_units=7, num_layers=3)
model.build((4, None))
for variable in model.trainable_variables:
    variable.assign(0.5 * rng.normal(size=variable.shape))
ids = rng.integers(0, 11, (4, 9))
logits = keras.ops.convert_to_numpy(model(ids))
model.save(folder / f"{backend}.keras")
(folder / f"{backend}.json").write_text(
    json.dumps({"ids": ids.tolist(), "logits": np.round(logits.astype("float64"), 7).tolist()}) + "\n",
    encoding="utf-8",
)
