"""Composed models on the serving side: whether the members of an ensemble are still there.

Their passports name each member with its version and hash. Triton loads only one version of
a model, and the ensemble needs the one it was proved with: after a member was converted again, the
ensemble must be composed and proved again. `resnet-serve up` checks that before Triton starts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.passport import (
    FILE_NAME,
    ComposedPassport,
    ConvertedPassport,
    EngineState,
    MemberFacts,
    Passport,
    read,
)
from resnet_serve.triton.repository import versions
from resnet_serve.triton.repository.versions import Deployed


@dataclass(frozen=True)
class Outdated:
    """A composed model whose member `member` is no longer served at the version it needs."""

    deployed: Deployed
    member: str
    wanted: int
    served: int | None

    @property
    def reason(self) -> str:
        """Why it cannot be served."""
        here = "is gone" if self.served is None else f"is at version {self.served}"
        return f"it was proved with {self.member} version {self.wanted}, which {here}"

    @property
    def command(self) -> str:
        """The command that composes it again."""
        return self.deployed.passport.command


def members(passport: Passport) -> tuple[MemberFacts, ...]:
    """The members of a composed model; none for any other."""
    return passport.members if isinstance(passport, ComposedPassport) else ()


def pinned(deployed: Deployed) -> tuple[Deployed, ...]:
    """The members of a composed model at the versions that it was proved with.

    Raises `InputFileError` for one that is gone or whose passport cannot be read.
    """
    repository = deployed.repository
    served = versions.served(versions.deployed(repository))
    found = []
    for member in members(deployed.passport):
        path = repository / member.name / str(member.version)
        shown = served.get(member.name)
        if not (path / FILE_NAME).is_file():
            raise InputFileError(
                f"was proved with {member.name} version {member.version}, which is gone",
                where=str(deployed),
                remedy=f"Compose it again: {deployed.passport.command}",
            )
        found.append(
            Deployed(
                member.name,
                member.version,
                path,
                read(path / FILE_NAME),
                served=shown is not None and shown.version == member.version,
            )
        )
    return tuple(found)


def networks(deployed: Deployed) -> tuple[tuple[Deployed, ConvertedPassport], ...]:
    """The members of a composed model, each with its passport.

    Raises as `pinned`, and `UsageError` for a member that is no network.
    """
    found = []
    for member in pinned(deployed):
        if not isinstance(member.passport, ConvertedPassport):
            raise UsageError(f"its member {member.name} is no network", where=str(deployed))
        found.append((member, member.passport))
    return tuple(found)


def files(deployed: Deployed) -> Iterator[tuple[str, Path, str]]:
    """The files a composed model is served from: subject, path, and SHA-256 in the passport."""
    passport = deployed.passport
    if not isinstance(passport, ComposedPassport):
        return
    repository = deployed.repository
    average = passport.model
    path = repository / average.name / str(deployed.version) / average.file
    yield "average", path, average.sha256
    for member in passport.members:
        path = repository / member.name / str(member.version) / average.file
        yield f"member {member.name}", path, member.sha256


def unbuilt(deployed: Deployed) -> Iterator[tuple[str, Path]]:
    """The members whose TensorRT plan is not built yet: name, and directory of the version.

    Raises `InputFileError` for a member whose passport cannot be read.
    """
    repository = deployed.repository
    for member in members(deployed.passport):
        path = repository / member.name / str(member.version)
        if member.engine is not None and (
            read(path / FILE_NAME).engine_state is EngineState.NOT_BUILT
        ):
            yield member.name, path


def outdated(found: Sequence[Deployed]) -> list[Outdated]:
    """The served composed models whose members are not served at the pinned versions."""
    shown = versions.served(found)
    served = {name: each.version for name, each in shown.items()}
    return [
        Outdated(each, member.name, member.version, served.get(member.name))
        for each in shown.values()
        for member in members(each.passport)
        if served.get(member.name) != member.version
    ]
