"""What the documentation site has beside the pages in docs/: reference pages that are made from the
code, the documents of the source tree that pages link to, and the results of the benchmarks.

Hooks of MkDocs (https://www.mkdocs.org/user-guide/plugins/#events), named in mkdocs.yml.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import benchmarks_page
import commands_page
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "benchmarks" / "results"
OUTER = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
MADE: dict[str, Callable[[], Iterator[str]]] = {
    "commands.md": commands_page.page,
    "benchmarks.md": lambda: benchmarks_page.page(ROOT),
}
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages that are made and the outer files, under the paths that pages link to."""
    for name, page in MADE.items():
        files.append(File.generated(config, name, content="\n".join(page())))
    for name in OUTER:
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=text))
    for result in sorted(RESULTS.glob("*.*")):
        place = result.relative_to(ROOT).as_posix()
        files.append(File.generated(config, place, abs_src_path=str(result)))
    return files


def on_page_markdown(markdown: str, *, page: Any, files: Files, **_: Any) -> str:
    """Links that leave docs/ reach the copy in the site, or become the name of the file."""
    inside = {file.src_uri for file in files}
    outer = page.file.src_uri in OUTER

    def linked(match: re.Match[str]) -> str:
        image, text, target = match.groups()
        path, _, anchor = target.partition("#")
        if not path or ":" in path:
            return match[0]
        found = path.removeprefix("docs/") if outer else path.removeprefix("../")
        if found == "benchmarks/results":
            found = "benchmarks.md"
        if found in inside:
            return f"{image}[{text}]({found}{'#' + anchor if anchor else ''})"
        if not (ROOT / found).exists():
            return match[0]  # which MkDocs reports
        return text if text == found else f"{text} (`{found}`)"

    return _LINK.sub(linked, markdown)
