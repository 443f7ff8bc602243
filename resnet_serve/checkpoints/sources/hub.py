"""Hub: checkpoints of the Hugging Face Hub, `hf://owner/name[@revision][:file]`.

    hf://microsoft/resnet-50  ─►  hf://microsoft/resnet-50@<commit>:model.safetensors  ─►  a file

A branch or tag can move, so it is resolved to the commit that it is now, which is what the passport
keeps. `huggingface_hub` (the extra `hub`) downloads and caches; the JSON files beside the weights
come with them. `HF_ENDPOINT`, `HF_HUB_CACHE` and `HF_HOME` are read as it reads them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from resnet_serve.errors import HostError, InputFileError, Note, UsageError
from resnet_serve.optional import optional
from resnet_serve.user_cache import cache_home

if TYPE_CHECKING:
    import huggingface_hub
else:
    huggingface_hub = optional("huggingface_hub", extra="hub")

SCHEME = "hf://"
_FORM = re.compile(
    r"hf://(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?(:(?P<file>[\w./ +-]+))?"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_BESIDE = ("config.json", "preprocessor_config.json")
_WEIGHTS = (".safetensors", ".bin", ".pth", ".pt", ".ckpt", ".index.json")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Place:
    """A repository on the hub, and perhaps a revision and a file of it."""

    repository: str
    revision: str | None = None
    file: str | None = None

    @property
    def pinned(self) -> bool:
        """Whether the revision is a commit, which cannot move."""
        return self.revision is not None and _COMMIT.fullmatch(self.revision) is not None

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{SCHEME}{self.repository}{revision}" + (f":{self.file}" if self.file else "")


@dataclass(frozen=True)
class Fetched:
    """A file of the hub on this host, the commit and file that it is, and a notice."""

    path: Path
    place: Place
    notices: tuple[str, ...] = ()


def is_hub(spec: str) -> bool:
    """Whether the value of `--weights` is a place on the hub."""
    return spec.startswith(SCHEME)


def parse(spec: str) -> Place:
    """The place that a value names; raises `UsageError` for one that is malformed."""
    match = _FORM.fullmatch(spec)
    file = match["file"] if match else None
    if match is None or (file is not None and ".." in PurePosixPath(file).parts):
        raise UsageError(
            f"{spec!r} names no file of the Hugging Face Hub",
            remedy="Give it as hf://owner/name, hf://owner/name@revision or "
            "hf://owner/name@revision:file",
        )
    return Place(match["repository"], match["revision"], file)


def resolved(spec: str, preferred: tuple[str, ...]) -> tuple[Place, tuple[str, ...]]:
    """The commit and file that a value means now, and the files of the repository.

    Without a file it is the first of `preferred` that is there. A commit with its file needs no
    network, and has no list of files.
    """
    place = parse(spec)
    if place.pinned and place.file is not None:
        return place, ()
    info = _asked(
        place,
        lambda: huggingface_hub.HfApi(endpoint=_endpoint()).model_info(
            place.repository, revision=place.revision or "main"
        ),
    )
    names = tuple(each.rfilename for each in info.siblings or ())
    file = place.file or next((name for name in preferred if name in names), None)
    if file is None:
        weights = [name for name in names if name.endswith(_WEIGHTS)]
        raise InputFileError(
            f"has none of {', '.join(preferred)}; its weights are "
            f"{', '.join(weights[:5]) or 'of other formats'}",
            where=spec,
            remedy=f"Name a file: {Place(place.repository, place.revision, weights[0])}"
            if weights
            else "Give another repository.",
        )
    return Place(place.repository, str(info.sha), file), names


def fetch(spec: str, preferred: tuple[str, ...]) -> Fetched:
    """Download what a value means, or find it in the cache.

    Raises `UsageError` for a malformed value, `InputFileError` for a repository, revision or file
    that does not exist, and `HostError` where the hub cannot be reached.
    """
    place, names = resolved(spec, preferred)
    path = downloaded(place, str(place.file))
    folder = PurePosixPath(str(place.file)).parent
    shards = _shards(path) if path.name.endswith(".index.json") else ()
    for name in (*_BESIDE, *shards):
        beside = str(folder / name)
        if beside in names or (not names and name in shards):
            downloaded(place, beside)
    return Fetched(path, place, moving(spec, place))


def moving(spec: str, place: Place) -> tuple[str, ...]:
    """A notice where the value is a branch or tag, which is now at the commit of `place`."""
    given = parse(spec)
    if given.pinned:
        return ()
    name = f"{given.revision or 'main'!r} of {given.repository}"
    return (Note(f"{name} is now the commit {place.revision}: pin it with {place}"),)


def check_file(place: Place) -> None:
    """Raise `InputFileError` for a file that the hub does not have; nothing is downloaded."""
    url = huggingface_hub.hf_hub_url(
        place.repository, str(place.file), revision=place.revision, endpoint=_endpoint()
    )
    _asked(place, lambda: huggingface_hub.get_hf_file_metadata(url, endpoint=_endpoint()))


def header(
    place: Place, name: str
) -> tuple[dict[str, tuple[str, tuple[int, ...]]], dict[str, str]]:
    """The type and shape of each tensor in a safetensors file, and its metadata."""
    api = huggingface_hub.HfApi(endpoint=_endpoint())
    found = _asked(
        place,
        lambda: api.parse_safetensors_file_metadata(
            place.repository, name, revision=place.revision
        ),
    )
    shapes = {key: (str(each.dtype), tuple(each.shape)) for key, each in found.tensors.items()}
    return shapes, {str(key): str(value) for key, value in (found.metadata or {}).items()}


def fetch_beside(place: Place, names: tuple[str, ...]) -> Path:
    """Download the JSON files beside a file, and return the path that the file would have."""
    for each in _BESIDE:
        name = str(PurePosixPath(str(place.file)).parent / each)
        if name in names:
            downloaded(place, name)
    return _snapshot(place) / str(place.file)


def in_cache(spec: str) -> bool:
    """Whether a pinned file is in the cache, so that it needs no network."""
    place = parse(spec)
    if not (place.pinned and place.file):
        return False
    return (_snapshot(place) / place.file).is_file()


def _snapshot(place: Place) -> Path:
    folder = f"models--{place.repository.replace('/', '--')}"
    return _cache() / folder / "snapshots" / str(place.revision)


def downloaded(place: Place, name: str) -> Path:
    """A file of the repository, from the cache or the hub."""
    return Path(
        _asked(
            place,
            lambda: huggingface_hub.hf_hub_download(
                place.repository,
                name,
                revision=place.revision,
                cache_dir=_cache(),
                endpoint=_endpoint(),
            ),
        )
    )


def _shards(index: Path) -> Iterator[str]:
    """The names of an index; the reader of the checkpoint checks them, before it reads one."""
    try:
        names = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        yield from sorted({name for name in names if PurePosixPath(name).name == name})
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


def _cache() -> Path:
    home = Path(os.environ.get("HF_HOME") or cache_home() / "huggingface").expanduser()
    return Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()


def _asked(place: Place, ask: Callable[[], Result]) -> Result:
    """The hub's response, with its errors as ours."""
    try:
        return ask()
    except HostError:
        raise  # the package is not installed
    except Exception as error:  # the client's HTTP library has errors of its own
        raise _explained(place, error) from error


def _explained(place: Place, error: Exception) -> InputFileError | HostError:
    kind = type(error).__name__
    if kind in ("RepositoryNotFoundError", "GatedRepoError", "DisabledRepoError"):
        return InputFileError(
            "is no repository that can be read: it does not exist, is private, or its terms are to "
            "be accepted",
            where=place,
            remedy="Check the spelling; for a private one log in first: hf auth login",
        )
    if kind in ("RevisionNotFoundError", "RevisionResolutionError"):
        return InputFileError("has no such revision", where=place, remedy="Check the spelling.")
    if kind in ("SafetensorsParsingError", "NotASafetensorsRepoError"):
        return InputFileError("is not a complete safetensors file", where=place)
    if kind in ("EntryNotFoundError", "RemoteEntryNotFoundError"):
        return InputFileError("has no such file", where=place, remedy="Check the spelling.")
    reason = " ".join(str(error).split())[:200] or kind
    return HostError(
        f"the Hugging Face Hub cannot be reached ({reason})",
        where=place,
        remedy=f"On a host with network: hf download {place.repository}; copy the folder here and "
        "give it with --weights.",
    )
