"""Rows of the family with fewer channels: the same graph in a fraction of the arithmetic."""

from __future__ import annotations

from dataclasses import replace

from resnet_serve.architectures import ARCHITECTURES, Architecture

SHALLOW = 56  # layers, up to which every test takes every network


def thin(row: Architecture) -> Architecture:
    """The row at a quarter of ImageNet's channels; 16 are what TensorRT's rules ask for."""
    return replace(row, widths=(16, 32, 64, 128)[: len(row.widths)])


def kind(row: Architecture) -> tuple[object, ...]:
    """What makes a graph another one, but for its depth."""
    grouped = row.groups > 1
    arithmetic = row.strided, row.preactivation, row.bare_stem, grouped
    return row.block, row.stem, row.shortcut, len(row.widths), *arithmetic


def shallowest() -> list[Architecture]:
    """One network of every kind."""
    return list({kind(row): row for row in reversed(_by_depth())}.values())


def deepest() -> list[Architecture]:
    """Of every kind the deepest below a thousand layers, where it is deep and not `shallowest`."""
    found = {kind(row): row for row in _by_depth() if row.depth < 1000}
    return [row for row in found.values() if row.depth > SHALLOW and row not in shallowest()]


def _by_depth() -> list[Architecture]:
    return sorted(ARCHITECTURES.values(), key=lambda row: row.depth)
