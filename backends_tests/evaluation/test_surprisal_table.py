import re
from html.parser import HTMLParser

import numpy as np
import pytest

from awd_keras.evaluation import SurprisalTable, WordCost, WordSurprisal

pytestmark = pytest.mark.once

TEXT = ["<eos>", "a", "<b>b</b>", "&", '"a"', "'&lt;'", "<script>", "a", "<eos>", "b", "</div>", "é", "<eos>"]
BITS = [0.0, 2.4, 2.5, 4.9, 5.0, 7.4, 7.5, 9.9, 10.0, 30.0, 1.0, 5.5, 8.0]
LEVELS = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 0, 2, 3]
LEGEND = [
    "0.0 to 2.5 bits",
    "2.5 to 5.0 bits",
    "5.0 to 7.5 bits",
    "7.5 to 10.0 bits",
    "10.0 or more: no better than an even guess",
]


@pytest.fixture
def table():
    return SurprisalTable(TEXT, BITS, even_guess=10.0)


def test_is_a_list_of_words(table):
    assert len(table) == 13
    assert list(table) == [WordSurprisal(word, bits) for word, bits in zip(TEXT, BITS, strict=True)]
    assert table.total_bits == pytest.approx(sum(BITS))
    assert table.bits_per_word == pytest.approx(sum(BITS) / 13)
    assert str(table).splitlines()[:3] == ["   bits  word", "   0.00  <eos>", "   2.40  a"]
    assert str(table).count("\n") == 13
    assert repr(table) == "SurprisalTable(13 words, 94.10 bits)"


def test_worst(table):
    assert table.worst(3) == [
        WordCost("b", 1, 30.0, 30.0),
        WordCost("<eos>", 3, 18.0, 6.0),
        WordCost("a", 2, pytest.approx(12.3), pytest.approx(6.15)),
    ]
    costs = table.worst(100)
    assert len(costs) == len(set(TEXT))
    assert sum(cost.occurrences for cost in costs) == 13
    assert sum(cost.total_bits for cost in costs) == pytest.approx(table.total_bits)
    with pytest.raises(ValueError, match="`count` must be a positive integer.*0"):
        table.worst(0)


def test_bits_may_be_any_iterable():
    assert SurprisalTable(["a", "b"], iter([1.0, 2.0]), even_guess=1.0).bits.tolist() == [1.0, 2.0]


def test_as_many_bits_as_words():
    with pytest.raises(ValueError, match=r"for each of the 2 words.*\(3,\)"):
        SurprisalTable(["a", "b"], [1.0, 2.0, 3.0], even_guess=1.0)


class Parsed(HTMLParser):
    """Collects each element's tag, attributes and text. Raises if elements aren't closed in order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.open = [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append([tag, dict(attributes), ""])
        if tag != "br":
            self.open.append(self.elements[-1])

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        self.open[-1][2] += data


def test_html_holds_every_word_as_text(table):
    elements = Parsed(table.html()).elements
    assert {tag for tag, _, _ in elements} == {"div", "p", "span", "br"}
    spans = [(attributes, text) for tag, attributes, text in elements if tag == "span"]
    assert [text for _, text in spans[:5]] == LEGEND
    assert [text for _, text in spans[5:]] == TEXT
    assert [attributes["title"] for attributes, _ in spans[5:]] == [f"{bits:.2f} bits" for bits in BITS]
    styles = [attributes.get("style") for attributes, _ in spans]
    assert styles[0] is None
    assert len(set(styles[:5])) == 5
    assert [styles[:5].index(style) for style in styles[5:]] == LEVELS
    assert ["underline" in (style or "") for style in styles[:5]] == [False] * 4 + [True]
    # Each line of the text is a line of the page.
    assert sum(tag == "br" for tag, _, _ in elements) == TEXT.count("<eos>")
    assert table._repr_html_() == table.html()


def runs(text):
    """Pairs of a style's codes and the text with this style."""
    pieces = re.split("\x1b\\[([0-9;]*)m", text)
    return [("0", pieces[0]), *zip(pieces[1::2], pieces[2::2], strict=True)]


def test_ansi_has_the_same_levels(table):
    legend, empty, *lines = table.ansi().split("\n")
    assert empty == ""
    assert re.sub("\x1b.*?m", "", legend) == "  ".join(LEGEND)
    assert [re.sub("\x1b.*?m", "", line) for line in lines] == [
        "<eos>",
        " ".join(TEXT[1:9]),
        " ".join(TEXT[9:]),
        "",
    ]
    by_level = [{text: codes for codes, text in runs(legend)}[text] for text in LEGEND[1:]]
    found = {text: codes for line in lines for codes, text in runs(line) if codes != "0"}
    for word, level in [("<b>b</b>", 1), ("&", 1), ('"a"', 2), ("<script>", 3), ("b", 4)]:
        assert found[word] == by_level[level - 1]
    # Every style is ended at the line's end.
    assert all(runs(line)[-1][0] == "0" for line in [legend, *lines])


def luminance(colour):
    parts = [part / 255 for part in colour]
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one, other):
    """The contrast as WCAG 2 defines it, which requires 4.5."""
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def of_256(number):
    """The colour with this number in a terminal's palette of 256 colours."""
    number -= 16
    return [0 if part == 0 else 55 + 40 * part for part in (number // 36, number // 6 % 6, number % 6)]


@pytest.mark.parametrize(("page", "letters"), [(255, 0), (255, 0x33), (0x11, 0xEE), (0x1E, 0xD4)])
def test_html_is_readable_on_light_and_dark_pages(table, page, letters):
    veils = [tuple(map(float, veil)) for veil in re.findall(r"rgba\((\d+), (\d+), (\d+), ([\d.]+)\)", table.html())]
    assert len(set(veils)) == 4
    grounds = [[page] * 3] + [[page * (1 - a) + part * a for part in colour] for *colour, a in dict.fromkeys(veils)]
    assert min(contrast(ground, [letters] * 3) for ground in grounds) >= 4.5
    # The levels can be told apart: each differs more from the page than the previous one.
    distances = [np.abs(np.subtract(ground, grounds[0])).sum() for ground in grounds]
    assert np.diff(distances).min() > 20


def test_ansi_is_readable_whatever_the_terminal_s_own_colours(table):
    styles = set(re.findall("\x1b\\[48;5;(\\d+);38;5;(\\d+)(;4)?m", table.ansi()))
    assert len(styles) == 4
    assert sum(bool(underlined) for *_, underlined in styles) == 1
    for ground, letters, _ in styles:
        assert contrast(of_256(int(ground)), of_256(int(letters))) >= 4.5


@pytest.mark.parametrize(
    ("terminal", "variables", "coloured"),
    [
        (True, {}, True),
        (True, {"NO_COLOR": ""}, True),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
        (False, {}, False),
    ],
)
def test_show(table, monkeypatch, capsys, terminal, variables, coloured):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    table.show()
    assert capsys.readouterr().out == (table.ansi() if coloured else str(table)) + "\n"
