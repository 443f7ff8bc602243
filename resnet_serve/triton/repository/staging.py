"""One change of a repository: built complete beside it, made durable, then committed by a journal.

    with staging.opened(repository) as place:
        …                                   # build the new directory of each model in `place`
        staging.commit(repository, place, {"net": {"4": DIRECTORY, "config.pbtxt": sha256}})

Inside the repository Triton would try to load what is half built. A change can touch several
models: kill -9 before the journal is written leaves the repository as it was, after it the next
command completes the swap. The journal says what each changed model then holds, so that a swap that
was done is not undone.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from resnet_serve import durable
from resnet_serve.triton import image_repository
from resnet_serve.triton.repository import places, whole

DIRECTORY, ABSENT = "directory", "absent"
_REMOVED = {".": ABSENT}
_JOURNAL = ".commit.json"  # no model can have the name of a hidden file
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def root(repository: Path) -> Path:
    """The folder of changes, beside the real directory where the path is a symlink to it."""
    real = repository.resolve()
    return real.parent / f".{real.name}.staging"


@contextlib.contextmanager
def opened(repository: Path) -> Iterator[Path]:
    """An empty directory for one change; one change of the repositories of a folder at a time.

    At its end, or after an interruption at the next start, what the journal commits is swapped in
    and the rest is discarded.
    """
    folder = root(repository)
    other = f"another command that changes a repository in {folder.parent}"
    with durable.locked(folder.parent, other=other):
        with durable.explained(folder.parent):
            folder.mkdir(exist_ok=True)
        for left in folder.iterdir():
            _settle(repository, left)
        place = folder / "deployment"
        place.mkdir()
        try:
            yield place
        finally:
            _settle(repository, place)
            folder.rmdir()


def commit(repository: Path, place: Path, holding: Mapping[str, Mapping[str, str]]) -> None:
    """Commit what was built in `place`; it is swapped in when the change ends.

    `holding` says of each changed model what its new directory holds: the SHA-256 of a file,
    DIRECTORY, or ABSENT, by path inside it. A model without a directory in `place` is removed. One
    that takes encoded images goes to their repository, also from the other. Raises `HostError`
    where a model could not be swapped.
    """
    durable.sync_tree(place)
    roots = _roots(repository)
    changes: dict[str, dict[str, Mapping[str, str]]] = {kind: {} for kind in roots}
    for name, held in holding.items():
        fresh = place / name
        home = image_repository.directory(repository, name).parent
        if (takes_images := whole.takes_images(fresh)) is not None:
            home = roots["images" if takes_images else "models"]
        for kind, root in roots.items():
            if root == home:
                changes[kind][name] = held if fresh.is_dir() else _REMOVED
            elif (root / name).is_dir():
                changes[kind][name] = _REMOVED
    repository.mkdir(exist_ok=True)
    for kind, models in changes.items():
        if models:
            roots[kind].mkdir(exist_ok=True)
            places.check_access(roots[kind])
            places.check_same_mount(place, roots[kind])
        for name in models:
            places.check_replaceable(place, roots[kind] / name)
    durable.write(place / _JOURNAL, json.dumps(changes))


def copy(source: Path, destination: Path) -> None:
    """Copy a model's directory by hard links: its versions and any other files.

    Raises `HostError` where a file cannot be written; `copytree` itself would list every file.
    """
    with durable.explained(destination):
        shutil.copytree(source, destination, symlinks=True, copy_function=_linked)


def _linked(source: str, destination: str) -> object:
    with durable.explained(Path(destination)):
        return link(source, destination)


def replace(path: Path, data: bytes) -> None:
    """Write a file of a copy. Writing into a hard link would change what is being served."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def _roots(repository: Path) -> dict[str, Path]:
    """The repository of encoded images, and the other: the former gains what the latter loses."""
    return {"images": image_repository.of(repository), "models": repository}


def _settle(repository: Path, place: Path) -> None:
    """Swap in the models of a committed change, then remove what is left of it."""
    journal = place / _JOURNAL
    if journal.is_file():
        changes = json.loads(journal.read_text(encoding="utf-8"))
        roots = {kind: root for kind, root in _roots(repository).items() if changes.get(kind)}
        for kind, root in roots.items():
            for name, held in changes[kind].items():
                target, fresh = root / name, place / name
                if all(_holds(target / path, expected) for path, expected in held.items()):
                    continue
                if held != _REMOVED:
                    _swap(fresh, target)
                else:
                    target.rename(place / f".{kind}.{name}")
        for root in roots.values():
            durable.sync_directory(root)
        journal.unlink()
    shutil.rmtree(place)


def _holds(path: Path, expected: str) -> bool:
    if expected == ABSENT:
        return not os.path.lexists(path)
    if expected == DIRECTORY:
        return path.is_dir()
    return path.is_file() and durable.sha256(path) == expected


def link(source: Path | str, destination: Path | str) -> Path | str:
    """Give a file a second name, or copy it."""
    try:
        os.link(source, destination)
    except OSError:  # a file system without hard links
        shutil.copy2(source, destination)
    return destination


def _swap(new: Path, target: Path) -> None:
    """Exchange `new` and `target` in one step."""
    if not target.exists():
        new.rename(target)
        return
    exchange = getattr(ctypes.CDLL(None), "renameat2", None)
    paths = (_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(target))
    # Without the exchange in libc, kernel or file system: two renames, covered by the journal.
    if exchange is None or exchange(*paths, _RENAME_EXCHANGE) != 0:
        old = new.with_name(f".{new.name}.old")
        target.rename(old)
        new.rename(target)
