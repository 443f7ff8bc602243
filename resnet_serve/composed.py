"""Composed models on the serving side: ensembles and ten-crop models, held against their members.

Their passports name each member with its version and hash. Triton loads only the newest version of
a model, and the ensemble asks for the one it was proved with: a member that was converted again
must be composed and proved again, and `resnet-serve up` says so before Triton would.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_serve.passport import Passport
from resnet_serve.triton.repository import Deployed


@dataclass(frozen=True)
class Outdated:
    """A composed model whose member `member` is no longer served at the version it needs."""

    deployed: Deployed
    member: str
    wanted: int
    newest: int | None

    @property
    def said(self) -> str:
        here = "is gone" if self.newest is None else f"is at version {self.newest}"
        return f"it was proved with {self.member} version {self.wanted}, which {here}"

    @property
    def command(self) -> str:
        """What composes it again."""
        return str(self.deployed.passport.data["command"])


def members(passport: Passport) -> tuple[Mapping[str, Any], ...]:
    """The members that a passport names; none for a model that is not composed."""
    found = passport.data.get("members")
    listed = found if isinstance(found, list) else []
    return tuple(each for each in listed if isinstance(each, Mapping))


def files(deployed: Deployed) -> Iterator[tuple[str, Path, object]]:
    """What a composed model is served from: subject, path, and the SHA-256 of the passport."""
    repository = deployed.path.parent.parent
    average = deployed.passport.data["model"]
    path = repository / str(average["name"]) / str(deployed.version) / str(average["file"])
    yield "average", path, average.get("sha256")
    for member in members(deployed.passport):
        name = str(member["name"])
        path = repository / name / str(member["version"]) / str(average["file"])
        yield f"member {name}", path, member.get("sha256")


def outdated(found: Sequence[Deployed]) -> list[Outdated]:
    """The composed models, at their newest version, whose members are not at the pinned ones."""
    newest = {each.name: each for each in sorted(found, key=lambda each: each.version)}
    return [
        Outdated(
            each, name, int(member["version"]), newest[name].version if name in newest else None
        )
        for each in newest.values()
        for member in members(each.passport)
        if (name := str(member["name"])) not in newest
        or newest[name].version != int(member["version"])
    ]
