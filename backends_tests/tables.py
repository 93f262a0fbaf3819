"""Reads the tables of a page."""


def rows_of(markdown):
    """The cells of each row of all tables, also of headings, without surrounding spaces."""
    lines = [line for line in markdown.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines]
