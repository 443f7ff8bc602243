"""The network of the family that a checkpoint is, from options, metadata, files and tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resnet_serve.architectures import ARCHITECTURES, Architecture
from resnet_serve.architectures.fitting import OWN, candidates, inferred, listed
from resnet_serve.checkpoints import metadata
from resnet_serve.checkpoints.reading import Checkpoint
from resnet_serve.checkpoints.sidecar_files import CONFIG_FILE, Sidecar
from resnet_serve.checkpoints.statements import Said
from resnet_serve.checkpoints.states.arithmetic import conflicts, pickled, unseen
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import CHANNELS

if TYPE_CHECKING:
    from torch import Tensor

OWN_FIELD = "metadata.architecture"


@dataclass(frozen=True)
class Identified:
    """The network of a checkpoint, with the file's own stem and classifier, and how it is known.

    `recorded` says that the file or one beside it records what the network computes: our own
    metadata, a `config.json`, the modules of a pickle. `named` is the field of a training that
    names the network, `unseen` are the classes of a pickle whose code is not known. `twins` are
    other networks with the same tensors, where nothing chooses between them; `notices` are
    sentences for the user.
    """

    architecture: Architecture
    recorded: bool = False
    named: str | None = None
    unseen: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    twins: tuple[str, ...] = ()


def network_of(found: Checkpoint, described: Sidecar, given: Architecture | None) -> Identified:
    """The network of a checkpoint; `given` is the architecture from the options.

    Raises `InputFileError` where none is given and the checkpoint does not determine it, and where
    the file names another network with the same tensors than the one given.
    """
    said = _said(found, described)
    doubts = [*described.doubts, *_doubts(said, described)]
    if given is not None:
        architecture = _fitted(given, found.tensors)
        _check_arithmetic(found, architecture)
        _check_same(architecture, found, said, described)
        notice = f"{'; '.join(doubts)}: it is read as a {architecture.name} nevertheless"
        return Identified(
            architecture,
            _recorded(architecture, found, said, described),
            _naming(architecture, said),
            unseen(found.modules),
            (notice,) if doubts else (),
        )
    if doubts:
        where = found.path.with_name(CONFIG_FILE) if described.doubts else found.path
        raise InputFileError(
            f"{'; '.join(doubts)}: its tensors alone do not show what it computes",
            where=where,
            remedy="Give --arch if it computes the same, or --module with its own code.",
        )
    return _inferred(found, said, described)


def _said(found: Checkpoint, described: Sidecar) -> Said | None:
    """The network that the file or one beside it names: our own metadata first."""
    for each in found.statements.networks:
        if row_of(each.value) is not None:
            return each
    if described.architecture is not None:
        return Said(f"{CONFIG_FILE}: architecture", described.architecture)
    return next(iter(found.statements.networks), None)


def row_of(name: str) -> str | None:
    """The row of the family that a name means, however it is spelt: "ResNet-50", "resnet50.a1"."""
    plain = _plain(name.partition(".")[0])
    return next((row for row in ARCHITECTURES if _plain(row) == plain), None)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name.lower())


def _doubts(said: Said | None, described: Sidecar) -> tuple[str, ...]:
    """A residual network that is not in the family; other names say nothing of the arithmetic."""
    if said is None or described.architecture is not None or row_of(said.value) is not None:
        return ()
    if not re.search(r"res2?ne\w*\d|plain\D?\d", said.value.lower()):
        return ()
    return (f"its {said.field} is {said.value!r:.60}, which is not in the family",)


def _check_same(
    given: Architecture, found: Checkpoint, said: Said | None, described: Sidecar
) -> None:
    named = None if said is None else row_of(said.value)
    rows = {row.name: row for row in candidates(found.tensors)}
    if said is not None and named in rows and named != given.name:
        what = f"its {said.field} is {said.value!r}"
    elif said is None and described.strided is not None and given.strided != described.strided:
        named = next((n for n, row in rows.items() if row.strided == described.strided), None)
        what = f"{CONFIG_FILE} halves the image in the {described.strided} convolutions"
    else:
        return
    if named is None or given.name not in rows:
        return  # `fitting` says what does not fit
    raise InputFileError(
        f"{what}, --arch is {given.name}: the tensors are the same, what is computed is not",
        where=found.path,
        remedy=f"Give --arch {named}.",
    )


def _recorded(row: Architecture, found: Checkpoint, said: Said | None, described: Sidecar) -> bool:
    """Whether the file or one beside it says what the network computes.

    A name in the fields of a training does not: "resnet50" may have another last stride.
    """
    if said is not None and row_of(said.value) != row.name:
        return False
    own = said is not None and said.field == OWN_FIELD and metadata.is_own(found.metadata)
    return own or described.recorded or (pickled(found.modules) and not unseen(found.modules))


def _naming(row: Architecture, said: Said | None) -> str | None:
    """The field that names a network."""
    return said.field if said is not None and row_of(said.value) == row.name else None


def _inferred(found: Checkpoint, said: Said | None, described: Sidecar) -> Identified:
    """The network that the file or its sidecar files name, or else the first that fits.

    Then other networks that fit too are its twins.
    """
    # Where nothing fits, `inferred` raises the error.
    fits = candidates(found.tensors) or (inferred(found.tensors, found.path),)
    alike = [each for each in fits if not conflicts(found.modules, each)]
    if not alike:
        _check_arithmetic(found, fits[0])
    row, *others = alike
    named = None if said is None else row_of(said.value)
    for each in (row, *others):
        if each.name == named:
            return _identified(each, found, said, described)
    notices: tuple[str, ...] = ()
    if said is not None:
        notices = (f"its {said.field} is {said.value!r:.60}; by its tensors it is a {row.name}",)
    for each in (row, *others):
        if each.strided == described.strided:
            return _identified(each, found, None, described, notices)
    twins = tuple(each.name for each in others)
    return _identified(row, found, said, described, notices, twins)


def _identified(
    row: Architecture,
    found: Checkpoint,
    said: Said | None,
    described: Sidecar,
    notices: tuple[str, ...] = (),
    twins: tuple[str, ...] = (),
) -> Identified:
    return Identified(
        row,
        _recorded(row, found, said, described),
        _naming(row, said),
        unseen(found.modules),
        notices,
        twins,
    )


def _check_arithmetic(found: Checkpoint, architecture: Architecture) -> None:
    """Refuse a pickled network whose modules compute something else between the same tensors."""
    differences = conflicts(found.modules, architecture)
    if differences:
        raise InputFileError(
            f"its tensors are those of a {architecture.name}, its arithmetic is not: "
            f"{listed(differences)}",
            where=found.path,
            remedy=next(
                (
                    f"Give --arch {row.name}."
                    for row in candidates(found.tensors)
                    if not conflicts(found.modules, row)
                ),
                OWN,
            ),
        )


def _fitted(architecture: Architecture, state: Mapping[str, Tensor]) -> Architecture:
    """The architecture with the file's own stem and classifier."""
    stem = state.get("conv1.weight", state.get("conv1.0.weight"))  # deep stems are sequences
    if stem is not None and stem.ndim == 4 and stem.shape[1] in CHANNELS:
        architecture = architecture.with_channels(stem.shape[1])
    head = state.get("fc.weight")
    classes = head.shape[0] if head is not None and head.ndim == 2 else 0
    # `fitting` raises the error for a file without a classifier.
    return architecture.with_classes(classes) if classes else architecture
