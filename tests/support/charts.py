"""The expressions of Helm that our charts have, filled in as Helm does it: for hosts without Helm.

`tests/manifests/test_helm.py` compares it with the real one.
"""

from __future__ import annotations

import json
import re
from functools import partial
from typing import Any

import yaml

_CONDITION = re.compile(r"\s*\{\{- (if not|if|with) \.Values\.([\w.]+) \}\}")
_EXPRESSION = re.compile(
    r"\{\{-? (toYaml )?(?:\.Values\.([\w.]+)|\.)(?: \| (quote|nindent \d+))? \}\}"
)


def at(values: dict[str, Any], path: str) -> Any:
    """The value of a path such as `image.tag`; a KeyError where none is defined."""
    found: Any = values
    for key in path.split("."):
        found = found[key]
    return found


def merged(defaults: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Values with changes, as `--values` merges them."""
    made = dict(defaults)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(made.get(key), dict)
        made[key] = merged(made[key], value) if both else value
    return made


def rendered(files: dict[str, str], values: dict[str, Any]) -> list[dict[str, Any]]:
    """The objects of a chart."""
    templates = [text for path, text in files.items() if re.match(r"templates/.*\.yaml$", path)]
    return [
        each for text in templates for each in yaml.safe_load_all(_filled(text, values)) if each
    ]


def _filled(text: str, values: dict[str, Any]) -> str:
    conditions: list[tuple[Any, bool]] = []
    lines = []
    for line in text.splitlines():
        if found := _CONDITION.fullmatch(line):
            value = at(values, found[2])
            conditions.append((value, bool(value) != (found[1] == "if not")))
        elif line.strip() == "{{- end }}":
            conditions.pop()
        elif all(holds for _, holds in conditions):
            dot = conditions[-1][0] if conditions else None
            lines.append(_EXPRESSION.sub(partial(_value, values=values, dot=dot), line))
    assert not conditions
    made = "\n".join(lines)
    assert "{{" not in made, made
    return made


def _value(found: re.Match[str], values: dict[str, Any], dot: Any) -> str:
    as_yaml, path, end = found.groups()
    value = at(values, path) if path else dot
    return json.dumps(value) if as_yaml or end == "quote" else str(value)
