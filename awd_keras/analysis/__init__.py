"""Looks inside a trained LSTM: its gates, and its memory as a weighted sum."""

from awd_keras.analysis.gates import Gates, gate_activations
from awd_keras.analysis.memory import Memory, memory_weights
from awd_keras.analysis.plots import plot_gates, plot_memory
from awd_keras.analysis.report import LayerAnalysis, TextAnalysis, analyse, write_analysis

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
