"""Reading: one checkpoint, from a path or an address to the checked tensors of its network.

`Reading` holds the options of `resnet-convert` for it, `Checkpoint` is the result.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from resnet_serve.checkpoints import files, state_dicts, statements
from resnet_serve.checkpoints.sources import headers, hub
from resnet_serve.checkpoints.statements import Statements
from resnet_serve.checkpoints.states import (
    containers,
    matching,
    selection,
    tensor_kinds,
    training_forms,
)
from resnet_serve.checkpoints.states.arithmetic import PickledModule
from resnet_serve.checkpoints.transforms import recorded
from resnet_serve.checkpoints.transforms.steps import Step
from resnet_serve.download import Progress, fetch, torch_hub_checkpoints
from resnet_serve.errors import InputFileError, Note, UsageError

if TYPE_CHECKING:
    from torch import Tensor

# The networks that are files of this package, and what each, a `SHIPPED_NETWORK`, was trained on.
SHIPPED: Mapping[str, str] = MappingProxyType(
    {"digits": "handwritten digits", "fashion-mnist": "photographs of clothes, Fashion-MNIST"}
)
SHIPPED_NETWORK = "resnet20"
_AVERAGED = "averaged"
_SOURCE = re.compile(r"(.*) \(([^()]*)\)")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True)
class Reading:
    """The options for reading a checkpoint, such as `--ema` and `--trust-pickle`.

    `sha256` is the expected SHA-256 of the file, `preprocessing` the path of a file, and `key` the
    place of the network among several in the file. With `header` a file of a hub that is not on
    this host is not downloaded: its tensors have names and shapes, and no values.
    """

    ema: bool = False
    trust_pickle: bool = False
    sha256: str | None = None
    preprocessing: Path | None = None
    key: str | None = None
    classifier: bool = True
    header: bool = False

    @property
    def of_files(self) -> str | None:
        """The first option given that applies to checkpoint files only, or None."""
        given = {
            "--ema": self.ema,
            "--trust-pickle": self.trust_pickle,
            "--weights-sha256": self.sha256 is not None,
            "--weights-key": self.key is not None,
        }
        return next((flag for flag, value in given.items() if value), None)

    def check(self, spec: str, *, inferring: bool = False) -> None:
        """Raise `UsageError`, before anything is read, for options that do not fit the weights.

        `spec` is the value of `--weights`; `inferring` says that no architecture is given.
        """
        if inferring and not is_file(spec):
            raise UsageError(
                f"no network can be inferred from {spec!r}",
                remedy="Name it with --arch, or give --weights a checkpoint.",
            )
        if self.of_files is not None and not is_file(spec):
            raise UsageError(
                f"{self.of_files} is for checkpoint files", remedy=f"Omit it with {spec!r}."
            )
        if self.sha256 is not None and not _SHA256.fullmatch(self.sha256):
            raise UsageError(f"--weights-sha256 needs 64 hexadecimal digits, not {self.sha256!r}")
        if hub.is_hub(spec):
            hub.parse(spec)
        if self.sha256 is None and is_address(spec):
            raise UsageError(
                "weights from an address need the SHA-256 of the file",
                remedy="Give it with --weights-sha256; the publisher of the file should state it.",
            )


AS_IT_IS = Reading()


@dataclass(frozen=True)
class Checkpoint:
    """The network in a file: its tensors by clean name, and the file's metadata and SHA-256.

    `source` names the file, and the place of the network in it, in a passport. `notices` are
    sentences for the user. `trusted_pickle` says that pickled code was run. `modules` are those of
    a pickled network, whose code was not run, `transform` that of its images; `statements` is what
    the file says beside its tensors. Where it is not `whole`, the tensors have no values.
    """

    path: Path
    source: str
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    sha256: str
    notices: tuple[str, ...]
    trusted_pickle: bool
    modules: Mapping[str, PickledModule] = field(default_factory=dict)
    transform: Step | None = None
    statements: Statements = field(default_factory=Statements)
    whole: bool = True


def read(
    spec: str,
    reading: Reading = AS_IT_IS,
    progress: Progress | None = None,
    *,
    wanted: matching.Wanted | None = None,
) -> Checkpoint:
    """Read the checkpoint at a path, an address or a place on a hub, from which it is fetched.

    `wanted` are the entries of a custom module, which are taken by their own names; without it, the
    network is one of the family.

    Raises `UsageError` for options that do not fit, `InputFileError` for a file that is not a
    checkpoint or has another SHA-256, and `HostError` for a download that fails.
    """
    reading.check(spec)
    if reading.header and hub.is_hub(spec) and headers.needed(spec, files.IN_FOLDERS):
        return _of_header(spec, reading, wanted)
    path, fetched = Path(spec), None
    if hub.is_hub(spec):
        fetched = hub.fetch(spec, files.IN_FOLDERS)
        path, spec = fetched.path, str(fetched.place)
    elif reading.sha256 is not None and is_address(spec):
        kept = cached(spec, reading.sha256)
        path = fetch(spec, kept, sha256_prefix=reading.sha256, progress=progress)
    path = files.located(path)
    digest = files.digest(path)
    if reading.sha256 is not None and digest != reading.sha256.lower():
        raise InputFileError(
            f"has SHA-256 {digest}, expected {reading.sha256.lower()}",
            where=path,
            remedy="It is damaged, or not the intended file.",
        )
    contents = files.read(path, trust_pickle=reading.trust_pickle)
    chosen, notices = _network(contents.loaded, path, reading, wanted)
    if fetched is not None:
        notices = (*fetched.notices, *notices)
    if contents.trusted_pickle:
        notices += (f"{path} contains pickled code, which was RUN (--trust-pickle)",)
    if contents.placeholders:
        needed = containers.shortened(contents.placeholders)
        said = f"{path} is a pickle that needs {needed}: its tensors were read"
        notices += (Note(f"{said}, none of that was imported or run"),)
    if contents.transform is not None and reading.preprocessing is None:
        notices += (recorded.notice(contents.transform, path),)
    tensor_kinds.check(chosen.tensors, path)
    where = chosen.place or (selection.ROOT if reading.key == selection.ROOT else "")
    place = ", ".join(filter(None, (where, _AVERAGED if chosen.averaged else "")))
    return Checkpoint(
        path=path,
        source=f"{spec} ({place})" if place else spec,
        tensors={name: tensor.detach() for name, tensor in chosen.tensors.items()},
        metadata=contents.metadata,
        sha256=digest,
        notices=notices,
        trusted_pickle=contents.trusted_pickle,
        modules=_inside(contents.modules, chosen.place),
        transform=contents.transform,
        statements=statements.of(contents.loaded, contents.metadata),
    )


def _of_header(spec: str, reading: Reading, wanted: matching.Wanted | None) -> Checkpoint:
    """A checkpoint of a hub by its header."""
    found = headers.read(spec, files.IN_FOLDERS)
    chosen, notices = _network(dict(found.tensors), found.path, reading, wanted)
    tensor_kinds.check(chosen.tensors, found.path)
    return Checkpoint(
        path=found.path,
        source=str(found.place),
        tensors=chosen.tensors,
        metadata=found.metadata,
        sha256="",
        notices=(*found.notices, *notices),
        trusted_pickle=False,
        statements=statements.of({}, found.metadata),
        whole=False,
    )


def _network(
    loaded: object, path: Path, reading: Reading, wanted: matching.Wanted | None
) -> tuple[state_dicts.StateDict | matching.Match, tuple[str, ...]]:
    """The network in the object of a file, and notices for the user."""
    if wanted is not None:
        return matching.match(loaded, wanted, path, ema=reading.ema, key=reading.key)
    choice = state_dicts.choose(loaded, path, ema=reading.ema, key=reading.key)
    form = training_forms.plain(choice.network.tensors, path)
    return replace(choice.network, tensors=form.tensors), choice.notices + form.notices


def _inside(modules: Mapping[str, PickledModule], place: str) -> Mapping[str, PickledModule]:
    """The modules in the place of the chosen network."""
    within = {name: each for name, each in modules.items() if name.startswith(f"{place}.")}
    return within if place else modules


def again(source: str, sha256: str) -> tuple[str, Reading]:
    """The value of `--weights` and the options that read what a `source` names once more.

    `sha256` is that of the file, which an address needs.
    """
    if Path(source).is_file():
        return source, AS_IT_IS
    match = _SOURCE.fullmatch(source)
    spec, parts = (match[1], match[2].split(", ")) if match else (source, [])
    if not is_file(spec):  # as "random:0 (untrained)"
        return spec, AS_IT_IS
    key = next((part for part in parts if part != _AVERAGED), None)
    held = sha256 if is_address(spec) else None
    return spec, Reading(ema=_AVERAGED in parts, key=key, sha256=held)


def is_file(spec: str) -> bool:
    """Whether the value of `--weights` is a file or an address, and not a name."""
    return spec not in SHIPPED and spec.partition(":")[0] not in ("imagenet", "random")


def is_address(spec: str) -> bool:
    """Whether the value of `--weights` is an address, so that the file has to be downloaded."""
    return spec.lower().startswith(("https://", "http://"))


def cached(url: str, sha256: str) -> Path:
    """The path of a downloaded file: with torch's own checkpoints, named by hash and address."""
    name = urllib.parse.unquote(urllib.parse.urlsplit(url).path).replace("\\", "/")
    plain = re.sub(r"[^\w.-]", "_", name.rpartition("/")[2]) or "checkpoint"
    return torch_hub_checkpoints() / f"{sha256.lower()[:16]}-{plain[-80:]}"
