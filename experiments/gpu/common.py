"""What the scripts here share: where things lie, and the precision that they run in."""

import pathlib

ROOT = pathlib.Path(__file__).parents[2]
# Git ignores it: what is carried to the machine, what is installed there, and what comes of it.
HERE = ROOT / "build" / "gpu"
WHEELS = HERE / "wheels"
TEXT = HERE / "text"
SITE = HERE / "site"

# float32 all through. By default, cuDNN's LSTM on PyTorch, and every product on JAX, round their inputs to TF32's 10
# bits on a recent GPU, whose effect on perplexity isn't measured. A variable that is set already wins.
FLOAT32 = {"NVIDIA_TF32_OVERRIDE": "0", "JAX_DEFAULT_MATMUL_PRECISION": "float32"}
