"""One suite for all backends. It runs on the backend in KERAS_BACKEND, and fails if that isn't the one in use."""

import os
import tempfile

# Set before imports: TensorFlow reads the first variable when it is imported, Matplotlib the second.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "agg")

import hypothesis
import numpy as np
import pytest

ASKED = os.environ.get("KERAS_BACKEND")
if not ASKED:
    raise pytest.UsageError("Set KERAS_BACKEND to torch, jax or tensorflow; nox -s tests does.")

# JAX compiles a program once for the whole suite, not once for each model that runs it.
COMPILED = tempfile.TemporaryDirectory(prefix="awd_keras_compiled_")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", COMPILED.name)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "0")

# A backend that isn't installed raises here, and so fails the run: nothing is skipped.
import keras  # noqa: E402

if keras.backend.backend() != ASKED:
    raise pytest.UsageError(f"KERAS_BACKEND={ASKED} was asked for. Received: {keras.backend.backend()}")

# Tests of the project's pages and experiments don't depend on the backend, and run on one only.
collect_ignore = [] if ASKED == "torch" else ["project"]

# A few examples every day, always the same ones; `nox -s thorough` tries others. Without time limits.
UNTIMED = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow], "database": None}
hypothesis.settings.register_profile("every_day", derandomize=True, max_examples=10, **UNTIMED)
hypothesis.settings.register_profile("thorough", max_examples=300, print_blob=True, **UNTIMED)
hypothesis.settings.load_profile("every_day")


def pytest_collection_modifyitems(items):
    """Fails if a test's name has a memory address: processes that share the tests must agree on their names."""
    for item in items:
        assert " at 0x" not in item.nodeid, f"Give the parameters of {item.nodeid} other ids"


@pytest.fixture(autouse=True)
def fresh_keras():
    """Every test starts from the same seed and Keras's own settings, whatever ran before it."""
    keras.backend.clear_session(free_memory=False)
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    keras.utils.set_random_seed(0)


@pytest.fixture
def rng():
    return np.random.default_rng(0)
