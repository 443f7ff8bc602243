"""What changes when another version is served or a version is removed: which models move together.

    NAME, NAME_preprocess, NAME_image    were deployed together and move together
    an ensemble with the member NAME     moves to the version that was proved with that member

Here it is found out and refused where it cannot be; `Repository.serve` and `.remove` do it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeAlias

from resnet_serve import durable, passport
from resnet_serve.errors import UsageError
from resnet_serve.passport import ComposedPassport, EngineState
from resnet_serve.triton.canary.split import Split
from resnet_serve.triton.layout import CONFIG_FILE, LABELS_FILE
from resnet_serve.triton.repository import canaries, versions, whole
from resnet_serve.triton.repository.canaries import Canary
from resnet_serve.triton.repository.repository import Repository
from resnet_serve.triton.repository.versions import Deployed

# Files of earlier deployments that nothing rewrites.
_STAMPED = {
    *(CONFIG_FILE, LABELS_FILE, versions.MODEL_FILE, versions.PREPROCESSING_FILE),
    *("crops.json", "ensemble.txt", "reference_outputs.npz"),
}
Moves: TypeAlias = dict[str, int]  # the version to serve, by model


@dataclass(frozen=True)
class Change:
    """Another version to serve: `old` is None where none was served.

    `models` has every model that moves, `deployed` the versions with a passport among them.
    """

    new: Deployed
    old: Deployed | None
    models: Moves
    deployed: tuple[Deployed, ...]


def find(found: Sequence[Deployed], name: str, version: int | None = None) -> Deployed:
    """A version of a model, the served one by default; `UsageError` says what there is."""
    of_name = [each for each in found if each.name == name]
    if not of_name:
        raise unknown(found, name)
    for each in of_name:
        if each.served if version is None else each.version == version:
            return each
    there = ", ".join(str(each.version) for each in of_name)
    raise UsageError(
        f"{name} has no served version" if version is None else f"{name} has no version {version}",
        remedy=f"There is {there}.",
    )


def unknown(found: Sequence[Deployed], name: str) -> UsageError:
    """The error for a model that is not there; for NAME:VERSION, which version is taken instead."""
    model = name.partition(":")[0]
    if model != name and any(each.name == model for each in found):
        return UsageError(
            f"{name} names a version, and this command takes a model",
            remedy=f"Give {model}. To serve another version: resnet-serve promote {name}",
        )
    names = ", ".join(dict.fromkeys(each.name for each in found))
    return UsageError(
        f"no deployed model is called {name!r}", remedy=f"There is {names or 'none'}."
    )


def promote(found: Sequence[Deployed], name: str, version: int) -> Change:
    """Serve this version; raises `UsageError` where that cannot be."""
    new = find(found, name, version)
    _check_kept(new)
    _check_members(found, new)
    old = versions.served(found).get(name)
    moving = [new]
    for composed in _composed_with(found, name):
        if any(member.version != version for member in _members(composed, name)):
            moving.append(_moved(found, composed, new))
    return Change(
        new, old, {model: each.version for each in moving for model in each.models}, tuple(moving)
    )


def rollback(found: Sequence[Deployed], name: str, version: int | None = None) -> Change:
    """Serve an earlier version, by default the last before the served one."""
    served = find(found, name)
    earlier = [each.version for each in found if each.name == name]
    earlier = [each for each in earlier if each < served.version]
    if version is None and not earlier:
        raise UsageError(
            f"there is no version of {name} before {served.version}, the served one",
            remedy=f"To serve another version: resnet-serve promote {name} VERSION"
            if any(each.name == name and each.version != served.version for each in found)
            else "resnet-convert deploys another.",
        )
    wanted = max(earlier) if version is None else version
    if wanted >= served.version:
        raise UsageError(
            f"version {wanted} of {name} is not before version {served.version}, the served one",
            remedy=f"To serve a later version: resnet-serve promote {name} {wanted}",
        )
    return promote(found, name, wanted)


def canary(found: Sequence[Deployed], name: str, version: int, share: Fraction) -> Canary:
    """A share of the requests for this version; raises `UsageError` where that cannot be.

    It must be one that could be promoted, and answer the same requests as the served version.
    """
    change = promote(found, name, version)
    new, old = change.new, change.old
    if old is None or old.version == new.version:
        state = "is the served version" if old else "has no served version to compare with"
        raise UsageError(f"{new} {state}", remedy="A canary is another version than the served.")
    for each in (old, new):
        if not each.whole:
            raise UsageError(
                f"{each} was deployed by an earlier resnet-serve",
                remedy=f"First store it as it is: resnet-serve promote {name} {each.version}",
            )
    if new.passport.engine_state is EngineState.NOT_BUILT:
        raise UsageError(
            f"the plan of {new} is not built",
            remedy=f"On the GPU host: resnet-convert build-plan {new.path}",
        )
    called = [each for each in new.models if not each.endswith(canaries.STEPS)]
    reasons = {each: canaries.differing(old, new, each) for each in called}
    unsplit = {each: reason for each, reason in reasons.items() if reason is not None}
    routed = tuple(each for each in called if each not in unsplit)
    if not routed:
        why = "; ".join(f"{each}: {reason}" for each, reason in unsplit.items())
        raise UsageError(
            f"{new} cannot answer the requests for {old} ({why})",
            remedy="Convert it with the same options, or under another --name.",
        )
    return Canary(Split(old.version, new.version, share), old, new, routed, unsplit)


def trying(found: Sequence[Deployed], name: str) -> Canary | None:
    """The canary of a model; None where there is none."""
    served = versions.served(found).get(name)
    if served is None:
        return None
    models = [each for each in served.models if not each.endswith(canaries.STEPS)]
    splits = {each: canaries.running(served.directory(each)) for each in models}
    routed = {each: split for each, split in splits.items() if split is not None}
    if not routed:
        return None
    split = next(iter(routed.values()))
    new = find(found, name, split.new)
    unsplit = {
        each: canaries.differing(served, new, each) or "" for each in models if each not in routed
    }
    return Canary(split, served, new, tuple(routed), unsplit)


@dataclass(frozen=True)
class Removal:
    """A version to remove, or with None all of `name`, and the models that it was deployed as."""

    name: str
    version: int | None
    models: tuple[str, ...]


def remove(found: Sequence[Deployed], name: str, version: int | None = None) -> Removal:
    """Remove a version that is not served, or the whole model; `UsageError` for what is needed."""
    if version is not None:
        gone = [find(found, name, version)]
        if gone[0].served:
            others = {each.version for each in found if each.name == name} - {version}
            if not others:
                instead = f"resnet-serve remove {name}"
            elif min(others) < version:
                instead = f"resnet-serve rollback {name}"
            else:
                instead = f"resnet-serve promote {name} {max(others)}"
            raise UsageError(f"version {version} of {name} is served", remedy=f"First: {instead}")
        tried = trying(found, name)
        if tried is not None and tried.split.new == version:
            raise UsageError(
                f"version {version} of {name} is a canary",
                remedy=f"First: resnet-serve withdraw {name}",
            )
    else:
        find(found, name, next((each.version for each in found if each.name == name), None))
        gone = [each for each in found if each.name == name]
    for composed in _composed_with(found, name):
        if composed not in gone and any(
            member.version == each.version for member in _members(composed, name) for each in gone
        ):
            raise UsageError(
                f"{composed} is composed of {name}",
                remedy=f"First: resnet-serve remove {composed.name}",
            )
    models = tuple(dict.fromkeys(model for each in gone for model in each.models))
    return Removal(name, version, models)


def store(repository: Repository, deployed: Deployed) -> None:
    """Make a version of an earlier resnet-serve whole.

    The served version gets the configuration and labels that it is served with, and the passport
    the hashes of the files as they are now.
    """
    if deployed.served:
        repository.serve(dict.fromkeys(deployed.models, deployed.version))
    files = {}
    for model in deployed.models:
        folder = repository.directory(model) / str(deployed.version)
        kept = [
            each for each in sorted(folder.iterdir()) if each.is_file() and each.name in _STAMPED
        ]
        files[model] = {each.name: durable.sha256(each) for each in kept}
    document = replace(deployed.passport, files=files)
    stamped = {passport.FILE_NAME: document.to_bytes()}
    repository.rewrite(deployed.name, deployed.version, stamped)


def _check_kept(new: Deployed) -> None:
    """The served version's files can still be stored; those of others are gone.

    A repository may have been copied without the one of encoded images, which a later version has.
    """
    folders = [new.directory(model) / str(new.version) for model in new.models if new.whole]
    for folder in folders:
        if not whole.keeps_its_own(folder):
            again = new.passport.command
            raise UsageError(
                f"{new} was deployed with {folder.parent.name}, and {folder} is not there",
                remedy=f"Copy it from where it was made, or convert it again: {again}",
            )
    if new.served or whole.keeps_its_own(new.path):
        return
    raise UsageError(
        f"{new} was deployed by an earlier resnet-serve: its configuration and labels were "
        "overwritten by a later version's",
        remedy=f"Convert it again: {new.passport.command}",
    )


def _check_members(found: Sequence[Deployed], new: Deployed) -> None:
    """A composed model needs its members at the versions that it was proved with."""
    served = versions.served(found)
    for member in _pins(new):
        there = served.get(member.name)
        if there is None or there.version != member.version:
            raise UsageError(
                f"{new} was proved with {member.name} version {member.version}, which is not "
                "served",
                remedy=f"First: resnet-serve promote {member.name} {member.version}",
            )


def _composed_with(found: Sequence[Deployed], name: str) -> list[Deployed]:
    """The served composed models that have a member of this name."""
    return [each for each in found if each.served and _members(each, name)]


def _members(composed: Deployed, name: str) -> list[passport.MemberFacts]:
    return [member for member in _pins(composed) if member.name == name]


def _moved(found: Sequence[Deployed], composed: Deployed, member: Deployed) -> Deployed:
    """The version of a composed model that was proved with this version of its member."""
    served = {**versions.served(found), member.name: member}
    for each in sorted(found, key=lambda each: -each.version):
        document = each.passport
        if each.name != composed.name or not isinstance(document, ComposedPassport):
            continue
        needed = [served.get(each.name) for each in document.members]
        numbers = [each.version for each in document.members]
        if [None if each is None else each.version for each in needed] == numbers:
            _check_kept(each)
            return each
    pinned = ", ".join(f"{each.name} version {each.version}" for each in _pins(composed))
    raise UsageError(
        f"{composed} is served and was proved with {pinned}; no version of it was proved with "
        f"{member}",
        remedy=f"Remove it first (resnet-serve remove {composed.name}); then compose it again: "
        f"{composed.passport.command}",
    )


def _pins(composed: Deployed) -> tuple[passport.MemberFacts, ...]:
    document = composed.passport
    return document.members if isinstance(document, ComposedPassport) else ()
