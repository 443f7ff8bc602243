"""A reader of Prometheus' text format, strict enough for ours."""

from __future__ import annotations

import re

SAMPLE = re.compile(r"([a-z_:][a-z0-9_:]*)(?:\{[^}]*\})? (\S+)")


def samples(text: str) -> dict[str, float]:
    """Name and value of every sample; each must have been declared before."""
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
            assert match[1] in declared
            found[match[1]] = float(match[2])
    assert text.endswith("\n")
    return found
