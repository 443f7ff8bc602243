"""Our sources as the layout tests see them: files, dotted names, imports and definitions.

The files are found when the tests run, so that a new module is held to the rules at once.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "resnet_serve": ROOT / "resnet_serve",
    "resnet_convert": ROOT / "convert" / "resnet_convert",
    "resnet_client": ROOT / "clients" / "python" / "resnet_client",
}
SOURCES = sorted(path for folder in PACKAGES.values() for path in folder.rglob("*.py"))
SCRIPTS = sorted(
    path for name in ("examples", "benchmarks") for path in (ROOT / name).rglob("*.py")
)
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def shown(path: Path) -> str:
    """The path from the root of the repository."""
    return path.relative_to(ROOT).as_posix()


def package_of(path: Path) -> str:
    """The name of the package that a source belongs to."""
    return next(name for name, folder in PACKAGES.items() if path.is_relative_to(folder))


def module_name(path: Path) -> str:
    """The dotted name; of a package, that of its `__init__`, so that its parent is the package."""
    name = package_of(path)
    return ".".join((name, *path.relative_to(PACKAGES[name]).with_suffix("").parts))


@dataclass(frozen=True)
class Import:
    """`module` is dotted and complete: `from a import b` is `a.b`."""

    module: str
    line: int
    for_types_only: bool

    def within(self, package: str) -> bool:
        """Whether it is the package or something in it."""
        return self.module == package or self.module.startswith(f"{package}.")


def imports(source: str, package: str) -> Iterator[Import]:
    """Every import of a module: statements, `optional("…")` and `import_module("…")`."""
    tree = ast.parse(source)
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for statement in block.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(parents if node.level else []), *filter(None, [node.module])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and node.args:
            function = ast.unparse(node.func).rpartition(".")[2]
            argument = node.args[0]
            if function in ("optional", "import_module", "__import__") and isinstance(
                argument, ast.Constant
            ):
                names = [str(argument.value)]
        for name in names:
            yield Import(name, getattr(node, "lineno", 0), id(node) in typing_only)


@cache
def imports_of(path: Path) -> tuple[Import, ...]:
    """The imports of one source."""
    package = module_name(path).rpartition(".")[0]
    return tuple(imports(path.read_text(encoding="utf-8"), package))


@cache
def graph(package: str) -> Mapping[str, frozenset[str]]:
    """Which modules of a package import which others of it, also inside functions and for types.

    Dotted names without the package's own; a folder's `__init__` has the name of the folder, and
    the `__init__` of the package itself is left out: it only passes names on.
    """
    paths = {_inside(path): path for path in SOURCES if package_of(path) == package}
    edges = {}
    for name, path in paths.items():
        wanted = {_known(each.module, package, paths) for each in imports_of(path)}
        edges[name] = frozenset(wanted - {name, ""})
    edges.pop("")
    return edges


def _inside(path: Path) -> str:
    return module_name(path).removesuffix(".__init__").partition(".")[2]


def _known(module: str, package: str, known: Iterable[str]) -> str:
    """The module that an import reaches: `a.b.name` is `a.b` unless it is a module itself."""
    head, _, inside = module.partition(".")
    if head != package:
        return ""
    return inside if inside in known else inside.rpartition(".")[0]


def folders(edges: Mapping[str, frozenset[str]]) -> Mapping[str, frozenset[str]]:
    """The same between the folders and the modules beside them, at the top of a package."""
    found: dict[str, set[str]] = {}
    for name, wanted in edges.items():
        here = name.partition(".")[0]
        found.setdefault(here, set()).update(each.partition(".")[0] for each in wanted)
    return {here: frozenset(wanted - {here}) for here, wanted in found.items()}


def longest_path(edges: Mapping[str, frozenset[str]]) -> list[str]:
    """The longest chain of imports, from the top down; raises `ValueError` with a cycle."""
    below: dict[str, list[str]] = {}

    def path(name: str, above: tuple[str, ...]) -> list[str]:
        if name in above:
            raise ValueError(" → ".join((*above[above.index(name) :], name)))
        if name not in below:
            chains = [path(each, (*above, name)) for each in sorted(edges.get(name, ()))]
            below[name] = [name, *max(chains, key=len, default=[])]
        return below[name]

    return max((path(name, ()) for name in sorted(edges)), key=len)


def undocumented(path: Path) -> Iterator[str]:
    """Public functions, classes and methods of a source without a docstring: `file:line name`."""

    def look(body: Iterable[ast.stmt], prefix: str) -> Iterator[str]:
        for node in body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            if node.name.startswith("_") or _is_overload(node):
                continue
            if not ast.get_docstring(node):
                yield f"{shown(path)}:{node.lineno} {prefix}{node.name}"
            if isinstance(node, ast.ClassDef):
                yield from look(node.body, f"{node.name}.")

    yield from look(ast.parse(path.read_text(encoding="utf-8")).body, "")


def _is_overload(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    return any(ast.unparse(each).endswith(("overload", ".setter")) for each in node.decorator_list)
