"""Tables in narrow terminals keep every word whole, whatever their cells are."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table
from rich.text import Text

from resnet_serve import console
from resnet_serve.console import narrow_table

HEADINGS = ("model", "version", "images\n/s", "concur-\nrency", "found", "")
ROW = ("clothes_int8", "1", "208.4", "16", "no GPU: engines cannot be built here", "untrained")


def example(rows: int = 2) -> Table:
    table = console.table("Deployed models", caption="the end")
    for heading in HEADINGS:
        table.add_column(heading)
    for _ in range(rows):
        table.add_row(*ROW[:-1], Text(ROW[-1], "yellow"))
    return table


def shown(table: Table, width: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a terminal of this width gets."""
    terminal = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    monkeypatch.setattr(console, "out", terminal)
    console.show(table)
    assert isinstance(terminal.file, io.StringIO)
    return terminal.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [200, 90, 80, 70, 60, 50, 40, 20])
def test_no_word_is_shortened_or_divided(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(example(), width, monkeypatch)
    text = " ".join(" ".join(lines).split())
    assert "…" not in text
    for word in " ".join(ROW).split():
        assert text.count(word) >= 2, (word, lines)


def test_a_table_that_fits_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(example(), 200, monkeypatch)
    assert sum(" ".join(ROW[:2]) in " ".join(line.split()) for line in lines) == 2
    assert lines[0].startswith("Deployed models")


def test_a_narrower_one_is_still_a_table_no_wider_than_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = shown(example(), 70, monkeypatch)
    assert max(map(len, lines)) <= 70
    assert any(set(line.strip()) == {"─"} for line in lines)


def test_rows_that_fit_nowhere_are_paragraphs_with_their_headings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = shown(example(1), 30, monkeypatch)
    assert lines[:2] == ["Deployed models", "clothes_int8"]
    assert lines[2] == (
        "  version 1 · images /s 208.4 · concurrency 16 · "
        "found no GPU: engines cannot be built here · untrained"
    )
    assert lines[3] == "the end"


def test_empty_cells_leave_no_heading(monkeypatch: pytest.MonkeyPatch) -> None:
    table = console.table()
    for heading in ("name", "what", "remedy"):
        table.add_column(heading)
    table.add_row("pillow", "a" * 12, "")
    assert shown(table, 25, monkeypatch) == ["pillow: what aaaaaaaaaaaa"]


def test_a_path_longer_than_half_a_line_may_be_divided() -> None:
    table = console.table()
    for heading in ("name", "found"):
        table.add_column(heading)
    table.add_row("tritonserver", "/a" * 60)
    terminal = Console(file=io.StringIO(), width=80)
    assert narrow_table.tighten(table, terminal)
    terminal.print(table)
    assert isinstance(terminal.file, io.StringIO)
    assert "".join(terminal.file.getvalue().split()).count("/a") == 60


NAMES = (
    "resnet20",
    "company-clothes-resnet50-int8",
    "classifier_of_the_newest_training_of_2026_v2",
)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", range(80, 121, 5))
def test_the_name_of_a_row_stays_whole_and_the_other_cells_are_continued(
    name: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name with its version is the first cell of a verification."""
    table = console.table()
    for heading in ("model", "", "verdict", "found", "what to do"):
        table.add_column(heading)
    found = "1.20.1 here, 1.22.0 in the passport: another release may choose other kernels"
    command = "resnet-convert --weights /some/long/path/of/a/checkpoint/resnet50-11ad3fa6.pth"
    remedy = f"serve it with onnxruntime 1.22.0, or prove it again with {command}"
    table.add_row(f"{name} 1", "onnxruntime", "differs", found, remedy)
    lines = shown(table, width, monkeypatch)
    assert sum(name in line for line in lines) == 1
    assert sum(f"{name} 1" in line for line in lines) == 1 or width < 110


def test_two_long_paths_of_a_row_have_a_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    table = console.table("Plan")
    for heading in ("stage", "what", "needs", "status"):
        table.add_column(heading)
    place = "runs/2026/11/clothes/resnet50/checkpoints/averaged/epoch-0090.pth"
    table.add_row("weights", f"resnet50, from {place}", place, "here")
    table.add_row("trace", "53 convolutions to ONNX", "torch", "here")
    assert shown(table, 100, monkeypatch) == [
        "Plan",
        "weights",
        f"  what resnet50, from {place}",
        f"  needs {place}",
        "  status here",
        "trace: what 53 convolutions to ONNX · needs torch · status here",
    ]


@pytest.mark.parametrize("width", [60, 40, 30])
def test_a_column_without_any_text_takes_no_part(width: int) -> None:
    table = console.table("Deployed models")
    for heading in ("model", "found", ""):
        table.add_column(heading)
    table.add_row("digits", "a few words that do not fit on one line of it", "")
    terminal = Console(file=io.StringIO(), width=width)
    assert narrow_table.tighten(table, terminal)
    terminal.print(table)
    assert isinstance(terminal.file, io.StringIO)
    assert "digits" in terminal.file.getvalue()


def test_a_first_column_without_any_text_does_not_divide_a_word_of_the_last() -> None:
    """Rich gives an empty column one place, and takes it from the other columns."""
    table = console.table()
    for heading in ("", "", "0 000000000000", ""):
        table.add_column(heading)
    table.add_row("", "00000000", "", "00000")
    terminal = Console(file=io.StringIO(), width=30)
    assert narrow_table.tighten(table, terminal)
    terminal.print(table)
    assert isinstance(terminal.file, io.StringIO)
    assert "00000" in terminal.file.getvalue().split()


words = st.text(st.characters(categories=["L", "N"], max_codepoint=0x17F), min_size=1, max_size=12)
cells = st.lists(words, max_size=6).map(" ".join)


@given(
    headings=st.tuples(cells, cells, cells, cells),
    rows=st.lists(st.tuples(cells, cells, cells, cells), min_size=1, max_size=4),
    width=st.integers(30, 120),
)
def test_every_word_of_any_table_is_printed_whole(
    headings: tuple[str, ...], rows: list[tuple[str, ...]], width: int
) -> None:
    table = console.table()
    for heading in headings:
        table.add_column(Text(heading))
    for row in rows:
        table.add_row(*map(Text, row))
    terminal = Console(file=io.StringIO(), width=width)
    if narrow_table.fits(table, terminal) or narrow_table.tighten(table, terminal):
        terminal.print(table)
    else:
        for paragraph in narrow_table.paragraphs(table, terminal):
            terminal.print(paragraph, soft_wrap=True)
    assert isinstance(terminal.file, io.StringIO)
    printed = set(terminal.file.getvalue().replace(":", " ").split())
    assert {word for row in rows for cell in row for word in cell.split()} <= printed
