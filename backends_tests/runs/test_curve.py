"""The picture of a run."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from awd_keras.runs.recording import draw_curve

pytestmark = pytest.mark.once


def lines(perplexities, averaging=False):
    return [
        {"epoch": k + 1, "train_perplexity": p, "valid_perplexity": 1.1 * p, "averaging": averaging}
        for k, p in enumerate(perplexities)
    ]


@pytest.mark.parametrize(("averaging", "marked"), [([True, True], []), ([False, True], [2]), ([False, False], [])])
def test_it_marks_no_epoch_if_all_are_averaged(tmp_path, monkeypatch, averaging, marked):
    found = []
    monkeypatch.setattr(Axes, "axvline", lambda axes, x, **kwargs: found.append(x))
    epochs = [{**line, "averaging": value} for line, value in zip(lines([9.0, 9.0]), averaging, strict=True)]
    draw_curve(epochs, tmp_path / "curve.png")
    assert found == marked


@pytest.mark.parametrize("epochs", [1, 4, 60, 500])
def test_its_axes_have_plain_numbers(tmp_path, monkeypatch, epochs):
    found = {}
    save = Figure.savefig

    def look(figure, *arguments, **settings):
        save(figure, *arguments, **settings)
        (axes,) = figure.axes
        for axis in (axes.xaxis, axes.yaxis):
            start, end = sorted(axis.get_view_interval())
            shown = [tick.label1.get_text() for tick in axis.get_major_ticks() if start <= tick.get_loc() <= end]
            shown += [tick.label1.get_text() for tick in axis.get_minor_ticks() if start <= tick.get_loc() <= end]
            found[axis.axis_name] = [label for label in shown if label]

    monkeypatch.setattr(Figure, "savefig", look)
    draw_curve(lines(60 + 640 * np.exp(-5 * np.arange(epochs) / epochs)), tmp_path / "curve.png")
    for labels in found.values():
        assert all(label.isdigit() for label in labels), labels
    assert len(found["x"]) >= min(epochs, 3)
    assert len(found["y"]) >= 3
