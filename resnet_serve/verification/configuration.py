"""What a server runs, against the configurations that a version keeps: its own, and its members'.

Where a server has not loaded models that take encoded images, the others are compared alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from resnet_serve.errors import HostError, UsageError
from resnet_serve.passport import ConvertedPassport
from resnet_serve.triton import config, image_repository
from resnet_serve.triton.canary.split import BACKEND
from resnet_serve.triton.config import NEWEST
from resnet_serve.triton.config_patch import ConfigPatch
from resnet_serve.triton.http_client import Client
from resnet_serve.triton.repository import CONFIG_FILE, whole
from resnet_serve.triton.repository.versions import Deployed

_NOT_FOUND, _UNLOADED = "is not found", "has no available versions"


def absent(client: Client, models: Collection[tuple[str, Deployed]]) -> dict[str, bool]:
    """Those of the models that take encoded images which a server does not serve.

    Each is given with the version that it belongs to, and found with whether the server knows it,
    but has unloaded it.
    """
    found = {}
    for model, owner in models:
        if _takes_images(owner, model):
            try:
                client.configuration(model)
            except HostError as error:
                if error.what.endswith((_NOT_FOUND, _UNLOADED)):
                    found[model] = error.what.endswith(_UNLOADED)
    return found


def _takes_images(owner: Deployed, model: str) -> bool:
    """By its configuration; by its name where the repository has none of it."""
    known = whole.takes_images(owner.directory(model))
    return image_repository.takes_images(model) if known is None else known


def differing(client: Client, model: str, deployed: Deployed) -> str:
    """What differs from the version's own configuration; empty where nothing does.

    Raises `HostError` for a model that is not served, and `UsageError` for one with a canary.
    """
    own = deployed.directory(model) / str(deployed.version) / CONFIG_FILE
    expected = config.parse(own.read_text(encoding="utf-8"))
    found = client.configuration(model)
    if found.backend == BACKEND:
        name = deployed.name
        raise UsageError(
            f"a canary of {name} gets a share of the requests to {model}",
            remedy=f"First: resnet-serve promote {name}, or resnet-serve withdraw {name}",
        )
    fields = (*_fields(expected, found, deployed), *_patched(deployed, expected, found))
    wrong = [
        f"{field} {_shown(there)}, the version's own {_shown(ours)}"
        for field, ours, there in fields
        if ours != there
    ]
    # The newest is what requests get. A rollout also loads the version before it until the requests
    # of that one are answered, and Triton shows its number afterwards too.
    newest = max(found.version_policy.specific.versions, default=deployed.version)
    if newest != deployed.version:
        wrong.append(f"version {newest}, not {deployed.version}")
    return "; ".join(wrong)


def _patched(deployed: Deployed, expected: Any, found: Any) -> Iterator[tuple[str, Any, Any]]:
    """The fields that a user had merged into the configuration."""
    document = deployed.passport
    text = document.config_patch if isinstance(document, ConvertedPassport) else None
    if text is None or expected.name != deployed.name:
        return
    there = ConfigPatch(text).fields(found)
    for field, ours in ConfigPatch(text).fields(expected).items():
        yield field, ours, there[field]


def _fields(expected: Any, found: Any, deployed: Deployed) -> Iterator[tuple[str, Any, Any]]:
    for field in ("backend", "platform", "default_model_filename", "max_batch_size"):
        ours = getattr(expected, field)
        if ours:  # the server fills in what is left out
            yield field, ours, getattr(found, field)
    for key, value in expected.parameters.items():
        there = found.parameters[key].string_value if key in found.parameters else None
        yield f"parameter {key}", value.string_value, there
    yield "steps", _steps(expected, deployed), _steps(found, deployed)


def _steps(made: Any, deployed: Deployed) -> list[str]:
    """The steps of an ensemble; the newest version of what was deployed with it is its own."""
    found = []
    for step in made.ensemble_scheduling.step:
        newest = step.model_version == NEWEST and step.model_name in deployed.models
        found.append(f"{step.model_name} {deployed.version if newest else step.model_version}")
    return found


def _shown(value: object) -> str:
    text = ", ".join(value) if isinstance(value, list) else repr(value)
    return text if len(text) < 80 else f"{text[:77]}…"
