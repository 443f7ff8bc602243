"""Another version on a running server, without a failed request and without one of two versions.

1. load the new models beside the served ones, under names of their own, and smoke test them there;
   where that fails, they are unloaded: the old version has been served all the time
2. swap the new version into the repository
3. the ensembles, under their usual names, run the models beside: every image is one version's
4. load the other models under their usual names; the old version serves until the new one is ready
5. the ensembles run those, and the models beside are unloaded

Without the third step the ensemble of the old version would for a moment have lost the models that
it runs, or have found the new ones. To a request that asks for labels Triton looks for its model
again when it has computed the outputs, and fails where that version is gone. So the number of the
old version stays loaded until its requests are answered (`drain_s`). Triton prefers the highest
number: this works for a later version, and not for an earlier one, where a request for labels can
get UNAVAILABLE, which clients send again.
Each step can be repeated: a change that was killed is completed by serving the version again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from resnet_serve import durable
from resnet_serve.errors import HostError, ResnetServeError, UnavailableError
from resnet_serve.triton.canary.split import MARK
from resnet_serve.triton.repository import Repository, whole
from resnet_serve.triton.repository.changes import Change
from resnet_serve.triton.repository.versions import Deployed
from resnet_serve.triton.rollout import smoke
from resnet_serve.triton.rollout.admin import Admin
from resnet_serve.triton.rollout.beside import Beside, left
from resnet_serve.triton.supervision import servable
from resnet_serve.triton.supervision.endpoints import Endpoints

DRAIN_S = 10.0
Say = Callable[[str], None]


class Place(Protocol):
    """A running server: its addresses, and the folder of its last repository."""

    @property
    def endpoints(self) -> Endpoints:
        """Its addresses, and the key to its control."""

    @property
    def beside(self) -> Path:
        """Where a new version is loaded from."""


def serve(
    place: Place, repository: Repository, change: Change, say: Say, *, drain_s: float = DRAIN_S
) -> tuple[str, ...]:
    """Serve another version on a running server; returns what the smoke tests showed.

    The requests of the old version have `drain_s` seconds to be answered.

    Raises `HostError` where a model cannot be loaded and `ParityError` where its outputs are not
    those of the reference; then the old version is still served, there and in the repository.
    """
    with alone(place.beside):
        admin = Admin(place.endpoints)
        beside = Beside(place.beside, repository.path, change.models)
        try:
            try:
                shown = load_beside(admin, beside, change.deployed, say)
            except ResnetServeError as error:
                raise _kept(error, change) from error
            before = _served(repository, change.models)
            repository.serve(change.models)
            servable.show_images(place.beside.parent, repository.path)
            try:
                _switch(admin, beside, before, say, drain_s)
            except ResnetServeError as error:
                _undo(admin, repository, beside, before)
                raise _kept(error, change) from error
        finally:
            clear(admin, beside, repository)
    return shown


def remove(place: Place, names: tuple[str, ...]) -> None:
    """Unload models that are about to be removed, ensembles first; raises `HostError`."""
    with alone(place.beside):
        admin = Admin(place.endpoints)
        tried = [each for each in admin.models() if each.partition(MARK)[0] in names]
        for name in sorted(names, key=lambda each: not each.endswith("_image")):
            admin.unload(name)
        for name in sorted(set(tried) - set(names), key=lambda each: "_image" not in each):
            admin.unload(name)


def load_beside(
    admin: Admin, beside: Beside, tested: Sequence[Deployed], say: Say
) -> tuple[str, ...]:
    """Load and test the new version under names of its own."""
    beside.write()
    say(f"loading {', '.join(beside.moves)} beside the served version")
    for group in (beside.others, beside.ensembles):
        admin.load_all(dict.fromkeys(beside.names[name] for name in group))
    say("testing it with its example images")
    found = [(each, smoke.test(admin.client, each, beside.names)) for each in tested]
    return tuple(f"{each}: {shown.summary}" for each, shown in found)


def _switch(
    admin: Admin, beside: Beside, before: Mapping[str, int], say: Say, drain_s: float
) -> None:
    say("switching")
    split = any(each.partition(MARK)[0] in beside.moves for each in admin.models() if MARK in each)
    for name in beside.ensembles:
        admin.load(name, _with_old(beside.running_beside(name), before.get(name)))
    draining = [name for name in beside.ensembles if _is_later(beside, name, before)]
    for name in beside.others:
        if _load_with_old(admin, beside, name, before):
            draining.append(name)
    for name in beside.ensembles:
        admin.load(name, _with_old(beside.usual(name), before.get(name)))
    if draining or split:
        say("waiting for the requests of the old version")
        time.sleep(drain_s)
    for name in draining:
        admin.load(name, beside.usual(name))


def _is_later(beside: Beside, name: str, before: Mapping[str, int]) -> bool:
    return name in before and before[name] < beside.moves[name]


def _load_with_old(admin: Admin, beside: Beside, name: str, before: Mapping[str, int]) -> bool:
    """Load a model, with the old number where its file fits the new configuration too."""
    if _is_later(beside, name, before):
        with contextlib.suppress(HostError):
            admin.load(name, _with_old(beside.usual(name), before[name]))
            return True
    admin.load(name, beside.usual(name))
    return False


def _with_old(made: Any, old: int | None) -> Any:
    """The configuration that loads the number of the old version too, if the new one is later."""
    numbers = made.version_policy.specific.versions
    if old is not None and old < numbers[0]:
        numbers.append(old)
    return made


def _served(repository: Repository, models: Mapping[str, int]) -> dict[str, int]:
    """The version of each model that is served now, where it can be served again."""
    found = {
        name: whole.served_version(repository.directory(name), repository.versions(name))
        for name in models
    }
    return {
        name: version
        for name, version in found.items()
        if version is not None and whole.keeps_its_own(repository.directory(name) / str(version))
    }


def _undo(admin: Admin, repository: Repository, beside: Beside, before: Mapping[str, int]) -> None:
    repository.serve(before)
    for name in (*beside.others, *beside.ensembles):
        if name in before:
            with contextlib.suppress(HostError):
                admin.load(name)


def clear(admin: Admin, beside: Beside, repository: Repository) -> None:
    """Unload what is beside, of a change that was killed too, and remove its files.

    The models of a canary that has ended are unloaded too.
    """
    with contextlib.suppress(HostError):
        loaded = admin.models()
        gone = ended(loaded, repository)
        ensembles = [each for name, each in beside.names.items() if name in beside.ensembles]
        ensembles += [each for each in gone if "_image" in each]
        for name in sorted((*left(loaded), *gone), key=lambda each: each not in ensembles):
            admin.unload(name)
    beside.remove()


def ended(loaded: Iterable[str], repository: Repository) -> tuple[str, ...]:
    """The models of canaries that are loaded although the repository has none."""
    return tuple(
        each for each in loaded if MARK in each and not repository.directory(each).is_dir()
    )


def _kept(error: ResnetServeError, change: Change) -> ResnetServeError:
    """The error, and what is served now."""
    old, new = change.old, change.new
    if old is None or old.version == new.version:
        still = f"{new.name} is not served"
        remedy = f"Remove it before the server is started again: resnet-serve remove {new.name}"
    else:
        still = f"version {old.version} is still served"
        remedy = f"Remove it with: resnet-serve remove {new.name}:{new.version}"
    if isinstance(error, UnavailableError):
        remedy = "Try again when the server is ready; `resnet-serve health` says whether it is."
    text = error.what if error.where is None else f"{error.where}: {error.what}"
    return type(error)(f"{text}; {still}", where=str(new), remedy=remedy)


def alone(beside: Path) -> AbstractContextManager[None]:
    """One change of a server at a time. Raises `HostError` where another one is under way."""
    busy = HostError(
        "another change of this server is under way", remedy="Try again when it is done."
    )
    return durable.locked(beside, busy)
