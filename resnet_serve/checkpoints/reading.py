"""One checkpoint, from a path or an address to the tensors of its network, checked and announced.

The options of `resnet-convert` that say how a checkpoint is to be read, and what reading it found.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_serve.checkpoints import files, state_dicts
from resnet_serve.download import Progress, fetch, torch_hub_checkpoints
from resnet_serve.errors import InputFileError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True)
class Reading:
    """How a checkpoint is to be read: the options of the same names."""

    ema: bool = False
    trust_pickle: bool = False
    sha256: str | None = None
    preprocessing: Path | None = None

    @property
    def of_files(self) -> str | None:
        """The first option given that means nothing without a checkpoint file."""
        given = {
            "--ema": self.ema,
            "--trust-pickle": self.trust_pickle,
            "--weights-sha256": self.sha256 is not None,
        }
        return next((flag for flag, value in given.items() if value), None)

    def check(self, spec: str, *, inferring: bool = False) -> None:
        """Refuse, before anything is read, what does not go with the weights that are named."""
        if inferring and not is_file(spec):
            raise UsageError(
                f"there is nothing to infer a network from in {spec!r}",
                remedy="Name it with --arch, or give --weights a checkpoint.",
            )
        if self.of_files is not None and not is_file(spec):
            raise UsageError(
                f"{self.of_files} is for checkpoint files", remedy=f"Leave it out with {spec!r}."
            )
        if self.sha256 is not None and not _SHA256.fullmatch(self.sha256):
            raise UsageError(f"--weights-sha256 takes 64 hexadecimal digits, not {self.sha256!r}")
        if self.sha256 is None and is_address(spec):
            raise UsageError(
                "weights from an address need the SHA-256 of the file",
                remedy="Give it with --weights-sha256; whoever published the file should say it.",
            )


AS_IT_IS = Reading()


@dataclass(frozen=True)
class Checkpoint:
    """The network in a file: tensors by clean name, what was stored with them, where they lay.

    `source` is what to call it in a passport; `notices` what its user should be told.
    """

    path: Path
    source: str
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    sha256: str
    notices: tuple[str, ...]
    trusted_pickle: bool


def read(spec: str, reading: Reading = AS_IT_IS, progress: Progress | None = None) -> Checkpoint:
    """Read a file, or fetch it first; raises `InputFileError` for what is no checkpoint."""
    reading.check(spec)
    path = Path(spec)
    if reading.sha256 is not None and is_address(spec):
        kept = cached(spec, reading.sha256)
        path = fetch(spec, kept, sha256_prefix=reading.sha256, progress=progress)
    path = files.located(path)
    digest = files.digest(path)
    if reading.sha256 is not None and digest != reading.sha256.lower():
        raise InputFileError(
            f"has SHA-256 {digest}, expected {reading.sha256.lower()}",
            where=path,
            remedy="It is damaged, or not the file that was meant.",
        )
    contents = files.read(path, trust_pickle=reading.trust_pickle)
    choice = state_dicts.choose(contents.loaded, path, ema=reading.ema)
    part, notices = choice.part, choice.notices
    if contents.trusted_pickle:
        notices += (f"{path} holds pickled code, and it was RUN (--trust-pickle)",)
    place = ", ".join(filter(None, (part.place, "averaged" if part.averaged else "")))
    return Checkpoint(
        path=path,
        source=f"{spec} ({place})" if place else spec,
        tensors=part.tensors,
        metadata=contents.metadata,
        sha256=digest,
        notices=notices,
        trusted_pickle=contents.trusted_pickle,
    )


def is_file(spec: str) -> bool:
    """Whether weights are a file or an address, and not known by name."""
    return spec != "digits" and spec.partition(":")[0] not in ("imagenet", "random")


def is_address(spec: str) -> bool:
    """Whether a checkpoint has to be fetched."""
    return spec.lower().startswith(("https://", "http://"))


def cached(url: str, sha256: str) -> Path:
    """Where the file of an address is kept: beside torch's own, under its hash and its name."""
    name = urllib.parse.unquote(urllib.parse.urlsplit(url).path).replace("\\", "/")
    plain = re.sub(r"[^\w.-]", "_", name.rpartition("/")[2]) or "checkpoint"
    return torch_hub_checkpoints() / f"{sha256.lower()[:16]}-{plain[-80:]}"
