"""What the commands say of canaries: the share, and what the comparison has seen so far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from resnet_serve.triton.canary import seen
from resnet_serve.triton.canary.seen import Seen
from resnet_serve.triton.repository import changes
from resnet_serve.triton.repository.canaries import Canary
from resnet_serve.triton.repository.versions import Deployed
from resnet_serve.triton.server import running


def present(found: Sequence[Deployed]) -> Iterator[Canary]:
    """The canaries of a repository."""
    for name in dict.fromkeys(each.name for each in found):
        tried = changes.trying(found, name)
        if tried is not None:
            yield tried


def begun(share: str, name: str) -> str:
    """The share that a canary gets, and the commands that end it."""
    ends = " or ".join(f"resnet-serve {word} {name}" for word in ("promote", "withdraw"))
    return f"Canary: {share} of the requests. Next: {ends}"


def told(repository: Path, canary: Canary) -> Iterator[str]:
    """A line for every model that is split, as far as it has been asked."""
    yield f"Canary: {canary}, compared with version {canary.old.version}."
    for model, found in _seen(repository, canary).items():
        yield f"{model}: {found.told(canary.split)}"


def facts(
    repository: Path, found: Sequence[Deployed], name: str, version: int
) -> dict[str, Any] | None:
    """The same as data; None for a version that is no canary."""
    tried = changes.trying(found, name)
    if tried is None or tried.split.new != version:
        return None
    return {
        "share": tried.split.percent,
        "old": tried.split.old,
        "seen": {model: asdict(each) for model, each in _seen(repository, tried).items()},
    }


def _seen(repository: Path, canary: Canary) -> dict[str, Seen]:
    """What the running server's routers have kept; nothing where none runs."""
    server = running(repository)
    if server is None:
        return {}
    folder = server.beside.parent
    kept = {each: seen.read(seen.path(folder, each), canary.split) for each in canary.routed}
    return {model: each for model, each in kept.items() if each is not None}
