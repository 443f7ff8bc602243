"""Objects as YAML: those of the `kubernetes` package by its own rules, ours by the same names."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any

from resnet_serve.manifests import compose
from resnet_serve.manifests.compose import Compose
from resnet_serve.manifests.kubernetes import k8s
from resnet_serve.optional import optional

yaml: Any = optional("yaml", extra="kubernetes")


def plain(made: Any) -> Any:
    """An object as JSON's types, with the names of Kubernetes and without what is not set."""
    if is_dataclass(made):
        found = {camel(each.name): getattr(made, each.name) for each in fields(made)}
        return {key: plain(value) for key, value in found.items() if value is not None}
    if isinstance(made, list | tuple):
        return [plain(each) for each in made]
    return k8s.ApiClient().sanitize_for_serialization(made)


def text(made: Iterable[Any]) -> str:
    """YAML documents, one per object."""
    ordered = [_ordered(plain(each)) for each in made]
    return str(yaml.safe_dump_all(ordered, sort_keys=False, explicit_start=True, width=math.inf))


def compose_text(made: Compose) -> str:
    """The YAML of a Compose file, with what it is first."""
    return str(yaml.safe_dump(compose.plain(made), sort_keys=False))


def _ordered(document: dict[str, Any]) -> dict[str, Any]:
    """With what it is first."""
    first = {key: document[key] for key in ("apiVersion", "kind", "metadata")}
    return first | document


def camel(name: str) -> str:
    """The name that Kubernetes and Helm give a field of ours."""
    first, *rest = name.split("_")
    return first + "".join(each.capitalize() for each in rest)
