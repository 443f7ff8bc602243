"""Integrity: a backend loads the files that the version's passport names, from its repository only.

    net/4/  model.onnx  config.pbtxt  labels.txt  passport.json: {"files": {"net": {NAME: SHA-256}}}

The passport of `net` has the hashes of `net_preprocess` and `net_image` too. A version without a
passport, or with an earlier one that has no hashes, is loaded as it is. Links are followed before a
file is opened, and may not lead out of the repository.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from resnet_serve import durable
from resnet_serve.triton import image_repository
from resnet_serve.triton.backends.contract import ContractError
from resnet_serve.triton.layout import COMPANIONS, CONFIG_FILE, LABELS_FILE
from resnet_serve.triton.supervision import servable

_PASSPORT = "passport.json"
_ALSO = (CONFIG_FILE, LABELS_FILE)


def check(config: Mapping[str, Any], version_directory: Path, *files: Path) -> None:
    """Check `files`, which are about to be loaded, and the version's own configuration and labels.

    Raises `ContractError` for one that leads out of the repository, or is not the passport's.
    """
    model, own = config["name"], version_directory.resolve()
    roots = _roots(version_directory.parent)
    for file in files:
        _require_inside(model, file, *roots)
    for output in config.get("output") or []:
        if output.get("label_filename"):
            labels = version_directory.parent / output["label_filename"]
            _require_inside(model, labels, *roots, version_directory.parent.resolve())
    stated = _stated(model, own)
    if stated is None:
        return
    for file in files:
        inside = file.is_relative_to(version_directory)
        name = file.relative_to(version_directory).as_posix() if inside else str(file)
        if name not in stated:
            raise _refusal(model, f"{own / name} is not among the files of its passport")
        _compare(model, own / name, stated[name])
    for name in _ALSO:
        if name in stated:
            _compare(model, own / name, stated[name])


def _roots(model_directory: Path) -> tuple[Path, Path]:
    """Both repositories; of a model that is loaded beside the served version, the server's."""
    folder = model_directory.parent
    if folder == servable.beside(folder.parent):
        folder = servable.repository(folder.parent)
    repository = image_repository.first(folder).resolve()
    return repository, image_repository.of(repository)


def _require_inside(model: str, file: Path, *roots: Path) -> None:
    found = file.resolve()
    if not any(found.is_relative_to(root) for root in roots):
        raise ContractError(
            f"model '{model}': {file.name} leads out of the model repository, to {found}; copy the "
            "file into the version instead"
        )


def _stated(model: str, own: Path) -> dict[str, str] | None:
    """The hashes that the passport has of a version's files; None where it has none."""
    for name, ending in _owners(own.parent.name):
        repository = image_repository.first(own.parent.parent)
        path = image_repository.directory(repository, name) / own.name / _PASSPORT
        try:
            text = path.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise _refusal(model, f"{path} cannot be read ({error})") from error
        try:
            document = json.loads(text)
            files = document.get("files") or {}
            # A copy of the model has another name than its passport.
            found = files.get(own.parent.name, files.get(f"{document['name']}{ending}"))
            if found is None:
                return None
            plan = (document.get("engine") or {}).get("plan_sha256")
            built = {} if plan is None or ending else {"model.plan": str(plan)}
            return {**found, **built}
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
            raise _refusal(model, f"{path} is not a passport ({error!r})") from error
    return None


def _owners(name: str) -> Iterator[tuple[str, str]]:
    """The models in whose passport the hashes of a model may be, and how its own name then ends."""
    yield name, ""
    for ending in COMPANIONS:
        if name.endswith(ending):
            yield name.removesuffix(ending), ending


def _compare(model: str, path: Path, sha256: str) -> None:
    try:
        found = durable.sha256(path)
    except OSError as error:
        raise _refusal(
            model, f"{path} cannot be read ({(error.strerror or '').lower()})"
        ) from error
    if found != sha256:
        what = f"{path} has sha256 {found[:12]}…, its passport {sha256[:12]}…"
        raise _refusal(model, what)


def _refusal(model: str, what: str) -> ContractError:
    return ContractError(
        f"model '{model}': {what}; resnet-serve verify --host compares all of them. Convert the "
        "model again, or put the file back"
    )
