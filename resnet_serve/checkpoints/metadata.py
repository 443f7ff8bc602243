"""The metadata of our safetensors checkpoints: preprocessing, labels, training record.

Written and read here, so that both agree; every value is JSON, as the format allows only texts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_serve.activation import Activation
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import Preprocessing


def written(
    *,
    architecture: str,
    preprocessing: Preprocessing,
    labels: tuple[str, ...],
    trained: bool,
    training: Mapping[str, Any],
    activation: Activation | None = None,
) -> dict[str, str]:
    """The metadata of a checkpoint to be saved: texts by name."""
    return {
        **({} if activation is None else {"activation": activation.to_text()}),
        "architecture": architecture,
        "preprocessing": preprocessing.to_json(),
        "labels": json.dumps(labels),
        "trained": json.dumps(trained),
        "training": json.dumps(dict(training), sort_keys=True),
    }


def is_own(stored: Mapping[str, str]) -> bool:
    """Whether the metadata of a file are those that `written` gives."""
    return {"architecture", "preprocessing", "training"} <= stored.keys()


@dataclass(frozen=True)
class Metadata:
    """The metadata of the checkpoint at `path`, in which each field may be missing.

    Every method raises `InputFileError` for a field that cannot be used.
    """

    path: Path
    metadata: Mapping[str, str]

    def labels(self, classes: int) -> tuple[str, ...] | None:
        """The class names, or None; they must be as many as the classifier has `classes`."""
        names = self._field("labels", None)
        if names is None:
            return None
        if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise self._broken("labels", "not a list of names")
        labels = tuple(" ".join(name.split()) for name in names)  # one per line in labels.txt
        if not labels or "" in labels:
            raise self._broken("labels", "a name is empty")
        if not (len(labels) == classes or (classes == 1 and len(labels) == 2)):
            raise self._broken("labels", f"{len(labels)} names for {classes} classes")
        return labels

    def activation(self, classes: int) -> Activation | None:
        """How the logits are to be read, or None; it must fit a classifier of so many `classes`."""
        if "activation" not in self.metadata:
            return None
        try:
            found = Activation.from_text(self.metadata["activation"])
        except InputFileError as error:
            raise self._broken("activation", error.what) from error
        if not found.fits(classes):
            raise self._broken("activation", f"{found} does not fit {classes} outputs")
        return found

    def preprocessing(self) -> Preprocessing | None:
        """The preprocessing of the weights, or None."""
        if "preprocessing" not in self.metadata:
            return None
        try:
            return Preprocessing.from_json(self.metadata["preprocessing"])
        except InputFileError as error:
            raise self._broken("preprocessing", error.what) from error

    def trained(self) -> bool:
        """Whether the weights are trained, which is the default."""
        return self._field("trained", True) is not False

    def training(self) -> Mapping[str, Any]:
        """The record of the training; empty where there is none."""
        record = self._field("training", {})
        if not isinstance(record, dict):
            raise self._broken("training", "not a mapping")
        return record

    def _field(self, name: str, default: object) -> Any:
        try:
            return json.loads(self.metadata[name]) if name in self.metadata else default
        except (ValueError, RecursionError) as error:
            raise self._broken(name, str(error)) from error

    def _broken(self, name: str, reason: str) -> InputFileError:
        return InputFileError(
            f"its metadata {name!r} cannot be used: {reason}",
            where=self.path,
            remedy="If they are another program's, save the tensors alone: from safetensors.torch "
            f"import load_file, save_file; save_file(load_file({str(self.path)!r}), "
            "'net.safetensors')",
        )
