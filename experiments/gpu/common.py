"""The paths and the precision that all scripts of this folder use."""

import pathlib

ROOT = pathlib.Path(__file__).parents[2]
# Ignored by Git: the files that are copied to the machine, the packages installed there, and the results.
HERE = ROOT / "build" / "gpu"
WHEELS = HERE / "wheels"
TEXT = HERE / "text"
SITE = HERE / "site"

# Full float32. By default, on a recent GPU, cuDNN's LSTM on PyTorch and every product on JAX round their inputs to
# TF32's 10 bits, whose effect on perplexity hasn't been measured. Variables that are already set aren't changed.
FLOAT32 = {"NVIDIA_TF32_OVERRIDE": "0", "JAX_DEFAULT_MATMUL_PRECISION": "float32"}
