"""A reader of Prometheus' text format, strict enough for ours and for Triton's."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

from patience import PATIENCE_S

SAMPLE = re.compile(r'(([a-z_:][a-z0-9_:]*)(?:\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?) (\S+)')
# What a histogram and a summary add to their name.
_PARTS = re.compile(r"_(bucket|sum|count)$")


def samples(text: str) -> dict[str, float]:
    """Name, with its labels, and value of every sample; each must have been declared before."""
    found: dict[str, float] = {}
    declared: set[str] = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert kind in ("counter", "gauge", "histogram", "summary")
            declared.add(name)
        elif not line.startswith("# HELP "):
            match = SAMPLE.fullmatch(line)
            assert match, line
            assert {match[2], _PARTS.sub("", match[2])} & declared
            assert match[1] not in found
            found[match[1]] = float(match[3])
    assert text.endswith("\n")
    return found


def scrape(address: str) -> dict[str, float]:
    """The samples of the metrics at this host and port."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=PATIENCE_S) as page:
        return samples(page.read().decode())


def documented_metrics() -> dict[str, set[str]]:
    """The names in the table of docs/monitoring.md, by where they are from."""
    text = (Path(__file__).parents[2] / "docs/monitoring.md").read_text()
    section = text.partition("\n## Metrics\n")[2].partition("\n## ")[0]
    found: dict[str, set[str]] = {}
    for row in re.findall(r"^\| `(?:nv|resnet_serve)_.*\|$", section, re.MULTILINE):
        name, where, _ = (cell.strip() for cell in row.strip("|").split(" | "))
        found.setdefault(where.strip("`"), set()).add(name.strip("`").partition("{")[0])
    return found
