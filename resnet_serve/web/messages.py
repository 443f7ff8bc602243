"""Messages: the JSON of every response, as dataclasses; `openapi` describes these same classes.

A field that is None is left out, as in the `--json` of the commands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

from resnet_client import Prediction
from resnet_serve.console import JSON_VERSION


@dataclass(frozen=True, kw_only=True)
class Classified:
    """The predictions for an image, best first, and the version that made them.

    `ms` is the time from the decoded image to the predictions: resize, request and inference.
    """

    model: str
    version: str
    predictions: tuple[Prediction, ...]
    ms: float
    schema_version: int = JSON_VERSION


@dataclass(frozen=True, kw_only=True)
class Column:
    """What one version makes of the image, or the error in its place.

    `agrees` says whether it decides as the first of the columns does; None where one of the two
    has no decision.
    """

    model: str
    version: str
    predictions: tuple[Prediction, ...] | None = None
    ms: float | None = None
    agrees: bool | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Compared:
    """An image by every version that has the same labels, one after the other.

    `agree` says whether all of them decide the same; None where fewer than two have a decision.
    """

    columns: tuple[Column, ...]
    agree: bool | None = None
    schema_version: int = JSON_VERSION


@dataclass(frozen=True, kw_only=True)
class Model:
    """One served version. What a passport says is there where the repository is on this host.

    `labels` names the set of its labels: versions with the same are compared. `speedup` is the
    median of PyTorch's time over its own, where it could be stated, `agreement` the share of equal
    decisions in the proof, `examples` how many images of its own it has.
    """

    model: str
    version: str
    labels: str
    classes: int
    activation: str
    network: str | None = None
    precision: str | None = None
    target: str | None = None
    size_bytes: int | None = None
    speedup: float | None = None
    speedup_not_stated: str | None = None
    agreement: float | None = None
    passport: str | None = None
    report: str | None = None
    examples: int = 0


@dataclass(frozen=True, kw_only=True)
class Models:
    """The served versions, and what the page needs to know besides.

    A request has at most `max_body_bytes`, and needs a token where it is `secured`; `live` says
    that the server's metrics can be read.
    """

    models: tuple[Model, ...]
    max_body_bytes: int
    secured: bool
    live: bool
    schema_version: int = JSON_VERSION


@dataclass(frozen=True, kw_only=True)
class Label:
    """A class, by its place among the outputs."""

    index: int
    label: str


@dataclass(frozen=True, kw_only=True)
class Folders:
    """The classes that folders stand for by their names, and why some of them stand for none."""

    classes: Mapping[str, Label]
    unknown: Mapping[str, str]
    schema_version: int = JSON_VERSION


@dataclass(frozen=True, kw_only=True)
class Counters:
    """What Triton counts of one model since it started, and what waits now.

    `p99_ms` is the 99th percentile of the last minute's requests, None where there were none.
    """

    images: float
    waiting: float
    rejected: float
    failed: float
    p99_ms: float | None = None


@dataclass(frozen=True, kw_only=True)
class Live:
    """The counters of each model; `at_s` is a clock to take rates with, its zero means nothing."""

    at_s: float
    models: Mapping[str, Counters]
    schema_version: int = JSON_VERSION


@dataclass(frozen=True, kw_only=True)
class Health:
    """Whether requests can be answered now."""

    status: str
    schema_version: int = JSON_VERSION


@dataclass(frozen=True, kw_only=True)
class Problem:
    """An error, RFC 9457: `detail` says in one line what happened, where, and what to do."""

    status: int
    title: str
    detail: str
    type: str = field(default="about:blank")
    schema_version: int = JSON_VERSION


Message: TypeAlias = Classified | Compared | Models | Folders | Live | Health | Problem


def to_json(message: Message) -> dict[str, Any]:
    """The JSON object of a message, its version first."""
    found = _without_none(asdict(message))
    return {"schema_version": found.pop("schema_version"), **found}


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(each) for key, each in value.items() if each is not None}
    if isinstance(value, list | tuple):
        return [_without_none(each) for each in value]
    return value
