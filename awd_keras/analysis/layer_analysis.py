"""What is known of one layer."""

from typing import NamedTuple

from awd_keras.analysis.gates import Gates
from awd_keras.analysis.memory import Memory


class LayerAnalysis(NamedTuple):
    """One LSTM of a model that has read a text, in a batch of 1.

    Attributes:
        name: the layer's name.
        gates: its `Gates`.
        memory: its `Memory`, reduced over units.
    """

    name: str
    gates: Gates
    memory: Memory
