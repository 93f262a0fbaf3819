"""The LSTM, the GRU, the Mogrifier and the QRNN as functions: values and gradients against NumPy in float64.

Transforms of them, and gradients of gradients: test_transforms.py.
"""

import keras
import numpy as np
import pytest
from keras import ops

from awd_keras import backend
from awd_keras.layers.qrnn import qrnn
from backends_tests import oracle
from backends_tests.backend.differentiated import assert_equal_numpy

BATCH, TIME, FEATURES, UNITS = 2, 4, 3, 4
STATE = (BATCH, UNITS)
ROUNDS = [(UNITS, FEATURES), (FEATURES, UNITS), (UNITS, FEATURES)]
# The function, the oracle, the shapes of the state and of the weights, the bias before the mogrifiers.
CELLS = {
    # The Mogrifier without rounds is an LSTM.
    "lstm": (backend.lstm, oracle.mogrifier, [STATE] * 2, [(FEATURES, 16), (UNITS, 16), (16,)]),
    "gru": (backend.gru, oracle.gru, [STATE], [(FEATURES, 12), (UNITS, 12), (2, 12)]),
    "mogrifier": (backend.mogrifier, oracle.mogrifier, [STATE] * 2, [(FEATURES, 16), (UNITS, 16), (16,), *ROUNDS]),
    "qrnn": (qrnn, oracle.qrnn, [STATE] * 2, [(FEATURES, 12), (12,)]),
    "qrnn of two": (qrnn, oracle.qrnn, [STATE, STATE, (BATCH, FEATURES)], [(2 * FEATURES, 12), (12,)]),
    "qrnn without output gate": (qrnn, oracle.qrnn, [STATE] * 2, [(FEATURES, 8), (8,)]),
}
ACTIVATIONS = {"activation": keras.activations.tanh, "recurrent_activation": keras.activations.sigmoid}
MASK = np.array([[1, 0, 1, 0], [0, 0, 1, 1]], bool)
WITHOUT_LOOP = {name for name in CELLS if name.startswith("qrnn")}


def check(rng, name, options, of_oracle, turn=lambda x: x):
    """Compares a random linear function of all results, and its gradients with respect to all arguments."""
    function, expected, states, weights = CELLS[name]
    shapes = [(BATCH, TIME, FEATURES), *states, *weights]
    arrays = [rng.normal(size=shape).astype("float32") for shape in shapes]
    directions = [rng.normal(size=shape).astype("float32") for shape in ((BATCH, TIME, UNITS), *states)]
    count = len(states)
    paths = set()

    def loss(x, *others):
        outputs, state, path = function(x, list(others[:count]), *others[count:], **ACTIVATIONS, **options)
        paths.add(path)
        parts = zip((outputs, *state), directions, strict=True)
        # PyTorch and TensorFlow have no gradient of a part of the state that isn't used.
        unused = sum(0.0 * ops.sum(part) for part in others[:count])
        return unused + sum(ops.sum(part * ops.convert_to_tensor(direction)) for part, direction in parts)

    def expected_loss(x, *others):
        outputs, *state = expected(turn(x), *others, **of_oracle)
        return sum(np.sum(part * direction) for part, direction in zip((outputs, *state), directions, strict=True))

    assert_equal_numpy(loss, expected_loss, arrays)
    return paths


@pytest.mark.parametrize("name", CELLS)
def test_values_and_gradients_equal_numpy(rng, name):
    paths = check(rng, name, {}, {})
    assert paths <= ({"associative_scan"} if name in WITHOUT_LOOP else {"fused", "torch.lstm", "torch.gru"})


@pytest.mark.parametrize("name", CELLS)
def test_with_all_that_keras_has(rng, name):
    """Backwards, with masks of steps and of the state, and zero outputs for masked steps."""
    options = {"mask": ops.convert_to_tensor(MASK[:, ::-1].copy()), "go_backwards": True, "zero_output_for_mask": True}
    of_oracle = {"mask": MASK}
    if name in WITHOUT_LOOP:
        stays = np.random.default_rng(1).random((BATCH, TIME, UNITS)) < 0.4
        options["moves"] = ops.convert_to_tensor(~stays[:, ::-1])
        of_oracle["stays"] = stays
    else:
        of_oracle["recurrent_mask"] = np.array([[0, 2, 2, 0], [2, 0, 2, 2]], "float32")
        options["recurrent_mask"] = ops.convert_to_tensor(of_oracle["recurrent_mask"])
    paths = check(rng, name, options, {**of_oracle, "zero_output_for_mask": True}, lambda x: x[:, ::-1])
    assert paths == ({"associative_scan"} if name in WITHOUT_LOOP else {"generic"})


def test_a_gru_that_resets_before_the_product(rng, monkeypatch):
    function, expected, states, weights = CELLS["gru"]
    monkeypatch.setitem(CELLS, "gru", (function, expected, states, [*weights[:2], (12,)]))
    assert check(rng, "gru", {"reset_after": False}, {"reset_after": False}) == {"generic"}


if keras.backend.backend() == "torch":

    @pytest.mark.parametrize("time", [TIME, 1])
    def test_the_gru_of_pytorch(rng, time):
        """Equals PyTorch's own layer, whose gates are in another order."""
        import torch

        x, kernel, recurrent_kernel, *biases = (
            rng.normal(size=shape).astype("float32")
            for shape in ((BATCH, time, FEATURES), (FEATURES, 12), (UNITS, 12), (12,), (12,))
        )
        theirs = torch.nn.GRU(FEATURES, UNITS, batch_first=True)
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        for name, weight in zip(names, (kernel, recurrent_kernel, *biases), strict=True):
            z, r, n = np.split(weight, 3, axis=-1)
            setattr(theirs, name, torch.nn.Parameter(torch.tensor(np.concatenate([r, z, n], axis=-1).T)))
        arguments = map(ops.convert_to_tensor, (kernel, recurrent_kernel, np.stack(biases)))
        outputs, [h], path = backend.gru(torch.tensor(x), [torch.zeros(STATE)], *arguments, **ACTIVATIONS)
        expected, last = theirs(torch.tensor(x))
        np.testing.assert_allclose(outputs, expected.detach(), atol=1e-6)
        np.testing.assert_allclose(h, last[0].detach(), atol=1e-6)
        assert path == ("torch.gru" if time > 1 else "fused")

    @pytest.fixture
    def ordered(monkeypatch):
        """Every kernel is large, and every window long. Returns the sizes of products by kernels in oneDNN's order."""
        from awd_keras.backend.loops import torch as loops

        monkeypatch.setattr(loops, "_WEIGHTS", 0)
        monkeypatch.setattr(loops, "_STEPS", 2)
        product, sizes = loops._ordered_product, set()

        def recorded(kernel, rows):
            results = product(kernel, rows)
            sizes.add((rows.shape[1], results.shape[1]))
            return results

        monkeypatch.setattr(loops, "_ordered_product", recorded)
        return sizes

    @pytest.mark.parametrize(
        ("name", "sizes"),
        [("gru", {(UNITS, 12)}), ("mogrifier", {(FEATURES + UNITS, 16), (UNITS, FEATURES), (FEATURES, UNITS)})],
    )
    def test_kernels_in_the_order_of_onednn(rng, ordered, name, sizes):
        """The loops of forward and backward pass use them, and the GRU takes its loop instead of `torch.gru`."""
        assert check(rng, name, {}, {}) == {"fused"}
        assert ordered == sizes | {(outputs, inputs) for inputs, outputs in sizes}

    @pytest.mark.parametrize("dtype", ["float64", "float16"])
    def test_dtypes_that_are_not_ordered(ordered, dtype):
        import torch

        x, h = torch.zeros((BATCH, TIME, FEATURES)), torch.zeros(STATE)
        arguments = [torch.zeros(shape) for shape in CELLS["gru"][3]]
        [x, h, *arguments] = [each.to(getattr(torch, dtype)) for each in (x, h, *arguments)]
        assert backend.gru(x, [h], *arguments, **ACTIVATIONS)[2] == "torch.gru"
        assert ordered == set()

    def test_bfloat16_on_a_processor_that_cannot_multiply_it(rng, ordered, monkeypatch):
        import torch

        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
        shapes = [(BATCH, TIME, FEATURES), STATE, *CELLS["gru"][3]]
        x, h, *arguments = (torch.tensor(rng.normal(size=shape), dtype=torch.bfloat16) for shape in shapes)
        assert backend.gru(x, [h], *arguments, **ACTIVATIONS)[2] == "torch.gru"
        assert ordered == set()

    def test_a_mapped_loop_reads_kernels_as_they_are(rng, ordered):
        """PyTorch would run one product after the other, and warn of each."""
        import torch

        shapes = [(3, BATCH, TIME, FEATURES), STATE, *CELLS["gru"][3]]
        x, h, *arguments = (torch.tensor(rng.normal(size=shape), dtype=torch.float32) for shape in shapes)
        with torch.no_grad():
            ops.vectorized_map(lambda each: backend.gru(each, [h], *arguments, **ACTIVATIONS)[0], x)
        assert ordered == set()

    @pytest.mark.parametrize(("name", "width"), [("gru", 12), ("lstm", 16)])
    def test_bfloat16_in_the_order_of_onednn(rng, ordered, monkeypatch, name, width):
        """Products are summed in float32, so the results differ from PyTorch's own loop by their rounding alone."""
        import torch

        from awd_keras.backend.recurrence import torch as recurrence

        monkeypatch.setattr(recurrence, "_MANY_WEIGHTS", UNITS * 16)
        function, _, states, weights = CELLS[name]
        shapes = [(BATCH, TIME, FEATURES), *states, *weights]
        x, *others = (torch.tensor(rng.normal(size=shape)) for shape in shapes)
        count = len(states)
        exact, *_ = function(x, others[:count], *others[count:], **ACTIVATIONS)
        x, *others = (each.to(torch.bfloat16) for each in (x, *others))
        found, _, path = function(x, others[:count], *others[count:], **ACTIVATIONS)
        supported = torch.ops.mkldnn._is_mkldnn_bf16_supported()
        assert (path, ordered) == (("fused", {(UNITS, width)}) if supported else (f"torch.{name}", set()))
        np.testing.assert_allclose(found.double(), exact, atol=0.03)

    @pytest.mark.parametrize(("dtype", "fewest"), [("float32", 0), ("bfloat16", UNITS * 16 + 1)])
    def test_an_lstm_that_stays_with_pytorch(rng, ordered, monkeypatch, dtype, fewest):
        """In float32, and in bfloat16 with a small kernel, `torch.lstm` is faster than the loop."""
        import torch

        from awd_keras.backend.recurrence import torch as recurrence

        monkeypatch.setattr(recurrence, "_MANY_WEIGHTS", fewest)
        _, _, states, weights = CELLS["lstm"]
        shapes = [(BATCH, TIME, FEATURES), *states, *weights]
        x, h, c, *weights = (torch.tensor(rng.normal(size=shape), dtype=getattr(torch, dtype)) for shape in shapes)
        assert backend.lstm(x, [h, c], *weights, **ACTIVATIONS)[2] == "torch.lstm"
        assert ordered == set()


if keras.backend.backend() == "jax":

    @pytest.fixture
    def read_transposed(monkeypatch):
        """Returns the shapes of the kernels whose transpose rows are multiplied by."""
        from awd_keras.backend.loops import jax as loops

        times_transposed, shapes = loops._times_transposed, set()

        def recorded(rows, kernel):
            shapes.add(kernel.shape)
            return times_transposed(rows, kernel)

        monkeypatch.setattr(loops, "_times_transposed", recorded)
        return shapes

    @pytest.mark.parametrize(
        ("name", "shapes"),
        [
            ("lstm", {(16, UNITS)}),
            ("gru", {(12, UNITS)}),
            ("mogrifier", {(16, FEATURES + UNITS), (FEATURES, UNITS), (UNITS, FEATURES)}),
        ],
    )
    def test_kernels_larger_than_the_cache(rng, monkeypatch, read_transposed, name, shapes):
        """They have been transposed before the loop. The gradient of a gated loop reads all kernels so, as they are."""
        from awd_keras.backend.loops import jax as loops

        monkeypatch.setattr(loops, "_CACHED", 0)
        monkeypatch.setattr(loops, "_STEPS", 1)
        assert check(rng, name, {}, {}) == {"fused"}
        assert read_transposed == shapes | {shape[::-1] for shape in shapes}

    @pytest.mark.parametrize(("name", "kernel"), [("lstm", (UNITS, 16)), ("gru", (UNITS, 12)), ("mogrifier", (7, 16))])
    def test_small_kernels_are_read_as_they_are(rng, read_transposed, name, kernel):
        """Only the gradient multiplies by their transpose."""
        check(rng, name, {}, {})
        assert kernel[::-1] not in read_transposed
