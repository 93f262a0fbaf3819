"""The adaptive softmax against PyTorch's own."""

import keras
from keras import ops

from backends_tests.layers.test_adaptive_softmax import CUTOFFS, SIZE, TARGETS, WORDS, drawn

if keras.backend.backend() == "torch":
    import torch

    def test_equals_pytorchs_own(rng):
        """Values and gradients equal those of `torch.nn.AdaptiveLogSoftmaxWithLoss` with the same weights."""
        own = torch.nn.AdaptiveLogSoftmaxWithLoss(SIZE, WORDS, CUTOFFS, div_value=2.0, head_bias=True)
        layer = drawn(rng)
        for bias in layer.biases[1:]:  # PyTorch's layer has no biases
            bias.assign(ops.zeros_like(bias))
        head = torch.cat([layer.tables[0].value, layer.clusters.value])
        with torch.no_grad():
            own.head.weight.copy_(head)
            own.head.bias.copy_(layer.biases[0].value)
            for tail, table, projection in zip(own.tail, layer.tables[1:], layer.projections, strict=True):
                tail[0].weight.copy_(projection.value.T)
                tail[1].weight.copy_(table.value)
        y = torch.tensor(TARGETS["of all clusters"]).flatten()
        h = torch.tensor(rng.normal(size=(len(y), SIZE)).astype("float32"), requires_grad=True)
        torch.testing.assert_close(layer.log_prob(h), own.log_prob(h), rtol=0, atol=1e-5)
        expected = own(h, y).loss
        loss = layer.loss(h, y)
        torch.testing.assert_close(loss, expected, rtol=1e-5, atol=0)
        ours = [h, layer.clusters.value, *(v.value for v in (*layer.tables, *layer.projections))]
        theirs = [h, own.head.weight, *own.tail.parameters()]
        d_h, d_clusters, d_shortlist, d_table1, d_table2, d_p1, d_p2 = torch.autograd.grad(loss, ours)
        actual = [d_h, torch.cat([d_shortlist, d_clusters]), d_p1.T, d_table1, d_p2.T, d_table2]
        for gradient, other in zip(actual, torch.autograd.grad(expected, theirs), strict=True):
            torch.testing.assert_close(gradient, other, rtol=0, atol=1e-4)
