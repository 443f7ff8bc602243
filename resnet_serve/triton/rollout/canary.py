"""A canary on a running server: begun and withdrawn without a failed request.

begin      load the new version beside and test it · write the canary into the repository · load
           both versions alone · put the split in the place of the old version
withdraw   take the canary out of the repository · put the old version in the place of the split ·
           wait for its requests · unload the versions alone

Promoting it is an ordinary change (`rollout.serve`). A server that is started again finds the split
in the repository. Until the split is there the old version serves, as it does where a step fails.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

from resnet_serve.errors import HostError, ResnetServeError, UnavailableError
from resnet_serve.triton import config
from resnet_serve.triton.canary.split import alone as alone_name
from resnet_serve.triton.repository import CONFIG_FILE, Repository
from resnet_serve.triton.repository.canaries import Canary
from resnet_serve.triton.rollout import rollout
from resnet_serve.triton.rollout.admin import Admin
from resnet_serve.triton.rollout.beside import Beside
from resnet_serve.triton.rollout.rollout import DRAIN_S, Place, Say
from resnet_serve.triton.supervision import servable


def begin(
    place: Place, repository: Repository, canary: Canary, say: Say, *, drain_s: float = DRAIN_S
) -> tuple[str, ...]:
    """Give the new version its share on a running server; returns what the smoke test showed.

    The requests of a canary before it have `drain_s` seconds to be answered.

    Raises `HostError` where a model cannot be loaded and `ParityError` where its outputs are not
    those of the reference; then the old version gets all requests, there and in the repository.
    """
    new = canary.new
    moves = dict.fromkeys(new.models, new.version)
    with rollout.alone(place.beside):
        admin = Admin(place.endpoints)
        beside = Beside(place.beside, repository.path, moves)
        try:
            shown = rollout.load_beside(admin, beside, (new,), say)
            repository.split(canary)
            servable.show_images(place.beside.parent, repository.path)
            try:
                _load(admin, repository, canary, say)
                if rollout.ended(admin.models(), repository):
                    say("waiting for the requests of the canary before it")
                    time.sleep(drain_s)
            except ResnetServeError:
                repository.serve(dict.fromkeys(canary.old.models, canary.old.version))
                with contextlib.suppress(HostError):
                    _load_old(admin, repository, canary)
                raise
        except ResnetServeError as error:
            raise _kept(error, canary) from error
        finally:
            rollout.clear(admin, beside, repository)
    return shown


def withdraw(
    place: Place, repository: Repository, canary: Canary, say: Say, *, drain_s: float = DRAIN_S
) -> None:
    """Give all requests to the old version again; the new one stays in the repository.

    Raises `HostError` where the old version cannot be loaded; it can be repeated.
    """
    with rollout.alone(place.beside):
        admin = Admin(place.endpoints)
        repository.serve(dict.fromkeys(canary.old.models, canary.old.version))
        servable.show_images(place.beside.parent, repository.path)
        say("loading the served version")
        _load_old(admin, repository, canary)
        say("waiting for the requests of the canary")
        time.sleep(drain_s)
        rollout.clear(admin, Beside(place.beside, repository.path, {}), repository)


def _load(admin: Admin, repository: Repository, canary: Canary, say: Say) -> None:
    """Both versions alone, then the splits; versions that are loaded stay as they are."""
    loaded = admin.models()
    alone = [
        alone_name(each, deployed.version)
        for deployed in (canary.old, canary.new)
        for each in deployed.models
    ]
    made = {name: _config(repository, name) for name in alone if name not in loaded}
    ensembles = [name for name, each in made.items() if each.ensemble_scheduling.step]
    if made:
        say("loading both versions for the canary")
    admin.load_all({name: each for name, each in made.items() if name not in ensembles})
    admin.load_all({name: made[name] for name in ensembles})
    say("splitting the requests")
    # One after the other: a load of `net` concerns the ensembles that run it too.
    for name in canary.routed:
        admin.load(name, _config(repository, name))


def _load_old(admin: Admin, repository: Repository, canary: Canary) -> None:
    for name in canary.routed:
        admin.load(name, _config(repository, name))


def _config(repository: Repository, name: str) -> Any:
    """The configuration in the repository; given with the request it is loaded in any case."""
    made = config.parse((repository.directory(name) / CONFIG_FILE).read_text(encoding="utf-8"))
    made.name = name
    return made


def _kept(error: ResnetServeError, canary: Canary) -> ResnetServeError:
    """The error, and what is served now."""
    new = canary.new
    remedy = f"Remove it with: resnet-serve remove {new.name}:{new.version}"
    if isinstance(error, UnavailableError):
        remedy = "Try again when the server is ready; `resnet-serve health` says whether it is."
    text = error.what if error.where is None else f"{error.where}: {error.what}"
    still = f"version {canary.old.version} gets all requests"
    return type(error)(f"{text}; {still}", where=str(new), remedy=remedy)
