"""A trained LSTM taken apart: its gates, and its memory as a weighted sum."""

from awd_keras.analysis.analyse import analyse
from awd_keras.analysis.gate_activations import gate_activations
from awd_keras.analysis.gates import Gates
from awd_keras.analysis.layer_analysis import LayerAnalysis
from awd_keras.analysis.memory import Memory
from awd_keras.analysis.memory_weights import memory_weights
from awd_keras.analysis.plot_gates import plot_gates
from awd_keras.analysis.plot_memory import plot_memory
from awd_keras.analysis.text_analysis import TextAnalysis
from awd_keras.analysis.write_analysis import write_analysis

__all__ = [
    "Gates",
    "LayerAnalysis",
    "Memory",
    "TextAnalysis",
    "analyse",
    "gate_activations",
    "memory_weights",
    "plot_gates",
    "plot_memory",
    "write_analysis",
]
