"""Rows of the family with fewer channels and blocks: the same kind of graph, in a fraction of the
arithmetic and of the nodes.
"""

from __future__ import annotations

from dataclasses import replace

from resnet_serve.architectures import ARCHITECTURES, Architecture

_BLOCKS = 2  # of a stage: one that may change the shape, and one that does not


def thin(row: Architecture) -> Architecture:
    """The row with a quarter of ImageNet's channels: 16, the least that FP8 needs."""
    return replace(row, widths=(16, 32, 64, 128)[: len(row.widths)])


def shallow(row: Architecture) -> Architecture:
    """The row with at most two blocks in a stage; all further ones are like the second."""
    return replace(row, depths=tuple(min(each, _BLOCKS) for each in row.depths))


def kind(row: Architecture) -> tuple[object, ...]:
    """All that distinguishes one graph from another, except its depth."""
    grouped = row.groups > 1
    arithmetic = row.strided, row.preactivation, row.bare_stem, grouped
    return row.block, row.stem, row.shortcut, len(row.widths), *arithmetic


def shallowest() -> list[Architecture]:
    """One network of every kind, the shallowest."""
    by_depth = sorted(ARCHITECTURES.values(), key=lambda row: row.depth, reverse=True)
    return list({kind(row): row for row in by_depth}.values())


# Their graphs differ from those of other rows in the number of blocks alone; so does the wide one's
# in the channels, which `thin` does not take away.
TRACED_ROWS = [*shallowest(), ARCHITECTURES["wide_resnet50_2"]]
