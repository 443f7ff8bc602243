"""Stated preprocessing: that of the files of a checkpoint, or the usual one as an assumption.

First found, first taken: our metadata, a pickled transform, plain values in the file, a JSON file
beside it, torchvision's own where the file is one that it publishes, the usual of the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_serve.checkpoints.sidecar_files import Sidecar
from resnet_serve.checkpoints.transforms import stated
from resnet_serve.errors import InputFileError, Note
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.weights import defaults
from resnet_serve.weights.assumptions import Assumption

if TYPE_CHECKING:
    from resnet_serve.checkpoints.reading import Checkpoint


@dataclass(frozen=True)
class Decided:
    """The preprocessing of weights, what says it, notices, and what is assumed of it.

    `source` is None where nothing says it.
    """

    preprocessing: Preprocessing
    source: str | None = None
    notices: tuple[str, ...] = ()
    assumptions: tuple[Assumption, ...] = ()


def decide(
    checkpoint: Checkpoint,
    own: Preprocessing | None,
    described: Sidecar,
    *,
    usual: Preprocessing,
    table: str,
    overridden: bool,
) -> Decided | None:
    """The preprocessing of a checkpoint; None where nothing in it or beside it says one.

    `own` is that of our metadata, `usual` that of the network by a `table`. Raises `InputFileError`
    for what cannot be used, unless it is `overridden` by an option.
    """
    path = checkpoint.path
    if own is not None:
        return Decided(own, f"the metadata of {path}")
    if checkpoint.transform is None:
        try:
            found = stated.first(checkpoint.statements.preprocessing, path, usual)
        except InputFileError:
            if not overridden:
                raise
            found = None
        if found is not None:
            return _stated(found, path, table, overridden=overridden)
    if described.preprocessing is None:
        return None
    kind = None if checkpoint.transform is None else checkpoint.transform.kind
    return Decided(described.preprocessing, f"{kind or 'a file beside it'} of {path}")


def _stated(found: stated.Found, path: Path, table: str, *, overridden: bool) -> Decided:
    source = f"{found.field} of {path}"
    if overridden:
        return Decided(found.preprocessing, source)
    notices = (*found.notices, Note(f"the preprocessing is that of {source}"))
    if found.whole:
        return Decided(found.preprocessing, source, notices)
    assumed = defaults.preprocessing_assumed(
        found.preprocessing, f"{table}, but for {found.field} of the file"
    )
    return Decided(found.preprocessing, source, notices, (assumed,))


def contradicted(given: Preprocessing, said: Preprocessing, source: str | None) -> tuple[str, ...]:
    """A notice where `--preprocessing` is not what the files say."""
    if source is None or given == said:
        return ()
    differs = stated.different(said, given)
    return (f"--preprocessing is used, although {source} says {differs}",)
