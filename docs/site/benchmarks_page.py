"""The page of the benchmarks: what each measures, how to run it, its last results, its plots."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path


def page(root: Path) -> Iterator[str]:
    """The lines of the page; every benchmark that can be run and has results is on it."""
    yield "# Benchmarks"
    yield ""
    yield "Each is a script in `benchmarks/`; the files of its results hold the rows, the date, the"
    yield "host and the versions. Compare the ratios: the times are of that machine."
    for script in sorted((root / "benchmarks").glob("*.py")):
        text = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
        results = _latest(root, script.stem.replace("_", "-"))
        if results and "python benchmarks/" in text:
            yield from _section(script.stem.replace("_", " "), text, results)


def _latest(root: Path, name: str) -> list[str]:
    """The files of the newest date of this benchmark and its tasks, below the root."""
    pattern = re.compile(rf"{name}(-[a-z].*?)?-(\d{{4}}-\d\d-\d\d)")
    found: dict[str, dict[str, list[str]]] = {}
    for path in sorted((root / "benchmarks" / "results").glob(f"{name}-*")):
        match = pattern.match(path.name)
        if match is not None:
            dates = found.setdefault(match[1] or "", {})
            dates.setdefault(match[2], []).append(path.relative_to(root).as_posix())
    return [path for by_date in found.values() for path in by_date[max(by_date)]]


def _section(title: str, docstring: str, results: list[str]) -> Iterator[str]:
    first, _, rest = docstring.partition("\n\n")
    yield from ("", f"## {title.capitalize()}", "", first, "")
    for paragraph in rest.split("\n\n"):
        if paragraph.lstrip().startswith("python benchmarks/"):
            yield from ("```text", *(line.strip() for line in paragraph.splitlines()), "```", "")
        else:
            yield from (paragraph.replace("\n    ", "\n"), "")
    plots = [path for path in results if path.endswith(".svg")]
    for plot in plots:
        yield from (f"![{Path(plot).stem}]({plot})", "")
    links = (f"[{Path(each).name}]({each})" for each in results if each not in plots)
    yield "Results: " + ", ".join(links)
