"""The model in NumPy and float64, with gradients, for comparison with the library."""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def log_softmax(logits):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def lstm(x, h, c, kernel, recurrent_kernel, bias, mask=None):
    """Runs an LSTM, with gates in the order i, f, c, o.

    Returns:
        Outputs (batch, time, units), the last h and c, and the values that `lstm_gradients` needs.
    """
    outputs, saved = [], []
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ kernel + h @ recurrent_kernel + bias, 4, axis=-1)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        new_c = f * c + i * g
        new_h = o * np.tanh(new_c)
        if mask is not None:
            new_h = np.where(mask[:, t, None], new_h, h)
            new_c = np.where(mask[:, t, None], new_c, c)
        saved.append((h, c, i, f, g, o, new_c))
        h, c = new_h, new_c
        outputs.append(h)
    return np.stack(outputs, axis=1), h, c, saved


def ablated_lstm(variant, x, h, c, kernel, recurrent_kernel, bias, mask=None, recurrent_mask=1.0):
    """The variants of Levy et al. (2018). Columns are in the order i, f, content, o.

    Returns:
        Outputs (batch, time, units), and the last h and c.
    """
    units = h.shape[1]
    columns = {
        "lstm": ("ifco", "ifco", "ifco"),
        "-srnn": ("ifco", "ifo", "ifo"),
        "-srnn-out": ("ifc", "if", "if"),
        "-srnn-hidden": ("ifco", "", "ifo"),
        "-gates": ("c", "c", "c"),
    }[variant]

    def column(weights, which, part):
        start = columns[which].index(part) * units
        return weights[..., start : start + units]

    outputs = []
    for t in range(x.shape[1]):

        def from_x(part, t=t):
            return x[:, t] @ column(kernel, 0, part)

        def full(part, h=h, from_x=from_x):
            return from_x(part) + (h * recurrent_mask) @ column(recurrent_kernel, 1, part) + column(bias, 2, part)

        if variant == "lstm":
            new_c = sigmoid(full("f")) * c + sigmoid(full("i")) * np.tanh(full("c"))
            new_h = sigmoid(full("o")) * np.tanh(new_c)
        elif variant == "-srnn":
            new_c = sigmoid(full("f")) * c + sigmoid(full("i")) * from_x("c")
            new_h = sigmoid(full("o")) * np.tanh(new_c)
        elif variant == "-srnn-out":
            new_c = sigmoid(full("f")) * c + sigmoid(full("i")) * from_x("c")
            new_h = new_c
        elif variant == "-srnn-hidden":
            i, f, o = (sigmoid(from_x(part) + column(bias, 2, part)) for part in "ifo")
            new_c = f * c + i * from_x("c")
            new_h = o * np.tanh(new_c)
        else:
            new_c = new_h = np.tanh(full("c"))
        if mask is not None:
            new_h, new_c = (np.where(mask[:, t, None], new, old) for new, old in ((new_h, h), (new_c, c)))
        h, c = new_h, new_c
        outputs.append(h)
    return np.stack(outputs, axis=1), h, c


def gru(x, h, kernel, recurrent_kernel, bias, mask=None, recurrent_mask=1.0, reset_after=True, **options):
    """Runs a GRU, with columns in the order z, r, n. With `reset_after`, inputs and state have a bias each.

    Returns:
        Outputs (batch, time, units), and the last h.
    """
    inputs_bias, state_bias = bias if reset_after else (bias, np.zeros_like(bias))
    w_z, w_r, w_n = np.split(kernel, 3, axis=1)
    u_z, u_r, u_n = np.split(recurrent_kernel, 3, axis=1)
    b_z, b_r, b_n = np.split(inputs_bias, 3)
    c_z, c_r, c_n = np.split(state_bias, 3)

    def step(x, state):
        (h,) = state
        seen = h * recurrent_mask
        z = sigmoid(x @ w_z + b_z + seen @ u_z + c_z)
        r = sigmoid(x @ w_r + b_r + seen @ u_r + c_r)
        inner = r * (seen @ u_n + c_n) if reset_after else (r * seen) @ u_n
        return (z * h + (1 - z) * np.tanh(x @ w_n + b_n + inner),)

    return _run(step, x, (h,), mask, **options)


def mogrifier(x, h, c, kernel, recurrent_kernel, bias, *matrices, mask=None, recurrent_mask=1.0, **options):
    """Runs a Mogrifier LSTM, with gates in the order i, f, c, o. `matrices` are Q1, R2, Q3, R4, ...

    Returns:
        Outputs (batch, time, units), and the last h and c.
    """

    def step(x, state):
        h, c = state
        h = h * recurrent_mask
        for number, matrix in enumerate(matrices, start=1):
            if number % 2 == 1:
                x = 2 * sigmoid(h @ matrix) * x
            else:
                h = 2 * sigmoid(x @ matrix) * h
        i, f, g, o = np.split(x @ kernel + h @ recurrent_kernel + bias, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c

    return _run(step, x, (h, c), mask, **options)


def qrnn(x, h, c, *others, mask=None, stays=None, **options):
    """Runs a QRNN, with columns in the order z, f, o. `others` are kernel and bias, after the previous input if the
    window is 2.

    Returns:
        Outputs (batch, time, units), the last h and c, and the last input, if the window is 2.
    """
    *before, kernel, bias = others
    units = c.shape[1]
    times = iter(range(x.shape[1]))

    def step(x, state):
        _, c, *before = state
        t = next(times)
        projected = np.concatenate([*before, x], axis=1) @ kernel + bias
        z, f, *o = np.split(projected, projected.shape[1] // units, axis=1)
        moved = sigmoid(f) * c + (1 - sigmoid(f)) * np.tanh(z)
        c = moved if stays is None else np.where(stays[:, t], c, moved)
        return (sigmoid(o[0]) * c if o else c, c, *([x] if before else []))

    return _run(step, x, (h, c, *before), mask, **options)


def _run(step, x, state, mask=None, zero_output_for_mask=False):
    """The outputs of all steps (the first part of each state, h), and the last state."""
    outputs = []
    for t in range(x.shape[1]):
        new = step(x[:, t], state)
        counts = np.ones((len(x), 1), bool) if mask is None else mask[:, t, None]
        state = tuple(np.where(counts, each, old) for each, old in zip(new, state, strict=True))
        outputs.append(np.where(counts, state[0], 0) if zero_output_for_mask else state[0])
    return np.stack(outputs, axis=1), *state


def differences(function, arrays):
    """The gradients of a function of arrays, by finite differences, in float64."""
    arrays = [np.array(array, "float64") for array in arrays]
    gradients = []
    for array in arrays:
        gradient = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            value = array[index]
            array[index] = value + 1e-6
            above = function(*arrays)
            array[index] = value - 1e-6
            gradient[index] = (above - function(*arrays)) / 2e-6
            array[index] = value
        gradients.append(gradient)
    return gradients


def lstm_gradients(x, kernel, recurrent_kernel, saved, d_outputs):
    """The gradients of the inputs, the two kernels and the bias, without that of the initial state."""
    d_x = np.zeros_like(x)
    d_kernel, d_recurrent = np.zeros_like(kernel), np.zeros_like(recurrent_kernel)
    d_bias = np.zeros(kernel.shape[1])
    d_h = np.zeros_like(d_outputs[:, 0])
    d_c = np.zeros_like(d_h)
    for t in reversed(range(x.shape[1])):
        h, c, i, f, g, o, new_c = saved[t]
        d_h = d_h + d_outputs[:, t]
        d_c = d_c + d_h * o * (1 - np.tanh(new_c) ** 2)
        d_z = np.concatenate(
            [
                d_c * g * i * (1 - i),
                d_c * c * f * (1 - f),
                d_c * i * (1 - g**2),
                d_h * np.tanh(new_c) * o * (1 - o),
            ],
            axis=-1,
        )
        d_kernel += x[:, t].T @ d_z
        d_recurrent += h.T @ d_z
        d_bias += d_z.sum(axis=0)
        d_x[:, t] = d_z @ kernel.T
        d_h, d_c = d_z @ recurrent_kernel.T, d_c * f
    return d_x, d_kernel, d_recurrent, d_bias


class AWDLSTM:
    """The language model without masks: carried state, tied weights, AR and TAR, and all gradients.

    `weights` are in the order of `awd_keras.models.AWDLSTM.trainable_variables`: the embeddings, the output bias, then
    kernel, recurrent kernel and bias of each LSTM.
    """

    def __init__(self, weights, batch_size, alpha=0.0, beta=0.0):
        self.weights = [np.asarray(w, "float64") for w in weights]
        self.alpha, self.beta = alpha, beta
        self.state = [
            [np.zeros((batch_size, u.shape[0])), np.zeros((batch_size, u.shape[0]))] for u in self.weights[3::3]
        ]

    def forward(self, ids):
        embeddings, bias = self.weights[:2]
        inputs, saved = [embeddings[ids]], []
        for layer, state in enumerate(self.state):
            kernels = self.weights[2 + 3 * layer : 5 + 3 * layer]
            outputs, *state[:], steps = lstm(inputs[-1], *state, *kernels)
            inputs.append(outputs)
            saved.append(steps)
        return inputs[-1] @ embeddings.T + bias, inputs, saved

    def loss_and_gradients(self, ids, targets):
        """The whole loss, the cross-entropy, and the gradients in the order of the weights."""
        logits, inputs, saved = self.forward(ids)
        h = inputs[-1]
        count = targets.size
        log_p = log_softmax(logits)
        cross_entropy = -np.take_along_axis(log_p, targets[..., None], axis=-1).sum() / count
        jumps = h[:, 1:] - h[:, :-1]
        ar = self.alpha * np.mean(h**2)
        tar = self.beta * np.mean(jumps**2) if jumps.size else 0.0

        d_logits = np.exp(log_p)
        np.put_along_axis(
            d_logits,
            targets[..., None],
            np.take_along_axis(d_logits, targets[..., None], axis=-1) - 1,
            axis=-1,
        )
        d_logits /= count
        embeddings = self.weights[0]
        d_embeddings = np.einsum("btv,btd->vd", d_logits, h)
        d_h = d_logits @ embeddings + 2 * self.alpha * h / h.size
        if jumps.size:
            d_jumps = 2 * self.beta * jumps / jumps.size
            d_h[:, 1:] += d_jumps
            d_h[:, :-1] -= d_jumps
        layers = []
        for layer in reversed(range(len(saved))):
            kernel, recurrent_kernel, _ = self.weights[2 + 3 * layer : 5 + 3 * layer]
            d_h, *d_weights = lstm_gradients(inputs[layer], kernel, recurrent_kernel, saved[layer], d_h)
            layers = d_weights + layers
        np.add.at(d_embeddings, ids, d_h)
        loss = cross_entropy + ar + tar
        return loss, cross_entropy, [d_embeddings, d_logits.sum(axis=(0, 1)), *layers]
