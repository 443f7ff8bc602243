"""Objects as YAML: names as Kubernetes has them, nothing that is not set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml
from kubernetes import client

from resnet_serve.manifests import document


@dataclass(frozen=True)
class Mine:
    """One of ours around one of theirs."""

    spec: Any
    metadata: Any
    not_set: int | None = None
    api_version: str = "example.com/v1"
    kind: str = "Mine"


def test_both_kinds_of_objects_are_written_by_the_same_names() -> None:
    named = client.V1ObjectMeta(name="b")
    service = client.V1Service(api_version="v1", kind="Service", metadata=named)
    made = Mine(
        spec=(client.V1ContainerPort(container_port=8000), "text", 3),
        metadata=client.V1ObjectMeta(name="a", resource_version=None),
    )
    text = document.text((made, service))
    assert list(yaml.safe_load_all(text)) == [
        {
            "apiVersion": "example.com/v1",
            "kind": "Mine",
            "metadata": {"name": "a"},
            "spec": [{"containerPort": 8000}, "text", 3],
        },
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "b"}},
    ]
    assert text.startswith("---\napiVersion: example.com/v1\nkind: Mine\nmetadata:\n")
