"""The PyTorch network of a deployed version, built again from what its passport names.

The weights must have the SHA-256 of the passport. A network of the user's own (`--module`) is code
that the passport only names: it runs where the caller allows that very name.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_serve import weights
from resnet_serve.architectures import find, with_head
from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.passport import ConvertedPassport
from resnet_serve.triton.layout import LABELS_FILE
from resnet_serve.triton.repository.versions import Deployed

if TYPE_CHECKING:
    from torch import nn


def labels(deployed: Deployed) -> tuple[str, ...]:
    """The names of its classes; none for a version that has no classes."""
    own = deployed.path / LABELS_FILE
    path = own if own.is_file() else deployed.path.parent / LABELS_FILE
    return tuple(path.read_text(encoding="utf-8").splitlines()) if path.is_file() else ()


def network(deployed: Deployed, modules: Collection[str]) -> nn.Module:
    """The network, with the outputs of the version; `modules` may be run.

    Raises `InputFileError` for weights that are not those of the passport, `UsageError` for code
    that may not be run, and `HostError` where PyTorch is not installed.
    """
    document = deployed.passport
    if not isinstance(document, ConvertedPassport):
        raise TypeError(f"{deployed} has no network of its own")
    # Every command would otherwise spend a fifth of its start on importing readers of checkpoints.
    from resnet_serve.checkpoints.reading import again, is_file
    from resnet_serve.weights import custom_modules

    stated, module = document.weights, document.module
    if stated.trusted_pickle:
        raise UsageError(
            "its weights are a pickle whose code was run (--trust-pickle), which is not done again",
            where=str(deployed),
            remedy="Convert it from a file of tensors alone, such as .safetensors.",
        )
    spec, reading = again(stated.source, stated.sha256)
    its_own = module is not None and spec == custom_modules.own(module)
    if not its_own and is_file(spec) and "://" not in spec and not Path(spec).exists():
        raise InputFileError(
            f"is not there, and {deployed} was made from it",
            where=spec,
            remedy=f"Put the checkpoint there again (SHA-256 {stated.sha256}), work in the folder "
            "in which it was converted, or leave out --images.",
        )
    if module is None:
        row = find(document.architecture)
        loaded = weights.load(spec, row, labels=labels(deployed) or None, reading=reading)
    elif module in modules:
        loaded = custom_modules.load(
            module,
            None if its_own else spec,
            labels=labels(deployed) or None,
            reading=reading,
            preprocessing=document.contract.preprocessing,
        )
    else:
        raise UsageError(
            f"its network is code of your own, {module}, which runs only where you name it",
            where=str(deployed),
            remedy=f"Give --module {module}, or leave out --images.",
        )
    if loaded.sha256 != stated.sha256:
        raise InputFileError(
            f"is not what {deployed} was made from (its SHA-256 differs)",
            where=stated.source,
            remedy=f"Convert it again: {document.command}",
        )
    return with_head(loaded.network(), document.head)
