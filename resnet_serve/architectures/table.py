"""The table of the family in docs/family.md, written from the registry.

    python -m resnet_serve.architectures.table docs/family.md

The table is between two markers in the document, of which the first names its columns: fields of
the rows, counted multiply-adds (convolutions and classifier, in 10⁹) and published accuracies.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from resnet_serve import durable
from resnet_serve.architectures import ARCHITECTURES, Architecture, build
from resnet_serve.architectures.reported import REPORTED, Reported
from resnet_serve.errors import InputFileError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import torch
    from torch import nn
else:
    torch = optional("torch", extra="convert")
    nn = optional("torch.nn", extra="convert")

BEGIN = re.compile(r"<!-- family: ([^>]*) -->\n")
END = "<!-- end of the family -->"


def multiply_adds(row: Architecture) -> int:
    """Multiply-adds of one image at the row's size, in convolutions and the classifier."""
    total = 0

    def count(module: nn.Module, _: Any, outputs: torch.Tensor) -> None:
        nonlocal total
        weight = module.get_parameter("weight")
        total += outputs.numel() * (weight.numel() // weight.shape[0])

    with torch.device("meta"), torch.inference_mode():
        network = build(row)
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.register_forward_hook(count)
            elif isinstance(module, nn.BatchNorm2d):  # changes no shape, and is slow on meta
                module.forward = _unchanged  # type: ignore[assignment, method-assign]
        network(torch.empty(1, row.channels, row.image_size, row.image_size))
    return total


def _unchanged(x: torch.Tensor) -> torch.Tensor:
    return x


def table(columns: Sequence[str]) -> str:
    """The family as a Markdown table with these columns of `COLUMNS`, one network per line."""
    rows = [[COLUMNS[name](row) for name in columns] for row in ARCHITECTURES.values()]
    return "\n".join(map(_line, (columns, ["---"] * len(columns), *rows)))


def updated(document: str, path: Path) -> str:
    """The document with the current table between its markers.

    Raises `InputFileError` for a document without markers, or with unknown columns.
    """
    begin = BEGIN.search(document)
    columns = begin[1].split(", ") if begin is not None else []
    if begin is None or END not in document[begin.end() :] or set(columns) - set(COLUMNS):
        raise InputFileError(
            "has no markers for the table",
            where=path,
            remedy=f"Write <!-- family: {', '.join(COLUMNS)} --> and {END} into it.",
        )
    after = document[document.index(END, begin.end()) :]
    return f"{document[: begin.end()]}\n{table(columns)}\n\n{after}"


def _block(row: Architecture) -> str:
    block = f"pre-activated {row.block}" if row.preactivation else row.block
    return f"{block}, {row.groups} groups" if row.groups > 1 else block


def _reported(row: Architecture) -> Reported:
    return REPORTED.get(row.name, _UNKNOWN)


def _percent(value: float | None, found: Reported) -> str:
    return f"{value:.2f}" if value is not None and found.source else ""


_UNKNOWN = Reported(0, None, "", "")
COLUMNS: Mapping[str, Callable[[Architecture], str]] = MappingProxyType(
    {
        "network": lambda row: f"`{row.name}`",
        "depth": lambda row: str(row.depth),
        "block": _block,
        "shortcut": lambda row: row.shortcut,
        "parameters": lambda row: f"{row.parameters:,}",
        "GFLOPs": lambda row: f"{multiply_adds(row) / 1e9:.3g}",
        "top-1 %": lambda row: _percent(_reported(row).top1, _reported(row)),
        "top-5 %": lambda row: _percent(_reported(row).top5, _reported(row)),
        "test": lambda row: _reported(row).test,
        "source": lambda row: _reported(row).source,
    }
)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    for given in map(Path, sys.argv[1:]):
        durable.write(given, updated(given.read_text("utf-8"), given).encode())
