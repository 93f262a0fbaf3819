"""Draws the pictures of the guides into its own folder: `python docs/pictures/make.py`."""

import json
from pathlib import Path

import matplotlib
import numpy as np
from awd_keras.data import BPTTDataset
from awd_keras.layers import LockedDropout
from keras import ops

matplotlib.use("agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent
TEAL, GREY, RED = "#00796b", "#90a4ae", "#c62828"
plt.rcParams.update(
    {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}
)


def save(figure, name):
    figure.savefig(HERE / f"{name}.png", dpi=120, bbox_inches="tight")
    plt.close(figure)


def architecture():
    """The layers of `AWDLSTM` from bottom to top, and which part of AWD-LSTM acts on each."""
    layers = [
        ("EmbeddingDropout", "drops whole words"),
        ("LockedDropout", "one mask for all time steps"),
        ("WeightDropLSTM", "drops recurrent weights"),
        ("LockedDropout", "between the LSTMs"),
        ("WeightDropLSTM", "the same; TAR on its output"),
        ("LockedDropout", "AR on its output"),
        ("logits", "the embedding's table again, and a bias"),
    ]
    figure, axes = plt.subplots(figsize=(6.4, 4.8))
    for row, (name, remark) in enumerate(layers):
        lstm = "LSTM" in name
        axes.add_patch(
            plt.Rectangle(
                (-0.35, row),
                3.7,
                0.64,
                facecolor=TEAL if lstm else "#e0f2f1",
                edgecolor=TEAL,
            )
        )
        axes.text(
            1.5,
            row + 0.32,
            name,
            ha="center",
            va="center",
            color="white" if lstm else "black",
        )
        axes.text(3.5, row + 0.32, remark, va="center")
        if row:
            axes.annotate(
                "",
                (1.5, row),
                (1.5, row - 0.36),
                arrowprops={"arrowstyle": "->", "color": GREY},
            )
    axes.text(1.5, -0.4, "words", ha="center", va="center")
    arrow = {"arrowstyle": "<->", "color": RED, "connectionstyle": "arc3,rad=-0.35"}
    axes.annotate("", (-0.4, 6.32), (-0.4, 0.32), arrowprops=arrow)
    axes.text(
        -3.0, 3.3, "one table\n(weight tying)", ha="center", va="center", color=RED
    )
    axes.set(xlim=(-4.3, 8), ylim=(-0.7, 6.9))
    axes.axis("off")
    save(figure, "architecture")


def masks():
    """A mask of 16 features over 24 time steps: Dropout's and LockedDropout's."""
    rng = np.random.default_rng(0)
    ordinary = rng.random((16, 24)) > 0.4
    ones = np.ones((1, 24, 16), "float32")
    locked = (
        ops.convert_to_numpy(LockedDropout(0.4, seed=3)(ones, training=True))[0].T > 0
    )
    figure, both = plt.subplots(1, 2, figsize=(7.2, 2.9), sharey=True)
    titles = (
        "keras.layers.Dropout: a new mask a step",
        "LockedDropout: one mask for all steps",
    )
    for axes, kept, title in zip(both, (ordinary, locked), titles, strict=True):
        axes.imshow(
            kept,
            cmap=matplotlib.colors.ListedColormap(["white", TEAL]),
            aspect="auto",
            vmin=0,
            vmax=1,
        )
        axes.set_title(title, fontsize=10)
        axes.set(xlabel="time step", xticks=[0, 10, 20], yticks=[])
        for side in ("top", "right"):
            axes.spines[side].set_visible(True)
    both[0].set_ylabel("feature (white: dropped)")
    save(figure, "masks")


def window_lengths():
    """The lengths of an epoch's windows in their order, and how often each comes in 200 epochs."""
    dataset = BPTTDataset(np.zeros(20 * 14_000, "int32"), batch_size=20, bptt=70)
    epoch = dataset.window_lengths(0)
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(7.2, 2.7), width_ratios=(2, 1), sharey=True
    )
    left.bar(range(len(epoch)), epoch, width=1, color=TEAL)
    left.set(xlabel="window of the first epoch", ylabel="tokens", xlim=(0, len(epoch)))
    every = np.concatenate([dataset.window_lengths(number) for number in range(200)])
    right.hist(every, bins=range(95), orientation="horizontal", color=TEAL)
    right.set(xlabel="windows in 200 epochs")
    save(figure, "window_lengths")


def trigger():
    """The validation perplexity of a real run, and where averaging begins."""
    runs = json.loads(
        (HERE / "../results/against_keras/small.json").read_text(encoding="utf-8")
    )
    run = runs["awd-lstm"]["seed-0"]
    valid, interval = run["curves"]["valid"], run["settings"]["interval"]
    begins = next(
        k
        for k in range(interval + 1, len(valid))
        if valid[k] > min(valid[: k - interval])
    )
    epochs = np.arange(1, len(valid) + 1)
    figure, axes = plt.subplots(figsize=(6.4, 3.2))
    axes.plot(epochs[: begins + 1], valid[: begins + 1], color=GREY, label="SGD")
    axes.plot(
        epochs[begins:], valid[begins:], color=TEAL, label="average of the iterates"
    )
    axes.plot(epochs[begins], valid[begins], "o", color=RED)
    axes.annotate(
        f"epoch {epochs[begins]}: worse than the best\nof all epochs but the last {interval}",
        (epochs[begins], valid[begins]),
        (epochs[begins] - 8, valid[begins] + 45),
        arrowprops={"arrowstyle": "->", "color": RED},
    )
    axes.set(xlabel="epoch", ylabel="valid perplexity (log axis)", yscale="log")
    ticks = [70, 80, 100, 150, 200]
    axes.set_yticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.legend(frameon=False)
    save(figure, "trigger")


def overfitting():
    """The validation loss of a classifier, with some of the parts and without."""
    runs = json.loads(
        (HERE / "../results/overfitting/overfitting.json").read_text(encoding="utf-8")
    )["runs"]
    figure, axes = plt.subplots(figsize=(6.4, 3.2))
    styles = {
        "LSTM": (RED, "-"),
        "LockedDropout": (TEAL, ":"),
        "WeightDropLSTM": (TEAL, "--"),
        "all three": (TEAL, "-"),
    }
    for name, (color, line) in styles.items():
        losses = np.mean([run["valid_loss"] for run in runs[name]], axis=0)
        axes.plot(np.arange(1, len(losses) + 1), losses, line, color=color, label=name)
    axes.set(xlabel="epoch", ylabel="valid loss", xticks=[1, 5, 10, 15, 20])
    axes.legend(frameon=False)
    save(figure, "overfitting")


if __name__ == "__main__":
    for draw in (architecture, masks, window_lengths, trigger, overfitting):
        draw()
