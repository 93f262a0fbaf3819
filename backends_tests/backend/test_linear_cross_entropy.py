"""The cross-entropy that never holds all logits: its values, its gradients, and its memory."""

import keras
import numpy as np
import pytest
from keras import ops

from awd_keras import backend
from backends_tests import oracle
from backends_tests.backend.differentiated import differentiated

TOKENS, INPUTS, WORDS = 11, 3, 7
# The number of rows at a time, and the number of first rows that count.
CASES = [(4, None), (100, None), (4, 6), (4, 0)]
FUNCTIONS = [(backend.linear_cross_entropy, CASES), (backend.generic_linear_cross_entropy, [(4, 6)])]


def example(rng, dtype="float32"):
    ids = rng.integers(0, WORDS, TOKENS).astype("int32")
    shapes = [(TOKENS,), (TOKENS, INPUTS), (WORDS, INPUTS), (WORDS,)]
    return ids, [rng.normal(size=shape).astype(dtype) for shape in shapes]


def loss_of(function, ids, chunk, count, scale=2.5):
    """A scalar that contains the function's result, as a function of the arrays."""

    def loss(weights, rows, table, bias):
        counted = None if count is None else ops.convert_to_tensor(count, "int32")
        total, _ = function(ops.convert_to_tensor(ids), weights, rows, table, bias, chunk, counted)
        return ops.multiply(total, scale)

    return loss


def expected(ids, weights, rows, table, bias, count, scale=2.5):
    """The losses, the scalar and its gradients, in NumPy."""
    weights, rows, table, bias = (x.astype("float64") for x in (weights, rows, table, bias))
    log_p = oracle.log_softmax(rows @ table.T + bias)
    counts = np.arange(TOKENS) < (TOKENS if count is None else count)
    losses = np.where(counts, -log_p[np.arange(TOKENS), ids], 0)
    d_logits = scale * (weights * counts)[:, None] * (np.exp(log_p) - np.eye(WORDS)[ids])
    gradients = [scale * losses, d_logits @ table, d_logits.T @ rows, d_logits.sum(0)]
    return scale * weights @ losses, gradients


@pytest.mark.parametrize(("function", "cases"), FUNCTIONS, ids=["framework", "generic"])
def test_values_and_gradients_equal_numpy(rng, function, cases):
    ids, arrays = example(rng)
    for chunk, count in cases:
        value, gradients = differentiated(loss_of(function, ids, chunk, count), arrays)
        wanted, wanted_gradients = expected(ids, *arrays, count)
        np.testing.assert_allclose(ops.convert_to_numpy(value), wanted, rtol=1e-5, atol=1e-6)
        for actual, gradient in zip(gradients, wanted_gradients, strict=True):
            np.testing.assert_allclose(ops.convert_to_numpy(actual), gradient, rtol=1e-4, atol=1e-5)


def test_equals_the_plain_path(rng):
    ids, arrays = example(rng)

    def plain(weights, rows, table, bias):
        logits = backend.affine(rows, ops.transpose(table), bias)
        return 2.5 * ops.sum(weights * backend.cross_entropy(ops.convert_to_tensor(ids), logits))

    results = [differentiated(loss, arrays) for loss in (plain, loss_of(backend.linear_cross_entropy, ids, 4, None))]
    (value, gradients), (actual, actual_gradients) = results
    np.testing.assert_allclose(*(ops.convert_to_numpy(x) for x in (actual, value)), rtol=1e-5)
    for pair in zip(actual_gradients, gradients, strict=True):
        np.testing.assert_allclose(*(ops.convert_to_numpy(x) for x in pair), atol=1e-4)


def test_the_softmax_and_its_sums_are_of_float32():
    """All rows have the same target, so that 1 / 600 is added 600 times. In bfloat16, the sum wouldn't reach 1."""
    words, tokens, share, dtype = 4, 600, 1 / 600, "bfloat16"
    ids, weights = np.zeros(tokens, "int32"), np.full(tokens, share, "float32")
    rows, table, bias = (
        ops.cast(ops.convert_to_tensor(x.astype("float32")), dtype)
        for x in (np.ones((tokens, 1)), np.zeros((words, 1)), np.array([0, 9, 9, 9]))
    )
    total, losses = backend.linear_cross_entropy(
        ops.convert_to_tensor(ids), ops.convert_to_tensor(weights), rows, table, bias, 7
    )
    assert {keras.backend.standardize_dtype(x.dtype) for x in (total, losses)} == {"float32"}
    wanted = np.log(1 + 3 * np.exp(9))
    np.testing.assert_allclose(ops.convert_to_numpy(total), wanted, rtol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(losses), np.full(tokens, wanted), rtol=1e-5)

    def loss(table):
        half = ops.cast(table, dtype)
        tensors = (ops.convert_to_tensor(ids), ops.convert_to_tensor(weights), rows, half, bias)
        return backend.linear_cross_entropy(*tensors, 7)[0]

    _, [gradient] = differentiated(loss, [np.zeros((words, 1), "float32")])
    p = np.exp(np.array([0, 9, 9, 9]) - wanted)
    np.testing.assert_allclose(ops.convert_to_numpy(gradient)[:, 0], p - np.eye(words)[0], rtol=5e-3, atol=1e-3)


def test_logits_far_apart_overflow_nothing():
    arrays = [np.ones(2), np.array([[1e2], [1e2]]), np.array([[1e2], [-1e2]]), np.zeros(2)]
    arrays = [array.astype("float32") for array in arrays]
    value, gradients = differentiated(
        loss_of(backend.linear_cross_entropy, np.array([0, 1], "int32"), 1, None, 1), arrays
    )
    np.testing.assert_allclose(ops.convert_to_numpy(value), 2e4)
    assert all(np.isfinite(ops.convert_to_numpy(gradient)).all() for gradient in gradients)


def sizes_computed(loss, arrays):
    """The sizes of all arrays in the computation of the loss and its gradients."""
    match keras.backend.backend():
        case "jax":
            import jax

            def sizes(jaxpr):
                for equation in jaxpr.eqns:
                    yield from (int(np.prod(out.aval.shape)) for out in equation.outvars)
                    for inner in jax.tree.leaves(
                        list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns") or hasattr(x, "jaxpr")
                    ):
                        inner = getattr(inner, "jaxpr", inner)
                        if hasattr(inner, "eqns"):
                            yield from sizes(inner)

            return list(sizes(jax.make_jaxpr(jax.grad(loss, argnums=range(len(arrays))))(*arrays).jaxpr))
        case "tensorflow":
            from tensorflow.python.framework import op_callbacks

            found = []

            def note(op_type, inputs, attrs, outputs, op_name=None, graph=None):
                found.extend(int(np.prod(out.shape)) for out in outputs if out.shape.rank is not None)

            op_callbacks.add_op_callback(note)
            try:
                differentiated(loss, arrays)
            finally:
                op_callbacks.remove_op_callback(note)
            return found
        case "torch":
            from torch.utils._python_dispatch import TorchDispatchMode

            found = []

            class Note(TorchDispatchMode):
                def __torch_dispatch__(self, function, types, args=(), kwargs=None):
                    outputs = function(*args, **(kwargs or {}))
                    found.extend(out.numel() for out in keras.tree.flatten(outputs) if hasattr(out, "numel"))
                    return outputs

            with Note():
                differentiated(loss, arrays)
            return found


def test_all_logits_are_never_there(rng):
    tokens, inputs, words, chunk = 40, 3, 50, 5
    ids = rng.integers(0, words, tokens).astype("int32")
    shapes = [(tokens,), (tokens, inputs), (words, inputs), (words,)]
    arrays = [rng.normal(size=shape).astype("float32") for shape in shapes]
    held = sizes_computed(loss_of(backend.linear_cross_entropy, ids, chunk, None), arrays)
    # The largest array is the logits of one part; with a single part, the check finds all logits.
    assert max(held) == chunk * words
    assert max(sizes_computed(loss_of(backend.linear_cross_entropy, ids, tokens, None), arrays)) == tokens * words


if keras.backend.backend() == "torch":

    @pytest.mark.parametrize("wanted", [False, True])
    def test_gradients_are_computed_only_where_they_are_wanted(rng, wanted):
        """An evaluation takes none, though the weights require gradients there too."""
        import torch
        from torch.utils.flop_counter import FlopCounterMode

        ids, arrays = example(rng)
        tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
        with torch.set_grad_enabled(wanted), FlopCounterMode(display=False) as counter:
            backend.linear_cross_entropy(torch.tensor(ids), *tensors, 4)
        assert (counter.get_total_flops() > 2 * TOKENS * INPUTS * WORDS) == wanted
