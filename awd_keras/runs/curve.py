"""The picture of a run."""


def draw_curve(lines: list[dict], path) -> None:
    """Draws perplexity by epoch as a PNG file; a dashed line marks the epoch in which averaging began, if one did.

    Args:
        lines: a run's metrics, an epoch each.
        path: the file to write.
    """
    # Imported here: drawing is an extra, and a Figure needs no display.
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter

    epochs = [line["epoch"] for line in lines]
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    marker = "." if len(lines) < 100 else None
    for name, label in (("train_perplexity", "training"), ("valid_perplexity", "validation")):
        axes.plot(epochs, [line[name] for line in lines], marker=marker, label=label)
    averaged = [line["epoch"] for line in lines if line["averaging"]]
    if 0 < len(averaged) < len(lines):
        axes.axvline(averaged[0], color="grey", linestyle="--", label="averaging begins")
    axes.set_xlabel("epoch")
    axes.set_ylabel("perplexity")
    axes.set_yscale("log")
    # Plain numbers, between the powers of ten too.
    axes.yaxis.set_major_formatter(LogFormatter())
    axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.4)))
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    figure.savefig(path, dpi=120)
