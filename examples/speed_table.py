"""The table of the demo: PyTorch, ONNX Runtime and Triton side by side."""

from __future__ import annotations

from dataclasses import dataclass

from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One line of the final comparison."""

    where: str
    precision: str
    latency_ms: float
    images_per_s: float | None
    speedup: str = ""


def speed_table(rows: list[Row]) -> Table:
    """The rows as a table; ratios are of what took turns in the same rounds."""
    table = Table(
        "ResNet-50, 224 px (untrained)",
        "precision",
        "ms per image, alone",
        "images/s, best",
        "PyTorch's speed",
        title="Measured in this run, on this machine",
        title_justify="left",
    )
    for row in rows:
        table.add_row(
            row.where,
            row.precision,
            f"{row.latency_ms:.1f}",
            "not stated" if row.images_per_s is None else f"{row.images_per_s:.1f}",
            row.speedup,
        )
    return table
