"""The whole model, and the settings it was published with."""

from awd_keras.models.awd_lstm import AWDLSTM
from awd_keras.models.presets import PRESETS, Preset

__all__ = ["AWDLSTM", "PRESETS", "Preset"]
