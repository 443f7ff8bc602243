"""The deployed version in this process: files, runtime, preprocessing and labels as served.

`facts` compares the version's files with the hashes of its passport, once. `Model` opens it in a
worker, and compares the bytes that it loads again: a worker may run on another machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_serve import durable, runtimes
from resnet_serve.activation import SOFTMAX, Activation
from resnet_serve.batch.failures import Failure, of_decoding
from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.passport import ConvertedPassport
from resnet_serve.preprocessing import ImageError, Preprocessing, decode
from resnet_serve.runtimes import TARGETS, RunnableModel
from resnet_serve.triton.config import OUTPUT
from resnet_serve.triton.repository.versions import Deployed
from resnet_serve.verification import files, rebuilt

FEATURES = "features"


@dataclass(frozen=True)
class Facts:
    """What a worker needs to know of a version; it can be pickled.

    `activation` is None for a model of features, which has no `labels` then. `outputs` has the
    dimensions of each output without the batch. `fast_int8` says that an INT8 model for CPUs was
    proved with VNNI or AMX; None where that does not matter.
    """

    name: str
    version: int
    path: str
    file: str
    sha256: str
    target: str
    precision: str
    input: str
    preprocessing: Preprocessing
    max_batch_size: int
    outputs: Mapping[str, tuple[int, ...]]
    labels: tuple[str, ...]
    activation: Activation | None
    fast_int8: bool | None = None


def facts(deployed: Deployed) -> Facts:
    """The facts of a version that runs in this process, after its files were compared.

    Raises `UsageError` for one that only a server runs, and `InputFileError` for files that are
    not those of the passport.
    """
    document = deployed.passport
    through_server = f"Serve it, and give its address: --url HOST:8001 --name {deployed.name}"
    if not isinstance(document, ConvertedPassport):
        raise UsageError("is composed of other models", where=str(deployed), remedy=through_server)
    row = TARGETS.get(document.target)
    if row is None or row.gpu:
        raise UsageError(
            f"is for {document.target}, which runs on a GPU",
            where=str(deployed),
            remedy=through_server,
        )
    names = tuple(document.outputs)
    if names not in ((OUTPUT,), (FEATURES,)):
        raise UsageError(
            f"has the outputs {', '.join(names)}: maps of megabytes per image",
            where=str(deployed),
            remedy="Convert it with --head features, or use resnet_client.Extractor.",
        )
    _check_files(deployed, document)
    classifies = names == (OUTPUT,)
    return Facts(
        name=deployed.name,
        version=deployed.version,
        path=str(deployed.path.absolute()),
        file=document.model.file,
        sha256=document.model.sha256,
        target=document.target,
        precision=document.precision,
        input=document.contract.input,
        preprocessing=document.contract.preprocessing,
        max_batch_size=document.contract.max_batch_size,
        outputs=dict(document.outputs),
        labels=_labels(deployed, document) if classifies else (),
        activation=(document.contract.activation or SOFTMAX) if classifies else None,
        fast_int8=_proved_with(document),
    )


def _check_files(deployed: Deployed, document: ConvertedPassport) -> None:
    rows = [
        files.compare(deployed.path / document.model.file, document.model.sha256, "model"),
        *files.of_version(deployed, without=deployed.not_copied),
    ]
    for row in rows:
        if row.verdict != "ok":
            raise InputFileError(
                f"{row.subject}: {row.found}", where=str(deployed), remedy=f"{row.remedy}."
            )


def _labels(deployed: Deployed, document: ConvertedPassport) -> tuple[str, ...]:
    """The names of the classes; their numbers where there are none, as clients have them."""
    (count,) = document.outputs[OUTPUT]
    return rebuilt.labels(deployed) or tuple(map(str, range(count)))


def _proved_with(document: ConvertedPassport) -> bool | None:
    matters = document.precision == "int8" and TARGETS[document.target].dialect == "u8s8"
    return document.host.fast_int8 if matters else None


class Model:
    """The version of `facts`, opened with `threads` threads; close it after use.

    Raises `InputFileError` for another file than that of the passport, `HostError` where the
    runtime is not installed.
    """

    def __init__(self, known: Facts, threads: int) -> None:
        self.facts = known
        self._runnable = _opened(known, threads)

    def prepared(self, data: bytes) -> NDArray[Any] | Failure:
        """One element of a batch: UINT8 [H,W,C], or FP32 [C,H,W]."""
        return prepared(data, self.facts.preprocessing, self.facts.input)

    def outputs(self, elements: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        """The outputs [n,…] of a batch."""
        return self._runnable.run(np.stack(elements))

    def close(self) -> None:
        """Release the model."""
        self._runnable.close()


def prepared(data: bytes, preprocessing: Preprocessing, kind: str) -> NDArray[Any] | Failure:
    """One element of a batch from an encoded image; `kind` is "uint8" or "float32"."""
    try:
        pixels = preprocessing.pixels(decode(data, preprocessing.limits))
    except ImageError as error:
        return of_decoding(error)
    return pixels if kind == "uint8" else preprocessing.normalize(pixels)


def _opened(known: Facts, threads: int) -> RunnableModel:
    path = Path(known.path) / known.file
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputFileError(
            f"cannot be read ({(error.strerror or '').lower()})",
            where=path,
            remedy="On a cluster, every node must see the repository at this path.",
        ) from error
    if (found := durable.sha256(data)) != known.sha256:
        raise InputFileError(
            f"has sha256 {found[:12]}…, its passport {known.sha256[:12]}…",
            where=path,
            remedy="Deploy it again with resnet-convert, or put the file back.",
        )
    return runtimes.open_on_cpu(known.target, known.precision, data, threads)
