"""The pictures: what is drawn, and what is written."""

import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from awd_keras.analysis import Gates, Memory, plot_gates, plot_memory

pytestmark = pytest.mark.once

WORDS = ["the", "$x$ and $y$", "an_extraordinarily_long_word"]


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are drawn. Instead of the picture, which takes most of a second, only its format is written."""
    figures = []

    def savefig(self, path, **_):
        figures.append(self)
        path.write_text(path.suffix, encoding="utf-8")

    monkeypatch.setattr(Figure, "savefig", savefig)
    return figures


def memory(time):
    rng = np.random.default_rng(0)
    content = np.tril(np.ones((time, time)))[..., None] * rng.uniform(size=(2, time, time, 4))
    return Memory(content, rng.uniform(size=(2, time, 4)))


def gates(time, high=1.0):
    return Gates(*np.random.default_rng(0).uniform(0, high, size=(6, 2, time, 4)))


def texts(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_memory(drawn, tmp_path):
    plot_memory(memory(3), WORDS, tmp_path / "memory.png", row=1)
    axes = drawn[0].axes[0]
    image = axes.images[0].get_array()
    # A column is the word just read, a row the word in memory. Words that haven't been read are masked, not drawn as 0.
    np.testing.assert_array_equal(np.ma.getmaskarray(image), [[0, 0, 0], [1, 0, 0], [1, 1, 0]])
    expected = np.linalg.norm(memory(3).content[1], axis=-1).T / 2
    np.testing.assert_allclose(image.filled(0), expected)
    assert axes.images[0].norm.vmin == 0
    assert texts(axes.xaxis) == texts(axes.yaxis) == ["the", "$x$ and $y$", "an_extraordinaril…"]
    assert not any(label.get_parse_math() for label in axes.get_xticklabels() + axes.get_yticklabels())
    assert axes.child_axes[0].get_ylabel() == "weight, root mean square over units"
    # Reduced weights are drawn unchanged.
    reduced = Memory(np.sqrt(np.mean(memory(3).content ** 2, axis=-1)), memory(3).initial[..., 0])
    plot_memory(reduced, WORDS, tmp_path / "memory.svg", row=1)
    np.testing.assert_allclose(drawn[1].axes[0].images[0].get_array(), image)
    assert (tmp_path / "memory.svg").read_text() == ".svg"


@pytest.mark.parametrize(("time", "labels"), [(5, 5), (60, 60), (100, 50), (300, 60)])
def test_labels_have_room(time, labels, drawn, tmp_path):
    """Up to sixty words, each has a label, and all labels have room."""
    plot_memory(memory(time), [str(t) for t in range(time)], tmp_path / "memory.png")
    axes = drawn[0].axes[0]
    names = texts(axes.yaxis)
    assert len(names) == labels
    assert names == [str(t) for t in range(0, time, time // labels)]
    room = drawn[0].get_size_inches()[1] * 72 / labels  # in points
    assert axes.get_yticklabels()[0].get_fontsize() * 1.2 < room
    assert drawn[0].get_size_inches().max() <= 10


def test_gates(drawn, tmp_path):
    found = gates(3)
    plot_gates(found, WORDS, tmp_path / "gates.png", row=1)
    means, *maps = drawn[0].axes
    order = np.argsort(-found.f[1].mean(axis=0))
    for axes, line, name in zip(maps, means.lines, "fio", strict=True):
        values = getattr(found, name)[1]
        np.testing.assert_array_equal(axes.images[0].get_array(), values[:, order].T)
        assert (axes.images[0].norm.vmin, axes.images[0].norm.vmax) == (0, 1)
        np.testing.assert_allclose(line.get_ydata(), values.mean(axis=1))
    assert [line.get_label() for line in means.lines] == ["forget gate", "input gate", "output gate"]
    assert texts(maps[-1].xaxis) == ["the", "$x$ and $y$", "an_extraordinaril…"]
    # Gates that aren't sigmoids have their own scale.
    plot_gates(gates(3, high=7), WORDS, tmp_path / "gates.png")
    assert drawn[1].axes[1].images[0].norm.vmax > 5


@pytest.mark.parametrize(("plot", "make"), [(plot_memory, memory), (plot_gates, gates)])
def test_bad_arguments(plot, make, tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    with pytest.raises(ValueError, match=r"`words` must be a list of 3 words, one for each time step. Received"):
        plot(make(3), ["one", "two"], path)
    with pytest.raises(ValueError, match=r"`words` must be a list of 3 words, .* Received: words='abc'"):
        plot(make(3), "abc", path)
    with pytest.raises(ValueError, match=r"`row` must be in \[0, 2\), the batch. Received: row=2"):
        plot(make(3), WORDS, path, row=2)
    with pytest.raises(OSError, match="no_such_folder.*can't be written"):
        plot(make(3), WORDS, tmp_path / "no_such_folder" / "picture.png")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'needs matplotlib.* pip install "awd-keras\[plot\]"'):
        plot(make(3), WORDS, path)
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_is_there_stays_whole(tmp_path, monkeypatch):
    path = tmp_path / "memory.png"
    path.write_bytes(b"the old one")

    def full(self, path, **_):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full)
    with pytest.raises(OSError, match="memory.png can't be written: No space left on device"):
        plot_memory(memory(3), WORDS, path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["memory.png"]
    assert path.read_bytes() == b"the old one"
