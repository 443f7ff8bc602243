"""The table of the family in docs/family.md, written from the registry.

    python -m resnet_serve.architectures.table docs/family.md

Between the markers of the document stands what the rows say, what the networks are counted to
cost (multiply-adds of convolutions and classifier, 10⁹ of them) and what was published.
"""

from __future__ import annotations

import sys
from pathlib import Path
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

BEGIN = "<!-- the family: python -m resnet_serve.architectures.table docs/family.md -->"
END = "<!-- end of the family -->"
_COLUMNS = ("network", "depth", "block", "shortcut", "parameters", "GFLOPs", "top-1 %", "top-5 %")
_HEADING = (*_COLUMNS, "test", "source")


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
        network(torch.empty(1, row.channels, row.image_size, row.image_size))
    return total


def table() -> str:
    """The family as a Markdown table, one network to a line."""
    lines = [_line(_HEADING), _line("-" * 3 for _ in _HEADING)]
    return "\n".join([*lines, *(_line(_cells(row)) for row in ARCHITECTURES.values())])


def updated(document: str, path: Path) -> str:
    """The document with the table of today between its markers."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise InputFileError(
            "has no markers for the table", where=path, remedy=f"Write {BEGIN} and {END} into it."
        )
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


def _cells(row: Architecture) -> tuple[str, ...]:
    found = REPORTED.get(row.name, Reported(0, None, "", ""))
    block = f"pre-activated {row.block}" if row.preactivation else row.block
    return (
        f"`{row.name}`",
        str(row.depth),
        f"{block}, {row.groups} groups" if row.groups > 1 else block,
        row.shortcut,
        f"{row.parameters:,}",
        f"{multiply_adds(row) / 1e9:.3g}",
        f"{found.top1:.2f}" if found.source else "",
        f"{found.top5:.2f}" if found.top5 is not None else "",
        found.test,
        found.source,
    )


def _line(cells: Any) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    given = Path(sys.argv[1])
    durable.write(given, updated(given.read_text("utf-8"), given).encode())
