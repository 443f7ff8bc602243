"""The map of the packages in CONTRIBUTING.md, written from the first lines of their docstrings.

python tests/support/tree_map.py
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from source_tree import PACKAGES, ROOT, shown

DOCUMENT = ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- map: written by `make map` -->\n", "<!-- end of the map -->"


def table() -> str:
    """A row per folder: its path, the first line of its docstring, and the modules in it."""
    rows = ["| folder | role | modules |", "|---|---|---|"]
    for package in PACKAGES.values():
        for init in sorted(package.rglob("__init__.py")):
            folder = init.parent
            text = ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))) or ""
            modules = sorted(path.stem for path in folder.glob("*.py") if path != init)
            names = ", ".join(f"`{name}`" for name in modules)
            rows.append(f"| `{shown(folder)}/` | {text.partition(chr(10))[0]} | {names} |")
    return "\n".join(rows)


def updated(text: str) -> str:
    """The document with the map of today between its markers."""
    pattern = f"{re.escape(BEGIN)}.*{re.escape(END)}"
    return re.sub(pattern, lambda _: f"{BEGIN}\n{table()}\n\n{END}", text, flags=re.DOTALL)


def main() -> None:
    """Rewrite CONTRIBUTING.md in place."""
    path = Path(DOCUMENT)
    path.write_text(updated(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
