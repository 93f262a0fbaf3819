"""In 16 bits, a gradient that is a sum over many tokens includes all of them.

In bfloat16, 256 + 1 is 256, so a sum stops growing. This once made the perplexity after an epoch 7 times as large.
"""

import keras
import numpy as np
import pytest
from keras import ops

from awd_keras.layers import AdaptiveSoftmax, EmbeddingDropout, WeightDropLSTM
from backends_tests import oracle

TOKENS = 2000


def gradients_of(layer, x, y):
    """A function from inputs to the gradients of the mean over tokens of the sum of the outputs.

    The gradients are computed from the weights' change in one step of SGD.
    """
    model = keras.Model(x, y)
    model.compile(keras.optimizers.SGD(1.0), loss=lambda _, outputs: ops.sum(outputs, axis=-1))
    before = [np.array(v.numpy(), copy=True) for v in layer.trainable_variables]

    def of(inputs):
        model.train_on_batch(inputs, np.zeros((*inputs.shape[:2], 1), "float32"))
        after = [v.numpy() for v in layer.trainable_variables]
        return {v.name: b - a for v, b, a in zip(layer.trainable_variables, before, after, strict=True)}

    return of


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.filterwarnings("ignore:Gradients do not exist")  # of variables that only the reverse call uses
def test_a_word_s_embedding(adaptive, dtype):
    layer = AdaptiveSoftmax(3, 4, [2], dtype=dtype) if adaptive else EmbeddingDropout(3, 4, 0.0, dtype=dtype)
    x = keras.Input((TOKENS,), dtype="int32")
    found = gradients_of(layer, x, layer(x))(np.ones((1, TOKENS), "int32"))
    # Each token adds an equal share to each component of its word's row; the shares sum to one.
    table = next(g for name, g in found.items() if name in ("embeddings", "embeddings_0"))
    np.testing.assert_allclose(table[1], 1, rtol=0.01)
    np.testing.assert_array_equal(table[0], 0)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_the_logits_bias(dtype):
    layer = EmbeddingDropout(3, 4, dtype=dtype)
    layer.build()
    x = keras.Input((TOKENS, 4))
    found = gradients_of(layer, x, layer(x, reverse=True))(np.zeros((1, TOKENS, 4), "float32"))
    np.testing.assert_allclose(found["bias"], 1, rtol=0.01)


# Numbers of half precision whose sum is slightly below another such number. Rounded, it is that one; cut off, it is 1.
NEARLY, SUM = 0.00775, 1 + 2**-7


def test_products_are_rounded():
    """They aren't cut off, as by TensorFlow on a processor that can't multiply bfloat16."""
    layer = EmbeddingDropout(1, 2, use_bias=False, embeddings_initializer="ones", dtype="mixed_bfloat16")
    x = np.array([[[1, NEARLY]]], "float32")
    np.testing.assert_allclose(ops.convert_to_numpy(ops.cast(layer(x, reverse=True), "float32")), SUM, rtol=1e-3)
    layer = EmbeddingDropout(1, 1, embeddings_initializer="ones", dtype="mixed_bfloat16")
    layer.build()
    inputs = keras.Input((2, 1))
    found = gradients_of(layer, inputs, layer(inputs, reverse=True))(2 * x.reshape(1, 2, 1))
    np.testing.assert_allclose(found["embeddings"], SUM, rtol=1e-3)


def test_an_lstm_s_recurrent_product_is_rounded():
    h = np.array([[1, NEARLY]], "float32") / 64
    layer = WeightDropLSTM(2, recurrent_initializer="ones", return_state=True, dtype="mixed_bfloat16")
    _, _, c = layer(np.zeros((1, 1, 3), "float32"), initial_state=[h, np.zeros_like(h)])
    expected = oracle.sigmoid(SUM / 64) * np.tanh(SUM / 64)
    np.testing.assert_allclose(ops.convert_to_numpy(ops.cast(c, "float32")), expected, rtol=3e-3)


def test_an_lstm_s_bias(rng):
    one = rng.normal(size=(1, 1, 3)).astype("float32")
    found = []
    for dtype, rows in (("float32", 1), ("mixed_bfloat16", TOKENS)):
        layer = WeightDropLSTM(4, return_sequences=True, kernel_initializer="ones", dtype=dtype)
        x = keras.Input((1, 3))
        found.append(gradients_of(layer, x, layer(x))(np.repeat(one, rows, axis=0))["bias"])
    # The mean over equal rows equals that of one row.
    np.testing.assert_allclose(found[1], found[0], atol=0.03 * abs(found[0]).max())
