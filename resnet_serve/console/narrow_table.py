"""Tables in a terminal that is narrower than they are: no word of theirs is ever shortened.

A table gets less space between its columns, and its cells are continued on the next line, between
words. The first column has the names of the rows: it is continued only where the others' words do
not fit otherwise. Where even single words do not fit, or a row has two long paths, each row becomes
a paragraph with the headings in it; there each cell of such a row has a line of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

UNBOUNDED = 4096  # columns where nobody's terminal is the limit


def fits(table: Table, console: Console) -> bool:
    """Whether every row is one line."""
    return console.measure(table, options=_unbounded(console)).maximum <= console.width


def tighten(table: Table, console: Console) -> bool:
    """Make a table narrower whose words fit; False where they do not, and nothing is changed.

    One path of a row may be divided; two would run into one another.
    """
    if any(_several_paths(cells, console) for _, *cells in _rows(table)):
        return False
    others = list(_widths(table, console))
    first = Measurement(others[0].maximum, others[0].maximum)
    for wanted, padding in product(([first, *others[1:]], others), (1, 0)):
        between = (1 + padding) * (len(wanted) - 1)
        space = console.width - between - sum(each.minimum for each in wanted)
        if space >= 0:
            table.padding, table.pad_edge, table.show_edge = (0, padding, 0, 0), False, False
            for column, width in zip(table.columns, _shared(wanted, space), strict=True):
                column.width, column.overflow = width, "fold"
            return True
    return False


def paragraphs(table: Table, console: Console) -> Iterator[Text]:
    """The rows: the first cell, and below it the others that are not empty, with their headings."""
    if table.title:
        yield _text(table.title, console)
    headings = [_on_one_line(_text(column.header, console)) for column in table.columns[1:]]
    for first, *cells in _rows(table):
        texts = [_text(cell, console) for cell in cells]
        told = [
            Text.assemble(f"{heading} " if heading else "", text)
            for heading, text in zip(headings, texts, strict=True)
            if text
        ]
        between = "\n  " if _several_paths(cells, console) else " · "
        parts = _text(first, console), Text(between).join(told)
        line = Text(": ").join(parts)
        yield line if _fits_whole(line, console) else Text("\n  ").join(parts)
    if table.caption:
        yield _text(table.caption, console)


def _widths(table: Table, console: Console) -> Iterator[Measurement]:
    """Of each column: its longest word, and its longest cell.

    A word that is longer than half a line, as a path, may be divided: it counts for a quarter, but
    not in the first column. An empty column counts for 1, as Rich prints it.
    """
    for number, column in enumerate(table.columns):
        cells = (column.header, *column.cells)
        found = [console.measure(cell, options=_unbounded(console)) for cell in cells]
        words = [
            console.width // 4 if number > 0 and _divides(each, console) else each.minimum
            for each in found
        ]
        yield Measurement(max(1, *words), max(1, *(each.maximum for each in found)))


def _rows(table: Table) -> Iterator[tuple[RenderableType, ...]]:
    return zip(*(column.cells for column in table.columns), strict=True)


def _divides(cell: Measurement, console: Console) -> bool:
    """Whether it has a word that is longer than half a line."""
    return cell.minimum > console.width // 2


def _several_paths(cells: Sequence[RenderableType], console: Console) -> bool:
    measured = (console.measure(cell, options=_unbounded(console)) for cell in cells)
    return sum(_divides(each, console) for each in measured) > 1


def _fits_whole(line: Text, console: Console) -> bool:
    return "\n" not in line.plain and line.cell_len <= console.width


def _shared(wanted: Sequence[Measurement], space: int) -> list[int]:
    """The width of each column, where so much is left beyond their longest words."""
    widths = [each.minimum for each in wanted]
    for _ in range(space):
        lacking = [each.maximum / max(1, width) for each, width in zip(wanted, widths, strict=True)]
        most = lacking.index(max(lacking))
        if widths[most] >= wanted[most].maximum:
            break
        widths[most] += 1
    return widths


def _on_one_line(heading: Text) -> str:
    """Without its breaks; a hyphen before one divides a word."""
    return heading.plain.replace("-\n", "").replace("\n", " ")


def _text(cell: object, console: Console) -> Text:
    return cell if isinstance(cell, Text) else console.render_str(str(cell), highlight=False)


def _unbounded(console: Console) -> ConsoleOptions:
    return console.options.update(max_width=UNBOUNDED)
