"""What a check found."""

from typing import NamedTuple


class Check(NamedTuple):
    """The outcome of one check.

    Attributes:
        name: what was checked.
        passed: whether it holds here.
        figure: what was measured.
        detail: what the figure is, and what it should be.
    """

    name: str
    passed: bool
    figure: str
    detail: str
