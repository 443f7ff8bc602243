"""Our modules that use TensorRT, found in the sources, and every `trt.…` name that they mention.

    for module in tensorrt_modules(): chains(module.tree, module.alias)

The contract tests must refuse every copy with a misspelt name.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from kept import ROOT
from trt_bindings import Api

PACKAGES = (
    ROOT / "resnet_serve",
    ROOT / "convert" / "resnet_convert",
    ROOT / "clients" / "python" / "resnet_client",
)


@dataclass(frozen=True)
class Module:
    """A source file that imports tensorrt as `alias`."""

    path: Path
    alias: str

    @property
    def source(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT))


@dataclass(frozen=True)
class Access:
    """`receiver.attribute`, for a receiver that is not the tensorrt module: its number and name."""

    number: int
    attribute: str
    line: int


def tensorrt_modules(package: str = "tensorrt") -> list[Module]:
    """Every module of ours that imports tensorrt, by statement or by `optional`; or its sibling."""
    found = []
    for path in sorted(path for folder in PACKAGES for path in folder.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        alias = tensorrt_alias(text, package) if package in text else None
        if alias is not None:
            found.append(Module(path, alias))
    return found


def tensorrt_alias(source: str, package: str = "tensorrt") -> str | None:
    """The name that a source gives the tensorrt module; None where it does not import it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for name in node.names:
                if name.name == package:
                    return name.asname or name.name
        elif isinstance(node, ast.ImportFrom) and node.module == package:
            raise ValueError(
                f"line {node.lineno}: write `import tensorrt as trt`, which is checked"
            )
        elif isinstance(node, ast.Assign) and ast.unparse(node.value).startswith(
            f"optional('{package}'"
        ):
            return ast.unparse(node.targets[0])
    return None


def chains(tree: ast.Module, alias: str) -> list[str]:
    """Every dotted name below `alias`, whole, annotations included: `BuilderFlag.TF32`."""
    return [".".join(_below(node, alias) or ()) for node in _chain_nodes(tree, alias)]


def dynamic_names(tree: ast.Module, alias: str) -> list[str]:
    """Names of TensorRT that only a run would know: `getattr(trt.BuilderFlag, flag)`."""
    return [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("getattr", "setattr", "hasattr", "operator.attrgetter")
        and node.args
        and ast.unparse(node.args[0]).removeprefix("self._").partition(".")[0] in (alias, "library")
    ]


def unknown(chain: str, api: Api) -> str | None:
    """The part of a chain that the bindings do not have; None when they have it all.

    What follows a property or a function is a matter of its type, for mypy.
    """
    first, *rest = chain.split(".")
    if first not in api.names():
        return first
    if first == "__version__":
        return None if not rest or hasattr(str, rest[0]) else chain
    where: str | None = first if first in api.classes else _class_of(api.values.get(first))
    for index, name in enumerate(rest):
        if where is None or (name == "__init__" and api.classes[where].constructors):
            return None
        try:
            owner = api.member(where, name)
        except KeyError:
            return ".".join([first, *rest[: index + 1]])
        where = owner.nested.get(name) or (owner.name if name in owner.enum else None)
    return None


def _class_of(value: tuple[str, int | None] | None) -> str | None:
    return None if value is None else value[0].removeprefix("trt.")


def misspell(name: str) -> str:
    """The name with its last two letters swapped, or doubled where they are the same."""
    swapped = name[:-2] + name[-1] + name[-2]
    return swapped if swapped != name else name + name[-1]


def with_misspelt_chain(source: str, alias: str, name: str) -> str:
    """A copy of the source in which the chain `name` ends wrongly, everywhere."""
    tree = ast.parse(source)
    for node in _chain_nodes(tree, alias):
        if ".".join(_below(node, alias) or ()) == name:
            node.attr = misspell(node.attr)
    return ast.unparse(tree)


def accesses(source: str, alias: str) -> list[Access]:
    """Every attribute taken from anything but the module, in one order; annotations left out."""
    return [
        Access(number, node.attr, node.lineno)
        for number, node in enumerate(_access_nodes(ast.parse(source), alias))
    ]


def with_misspelt_access(source: str, alias: str, access: Access) -> str:
    """A copy of the source in which this one attribute is misspelt."""
    tree = ast.parse(source)
    node = _access_nodes(tree, alias)[access.number]
    node.attr = misspell(node.attr)
    return ast.unparse(tree)


def _chain_nodes(tree: ast.Module, alias: str) -> list[ast.Attribute]:
    found = []
    inner: set[int] = set()
    for node in ast.walk(tree):  # breadth first: the longest chain of a place comes first
        if isinstance(node, ast.Attribute) and _below(node, alias):
            if id(node) not in inner:
                found.append(node)
            inner.add(id(node.value))
    return found


def _access_nodes(tree: ast.Module, alias: str) -> list[ast.Attribute]:
    typing_only = {
        id(part)
        for node in ast.walk(tree)
        for field in ("annotation", "returns", "bases", "decorator_list")
        for root in _listed(getattr(node, field, None))
        for part in ast.walk(root)
    }
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and id(node) not in typing_only
        and not _below(node, alias)
        and ast.unparse(node.value) != "super()"
    ]


def _below(node: ast.Attribute, alias: str) -> list[str]:
    """The names below the module; [] for an attribute of something else.

    Code that is for both flavours has the module as `library`, or as an attribute of that name.
    """
    parts = _parts(node)
    for root in ([alias], ["library"], ["self", "_library"]):
        if parts[: len(root)] == root:
            return parts[len(root) :]
    return []


def _listed(value: ast.AST | list[ast.AST] | None) -> list[ast.AST]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _parts(node: ast.expr) -> list[str]:
    """The names of `a.b.c`; [""] for what is taken from an expression that is no name."""
    if isinstance(node, ast.Attribute):
        inner = _parts(node.value)
        return [*inner, node.attr] if inner != [""] else inner
    return [node.id] if isinstance(node, ast.Name) else [""]
