"""AWD-LSTM in plain PyTorch, as an expert would write it today.

It has `nn.LSTM`'s kernels with a functional weight drop, the paper's regularizers, `torch.optim.SGD`, and averaging
with foreach operations. It shares no code with awd_keras.
"""

import contextlib
import math
import time

import torch
from cache_text import draw
from torch import nn
from torch.nn import functional


def locked_dropout(x, rate):
    """One mask for all time steps of x, which is (time, batch, features)."""
    mask = x.new_empty(1, x.shape[1], x.shape[2]).bernoulli_(1 - rate).div_(1 - rate)
    return x * mask


class Reference(nn.Module):
    """Token ids (time, batch) to logits (time * batch, vocabulary).

    A layer has one bias vector, as in Keras. `biases=2` trains both of PyTorch's, so that steps of their sum are twice
    as large.
    """

    def __init__(self, shape, biases=1):
        super().__init__()
        self.shape = shape
        self.table = nn.Parameter(torch.empty(shape.vocabulary_size, shape.embedding_dim).uniform_(-0.1, 0.1))
        self.bias = nn.Parameter(torch.zeros(shape.vocabulary_size))
        self.lstms = nn.ModuleList(nn.LSTM(inputs, units) for inputs, units in shape.layers)
        for lstm in self.lstms if biases == 1 else ():
            lstm.bias_hh_l0.requires_grad_(False).zero_()
        self.state = None

    def forward(self, tokens):
        shape = self.shape
        table = self.table
        if self.training:
            keep = table.new_empty(len(table), 1).bernoulli_(1 - shape.embedding_dropout)
            table = table * keep.div_(1 - shape.embedding_dropout)
        x = functional.embedding(tokens, table)
        if self.training:
            x = locked_dropout(x, shape.input_dropout)
        state = []
        for index, lstm in enumerate(self.lstms):
            weights = dict(lstm.named_parameters())
            weights["weight_hh_l0"] = functional.dropout(lstm.weight_hh_l0, shape.weight_drop, self.training)
            given = None if self.state is None else self.state[index]
            raw, last = torch.func.functional_call(lstm, weights, (x, given))
            state.append([part.detach() for part in last])
            is_last = index == len(self.lstms) - 1
            x = locked_dropout(raw, shape.output_dropout if is_last else shape.hidden_dropout) if self.training else raw
        self.state = state
        return functional.linear(x.flatten(0, 1), self.table, self.bias), raw, x


class Trainer:
    """The paper's training step: the loss with its penalties, clipping, SGD with weight decay, and the average.

    `learning_rate` is the rate for a window of mean length.
    """

    def __init__(self, model, learning_rate, global_clipnorm=0.25, weight_decay=1.2e-6, non_monotone_interval=5):
        self.model = model
        self.learning_rate = learning_rate
        self.global_clipnorm = global_clipnorm
        self.non_monotone_interval = non_monotone_interval
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.SGD(self.parameters, lr=learning_rate, weight_decay=weight_decay, foreach=True)
        self.measures = []
        self.averages = None
        self.num_averaged = 0

    def update_trigger(self, measure):
        """Begins to average when validation is worse than the best of all measures except the last n."""
        before = self.measures[: -self.non_monotone_interval]
        if self.averages is None and before and measure > min(before):
            self.start_averaging()
        self.measures.append(measure)

    def start_averaging(self):
        self.averages = [parameter.detach().clone() for parameter in self.parameters]
        self.num_averaged = 1

    def step(self, x, y):
        """One step on a window and its targets, both (time, batch). Returns the loss."""
        shape = self.model.shape
        self.optimizer.zero_grad()
        logits, raw, dropped = self.model(x)
        loss = functional.cross_entropy(logits, y.flatten())
        penalty = shape.alpha * dropped.pow(2).mean() + shape.beta * (raw[1:] - raw[:-1]).pow(2).mean()
        (loss + penalty).backward()
        nn.utils.clip_grad_norm_(self.parameters, self.global_clipnorm, foreach=True)
        self.optimizer.step()
        if self.averages is not None:
            self.num_averaged += 1
            with torch.no_grad():
                torch._foreach_lerp_(self.averages, self.parameters, 1 / self.num_averaged)
        return loss.detach()

    @contextlib.contextmanager
    def averages_in_model(self):
        """A context in which the model has the averages, if averaging has begun."""
        iterates = [parameter.data for parameter in self.parameters]
        for parameter, average in zip(self.parameters, self.averages or iterates, strict=True):
            parameter.data = average
        try:
            yield
        finally:
            for parameter, iterate in zip(self.parameters, iterates, strict=True):
                parameter.data = iterate


def device():
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def training(shape, steps, averaging=False):
    """Like `ours.training`."""
    torch.manual_seed(0)
    model = Reference(shape).to(device())
    trainer = Trainer(model, learning_rate=1.0)
    if averaging:
        trainer.start_averaging()
    windows = torch.randint(shape.vocabulary_size, (steps, 2, shape.bptt, shape.batch_size), device=device())

    def run():
        losses = [trainer.step(x, y) for x, y in windows]
        return math.exp(torch.stack(losses).mean().item())

    return run


def learning_curve(trainer, train, valid, epochs):
    """Trains by the recipe on a real text. Validates with the averages once averaging has begun.

    Args:
        trainer: the `Trainer` of a new model.
        train: the training windows, a `BPTTDataset`.
        valid: the validation windows, a `BPTTDataset`.
        epochs: the number of epochs.

    Yields:
        The values of an epoch that `metrics.jsonl` has.
    """
    model = trainer.model
    for epoch in range(epochs):
        began = time.perf_counter()
        train.set_epoch(epoch)
        model.train()
        model.state = None
        loss = tokens = 0
        for x, y in _windows(train):
            trainer.optimizer.param_groups[0]["lr"] = trainer.learning_rate * len(x) / model.shape.bptt
            loss += y.numel() * trainer.step(x, y).item()
            tokens += y.numel()
        seconds = time.perf_counter() - began
        with trainer.averages_in_model():
            valid_perplexity = perplexity(model, valid)
        trainer.update_trigger(valid_perplexity)
        yield {
            "epoch": epoch + 1,
            "train_perplexity": math.exp(loss / tokens),
            "valid_perplexity": valid_perplexity,
            "averaging": trainer.averages is not None,
            "tokens_per_second": tokens / seconds,
        }


@torch.inference_mode()
def perplexity(model, dataset):
    """Perplexity on the windows of a `BPTTDataset`."""
    model.eval()
    model.state = None
    loss = tokens = 0
    for x, y in _windows(dataset):
        logits, _, _ = model(x)
        loss += functional.cross_entropy(logits, y.flatten(), reduction="sum").item()
        tokens += y.numel()
    return math.exp(loss / tokens)


def _windows(dataset):
    """Yields the tokens and the targets of each window, both (time, batch)."""
    for index in range(len(dataset)):
        yield [torch.as_tensor(part.T, dtype=torch.int64, device=device()) for part in dataset[index]]


def evaluation(shape, batch_size, windows):
    """Like `ours.evaluation`."""
    torch.manual_seed(0)
    model = Reference(shape).to(device()).eval()
    stream = torch.randint(shape.vocabulary_size, (windows, 2, shape.bptt, batch_size), device=device())

    @torch.inference_mode()
    def run():
        model.state = None
        total = 0.0
        for x, y in stream:
            logits, _, _ = model(x)
            total += functional.cross_entropy(logits, y.flatten())
        return math.exp(total.item() / windows)

    return run


def generation(shape, words):
    """Like `ours.generation`."""
    torch.manual_seed(0)
    model = Reference(shape).to(device()).eval()

    @torch.inference_mode()
    def run():
        model.state = None
        word = torch.zeros((1, 1), dtype=torch.int64, device=device())
        written = []
        for _ in range(words):
            logits, _, _ = model(word)
            word = torch.multinomial(logits[-1].softmax(0), 1)[None]
            written.append(word.item())
        return written

    return run


def cache(shape, tokens, window):
    """Like `ours.cache`, but like the published script: token by token, with a history as wide as the vocabulary.

    The history is a matrix of one-hot words. One product with the similarities of the states gives the distribution.
    (The script multiplies element by element and sums, which takes longer.) The history is full from the start: the
    first words of the text, as many as the cache holds, aren't scored, and `tokens` counts the words after them.
    """
    states, words = (torch.from_numpy(array).to(device()) for array in draw(shape, window + tokens))
    words = words.long()
    probabilities = torch.full((shape.bptt, shape.vocabulary_size), 1 / shape.vocabulary_size, device=device())

    def one_hot(ids):
        return functional.one_hot(ids, shape.vocabulary_size).float()

    @torch.inference_mode()
    def run():
        nats = 0.0
        seen, followers = states[:window], one_hot(words[:window])
        for start in range(window, window + tokens, shape.bptt):
            block = slice(start, start + shape.bptt)
            seen = torch.cat([seen, states[block]])
            followers = torch.cat([followers, one_hot(words[block])])
            for index, word in enumerate(words[block]):
                likeness = (seen[index : index + window] @ seen[index + window]).softmax(0)
                mixed = 0.9 * probabilities[index] + 0.1 * (likeness @ followers[index : index + window])
                nats -= mixed[word].log().item()
            seen, followers = seen[-window:], followers[-window:]
        return nats / tokens

    return run
