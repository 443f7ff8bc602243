"""The values of a Helm chart: what differs between clusters, with its default and a comment.

    values.yaml          the defaults, each under its comment
    values.schema.json   what each may be: Helm refuses a misspelled one, and a tag that is a number

Names are those that `helm create` gives them.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Annotated, Any, get_type_hints

from resnet_serve.manifests import document
from resnet_serve.manifests.document import camel, yaml

_COMMENT_WIDTH = 96
_TEXT = {"type": "string", "minLength": 1}
_COUNT = {"type": "integer", "minimum": 1}
_COUNT_OR_NONE = {"type": "integer", "minimum": 0}
_OBJECT = {"type": "object"}


@dataclass(frozen=True)
class Value:
    """Of a value: its comment, and the JSON schema that it keeps (not of a group)."""

    comment: str
    schema: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Image:
    """The image of the pods."""

    repository: Annotated[
        str, Value("Where the cluster pulls the image of our Dockerfile's serve stage from.", _TEXT)
    ]
    tag: Annotated[str, Value("Both versions: resnet-serve's and Triton's.", _TEXT)]


@dataclass(frozen=True)
class Autoscaling:
    """How many pods the HorizontalPodAutoscaler makes."""

    enabled: Annotated[
        bool,
        Value(
            "Whether there is one. It needs the metric resnet_serve_queue_seconds of each pod.",
            {"type": "boolean"},
        ),
    ]
    min_replicas: Annotated[int, Value("Pods at least.", _COUNT)]
    max_replicas: Annotated[int, Value("Pods at most.", _COUNT)]


@dataclass(frozen=True)
class Persistence:
    """The volume of the models."""

    existing_claim: Annotated[
        str,
        Value(
            "The PersistentVolumeClaim that holds model_repository and, for image requests, "
            "model_repository.images beside it. The chart does not create it.",
            _TEXT,
        ),
    ]


@dataclass(frozen=True)
class Service:
    """How the pods are reached."""

    type: Annotated[
        str,
        Value(
            "ClusterIP, NodePort or LoadBalancer. Every client that reaches it can send requests, "
            "without encryption.",
            {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
        ),
    ] = "ClusterIP"


@dataclass(frozen=True)
class RollingUpdate:
    """How another version replaces the pods."""

    max_unavailable: Annotated[
        int,
        Value(
            "Pods that may be missing. 1, with maxSurge 0, where no node has a GPU to spare for "
            "one pod more: a new pod then waits for an old one to end.",
            _COUNT_OR_NONE,
        ),
    ]
    max_surge: Annotated[int, Value("Pods that may be there in addition.", _COUNT_OR_NONE)]


@dataclass(frozen=True)
class Values:
    """All values of the chart of a model."""

    image: Annotated[Image, Value("The image of the pods.")]
    replica_count: Annotated[
        int,
        Value("Pods, where autoscaling.enabled is false.", _COUNT_OR_NONE),
    ]
    autoscaling: Annotated[
        Autoscaling,
        Value("The HorizontalPodAutoscaler, which adds pods when requests wait."),
    ]
    rolling_update: Annotated[
        RollingUpdate, Value("The rollout of another version or of other values.")
    ]
    resources: Annotated[
        Any,
        Value(
            "Of each pod: the cores that were measured, an estimate of the memory, and one GPU "
            "where the model runs on one.",
            _OBJECT,
        ),
    ]
    persistence: Annotated[Persistence, Value("The volume that the pods read.")]
    service: Annotated[Service, Value("The Service in front of the pods.")] = Service()
    image_pull_secrets: Annotated[
        tuple[dict[str, str], ...],
        Value(
            "Secrets of the namespace for the image's registry: [{name: registry}].",
            {"type": "array", "items": {"type": "object", "required": ["name"]}},
        ),
    ] = ()
    node_selector: Annotated[
        dict[str, str],
        Value(
            "Labels that a node needs for the pods to run on it.",
            {"type": "object", "additionalProperties": {"type": "string"}},
        ),
    ] = field(default_factory=dict)
    tolerations: Annotated[
        tuple[dict[str, Any], ...],
        Value(
            "Taints of nodes that the pods tolerate, such as those of nodes with a GPU.",
            {"type": "array", "items": _OBJECT},
        ),
    ] = ()


def text(values: Values) -> str:
    """values.yaml: every value under its comment."""
    return "\n".join(_lines(values, indent="")).lstrip("\n") + "\n"


def schema(kind: type = Values) -> dict[str, Any]:
    """values.schema.json, or the part of it for a group of values."""
    properties = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        value = hint.__metadata__[0]
        kept = value.schema or schema(hint.__origin__)
        properties[camel(name)] = {"description": value.comment, **kept}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def schema_text() -> str:
    """values.schema.json."""
    made = schema()
    made["properties"]["global"] = {}  # Helm passes it on to a chart that another depends on
    return json.dumps({"$schema": "http://json-schema.org/draft-07/schema#", **made}, indent=2)


def _lines(values: Any, indent: str) -> Iterator[str]:
    hints = get_type_hints(type(values), include_extras=True)
    for each in fields(values):
        key, made = camel(each.name), getattr(values, each.name)
        if not indent:
            yield ""
        comment = hints[each.name].__metadata__[0].comment
        for line in textwrap.wrap(comment, _COMMENT_WIDTH - len(indent)):
            yield f"{indent}# {line}"
        if is_dataclass(made):
            yield f"{indent}{key}:"
            yield from _lines(made, f"{indent}  ")
        else:
            dumped = yaml.safe_dump({key: document.plain(made)}, sort_keys=False)
            yield textwrap.indent(dumped.rstrip("\n"), indent)
