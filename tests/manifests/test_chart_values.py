"""values.yaml and its schema: every value has a comment, and only what it may be is accepted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml

from resnet_serve.manifests import chart_values
from resnet_serve.manifests.chart_values import (
    Autoscaling,
    Image,
    Persistence,
    RollingUpdate,
    Values,
)

VALUES = Values(
    image=Image("registry/serve", "0.10"),
    replica_count=2,
    autoscaling=Autoscaling(enabled=True, min_replicas=2, max_replicas=6),
    rolling_update=RollingUpdate(max_unavailable=0, max_surge=1),
    resources={"requests": {"cpu": "2"}, "limits": {"memory": "964Mi"}},
    persistence=Persistence("models"),
)


def keys(schema: dict[str, Any], indent: str = "") -> Iterator[str]:
    """How the line of each value begins."""
    for name, inner in schema["properties"].items():
        yield f"{indent}{name}:"
        if "properties" in inner:
            yield from keys(inner, f"{indent}  ")


def test_every_value_is_under_a_comment() -> None:
    lines = chart_values.text(VALUES).splitlines()
    for key in keys(chart_values.schema()):
        found = [at for at, line in enumerate(lines) if line.startswith(key)]
        assert found, key
        indent = key[: len(key) - len(key.lstrip())]
        assert all(lines[at - 1].startswith(f"{indent}# ") for at in found), key
    assert max(map(len, lines)) <= 100


def test_the_text_has_the_values() -> None:
    assert yaml.safe_load(chart_values.text(VALUES)) == {
        "image": {"repository": "registry/serve", "tag": "0.10"},
        "replicaCount": 2,
        "autoscaling": {"enabled": True, "minReplicas": 2, "maxReplicas": 6},
        "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
        "resources": VALUES.resources,
        "persistence": {"existingClaim": "models"},
        "service": {"type": "ClusterIP"},
        "imagePullSecrets": [],
        "nodeSelector": {},
        "tolerations": [],
    }


def test_the_schema_accepts_the_defaults_and_what_a_parent_chart_passes_on() -> None:
    schema = json.loads(chart_values.schema_text())
    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema)
    defaults = yaml.safe_load(chart_values.text(VALUES))
    validator.validate(defaults)
    validator.validate({**defaults, "global": {"anything": 1}})


@pytest.mark.parametrize(
    ("changes", "at"),
    [
        ({"imag": {}}, ""),
        ({"image": {"tagg": "1"}}, "image"),
        ({"image": {"tag": 1.1}}, "image.tag"),
        ({"replicaCount": -1}, "replicaCount"),
        ({"rollingUpdate": {"maxSurge": "25%"}}, "rollingUpdate.maxSurge"),
        ({"service": {"type": "Loadbalancer"}}, "service.type"),
        ({"imagePullSecrets": ["registry"]}, "imagePullSecrets.0"),
    ],
)
def test_the_schema_refuses_what_is_none(changes: dict[str, Any], at: str) -> None:
    validator = jsonschema.Draft7Validator(json.loads(chart_values.schema_text()))
    (error,) = validator.iter_errors(changes)
    assert ".".join(map(str, error.path)) == at
