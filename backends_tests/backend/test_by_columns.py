"""Kernels have the memory layout that the framework reads, which changes nothing but the speed."""

import keras
import numpy as np
import pytest
from keras import ops

from awd_keras import backend
from awd_keras.layers import WeightDropLSTM
from awd_keras.optimizers import NTASGD


def kernels(layer):
    return [layer.cell.kernel, layer.cell.recurrent_kernel]


def lies_as_read(tensor):
    """Whether the framework's LSTM can read the kernel without a copy. Only PyTorch's needs a layout: by columns."""
    return keras.backend.backend() != "torch" or tensor.T.is_contiguous()


@pytest.mark.parametrize("build", ["at once", "by a model that only asks for shapes"])
def test_kernels_masks_gradients_and_averages_lie_as_they_are_read(build):
    layer = WeightDropLSTM(4, seed=1)
    model = keras.Sequential([layer])
    if build == "at once":
        layer.build((2, 3, 5))
    model.compile(NTASGD(), "mse")
    model.train_on_batch(np.ones((2, 3, 5)), np.ones((2, 4)))
    tensors = [kernel.value for kernel in kernels(layer)]
    tensors += [v.value for v in model.optimizer.variables if v.name.endswith("kernel_average")]
    model.optimizer.start_averaging()
    model.optimizer.use_averages()
    tensors += model.optimizer._iterates[:2]
    assert len(tensors) == 6
    if keras.backend.backend() == "torch":
        tensors += [kernel.value.grad for kernel in kernels(layer)]
    tensors.append(backend.keep_mask((5, 16), 0.5, keras.random.SeedGenerator(1).next()))
    assert all(lies_as_read(tensor) for tensor in tensors)


def test_values_are_those_of_the_initializer():
    values = np.arange(5 * 16, dtype="float32").reshape(5, 16)
    layer = WeightDropLSTM(4, kernel_initializer=lambda shape, dtype: ops.convert_to_tensor(values, dtype))
    layer.build((2, 3, 5))
    np.testing.assert_array_equal(ops.convert_to_numpy(layer.cell.kernel), values)
    layer.cell.kernel.assign(values + 1)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer.cell.kernel), values + 1)
    assert lies_as_read(layer.cell.kernel.value)


@pytest.mark.parametrize("by_columns", [False, True])
@pytest.mark.parametrize("gradient_by_columns", [False, True])
def test_a_step_is_right_however_gradients_lie(by_columns, gradient_by_columns):
    w, g = np.arange(12.0, dtype="float32").reshape(3, 4), np.arange(1.0, 13, dtype="float32").reshape(3, 4) ** 2
    variable = keras.Variable(w)
    if by_columns:
        backend.keep_by_columns(variable)
    gradient = ops.convert_to_tensor(g)
    if gradient_by_columns:
        gradient = ops.transpose(ops.convert_to_tensor(np.ascontiguousarray(g.T)))
    optimizer = NTASGD(0.5, weight_decay=None, global_clipnorm=None)
    optimizer.apply([gradient], [variable])
    np.testing.assert_allclose(ops.convert_to_numpy(variable), w - 0.5 * g)
