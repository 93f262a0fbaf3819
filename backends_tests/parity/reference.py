"""AWD-LSTM's training made of PyTorch's own modules and optimizer, in float64, for the comparison step by step.

It shares no code with awd_keras, nor with the benchmarks' reference. Only what PyTorch has no module for is written
here: where masks apply, the penalties, and the rule that starts averaging.
"""

import math

import numpy as np
import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_, parametrize
from torch.optim.swa_utils import AveragedModel

from backends_tests.parity.trace import Trace


def drop(x, mask, rate):
    """Drops elements of x by the mask. Without a mask, returns x."""
    return x if mask is None else x * torch.as_tensor(mask, dtype=x.dtype) / (1 - rate)


class WeightDrop(nn.Module):
    """The parametrization of an `nn.LSTMCell`'s recurrent weights that drops some of them."""

    def __init__(self, rate):
        super().__init__()
        self.rate = rate
        self.mask = None

    def forward(self, weight):
        # PyTorch's weights are (4 * units, units), Keras's (units, 4 * units), with the gates in the same order.
        return drop(weight, None if self.mask is None else self.mask.T, self.rate)


class Network(nn.Module):
    """Token ids (batch, time) to logits, with the given masks, by name."""

    def __init__(self, recipe):
        super().__init__()
        self.recipe = recipe
        self.embedding = nn.Embedding(recipe.vocabulary_size, recipe.embedding_dim)
        self.decoder = nn.Linear(recipe.embedding_dim, recipe.vocabulary_size)
        self.decoder.weight = self.embedding.weight
        self.cells = nn.ModuleList(nn.LSTMCell(features, units) for features, units in recipe.layer_sizes)
        for cell in self.cells:
            # PyTorch has two bias vectors, which are only added: one stays zero.
            nn.init.zeros_(cell.bias_hh).requires_grad_(False)
            parametrize.register_parametrization(cell, "weight_hh", WeightDrop(recipe.weight_drop))
        self.double()

    def places(self):
        """The parameters by the names of the initial weights."""
        places = {"embeddings": self.embedding.weight, "bias": self.decoder.bias}
        for index, cell in enumerate(self.cells):
            places[f"lstm_{index}_kernel"] = cell.weight_ih
            places[f"lstm_{index}_recurrent_kernel"] = cell.parametrizations.weight_hh.original
            places[f"lstm_{index}_bias"] = cell.bias_ih
        return places

    @torch.no_grad()
    def set_weights(self, weights):
        for name, place in self.places().items():
            value = torch.as_tensor(weights[name], dtype=place.dtype)
            place.copy_(value.T if "kernel" in name else value)

    def get_weights(self):
        values = {name: place.detach().numpy().copy() for name, place in self.places().items()}
        return {name: value.T if "kernel" in name else value for name, value in values.items()}

    # Weights are dropped once in a call, not in each time step. This is for speed: the mask is the same.
    @parametrize.cached()
    def forward(self, tokens, state, masks):
        """Returns logits, the last LSTM's output before and after its dropout, and the state."""
        recipe = self.recipe
        words = masks.get("embedding")
        table = drop(self.embedding.weight, None if words is None else words[:, None], recipe.embedding_dropout)
        x = self.locked(nn.functional.embedding(tokens, table), masks.get("input_dropout"), recipe.input_dropout)
        last = len(self.cells) - 1
        new_state = []
        for index, cell in enumerate(self.cells):
            cell.parametrizations.weight_hh[0].mask = masks.get(f"lstm_{index}")
            now, outputs = state and state[index], []
            for step in x.unbind(dim=1):
                now = cell(step, now)
                outputs.append(now[0])
            new_state.append(now)
            raw = torch.stack(outputs, dim=1)
            if index < last:
                x = self.locked(raw, masks.get(f"hidden_dropout_{index}"), recipe.hidden_dropout)
            else:
                x = self.locked(raw, masks.get("output_dropout"), recipe.output_dropout)
        return self.decoder(x), raw, x, new_state

    @staticmethod
    def locked(x, mask, rate):
        return drop(x, None if mask is None else mask[:, None], rate)


def cross_entropy(logits, targets):
    return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def rows(tokens, count):
    """The text in `count` rows: inputs and targets."""
    length = (len(tokens) - 1) // count
    cut = [torch.as_tensor(tokens[start : start + count * length].reshape(count, length)) for start in (0, 1)]
    return cut[0], cut[1]


class Reference:
    """The training. Each rule is a method, so that tests can break one."""

    def __init__(self, recipe, weights):
        self.recipe = recipe
        self.network = Network(recipe)
        self.network.set_weights(weights)
        self.parameters = [p for p in self.network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(self.parameters, lr=math.nan, weight_decay=recipe.weight_decay)
        self.average: AveragedModel | None = None
        self.norms: list[float] = []

    def learning_rate(self, length):
        return self.recipe.learning_rate * length / self.recipe.bptt

    def penalties(self, raw, dropped):
        jumps = raw[:, 1:] - raw[:, :-1]
        return self.recipe.alpha * dropped.square().mean() + self.recipe.beta * jumps.square().mean()

    def clip(self):
        self.norms.append(float(clip_grad_norm_(self.parameters, self.recipe.global_clipnorm)))

    def carried(self, state):
        return [tuple(part.detach() for part in layer) for layer in state]

    def epoch_state(self, state):
        """The initial state of an epoch. `state` is the final state of the previous one."""
        return

    def starts_averaging(self, measures, new):
        n = self.recipe.non_monotone_interval
        return len(measures) > n and new > min(measures[:-n])

    def new_average(self):
        return AveragedModel(self.network)

    def train(self, lengths, masks) -> Trace:
        """Trains on windows of `lengths[epoch]` tokens, with one of `masks` for each step."""
        trace = Trace()
        train_text, valid_text = self.recipe.texts()
        inputs, targets = rows(train_text, self.recipe.batch_size)
        masks = iter(masks)
        state = None
        for epoch, epoch_lengths in enumerate(lengths):
            state = self.epoch_state(state)
            starts = np.cumsum(epoch_lengths) - epoch_lengths
            for start, length in zip(starts, epoch_lengths, strict=True):
                window = slice(start, start + length)
                state = self.step(trace, inputs[:, window], targets[:, window], state, next(masks))
            measure = self.validate(*rows(valid_text, self.recipe.valid_batch_size))
            if self.average is None and self.starts_averaging(trace.perplexities, measure):
                self.average = self.new_average()
                self.average.update_parameters(self.network)
                trace.averaging_from = epoch + 1
            trace.perplexities.append(measure)
        trace.iterate = self.network.get_weights()
        trace.average = self.averaged().get_weights()
        return trace

    def step(self, trace, x, y, state, masks):
        logits, raw, dropped, state = self.network(x, state, masks)
        entropy = cross_entropy(logits, y)
        loss = entropy + self.penalties(raw, dropped)
        self.optimizer.zero_grad()
        loss.backward()
        self.clip()
        self.optimizer.param_groups[0]["lr"] = self.learning_rate(x.shape[1])
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.network)
        trace.losses.append(loss.item())
        trace.cross_entropies.append(entropy.item())
        return self.carried(state)

    def averaged(self):
        return self.network if self.average is None else self.average.module

    @torch.no_grad()
    def validate(self, x, y):
        """The perplexity of the whole text as one window, which needs no carried state."""
        return math.exp(cross_entropy(self.averaged()(x, None, {})[0], y))
