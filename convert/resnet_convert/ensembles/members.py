"""Members: deployed models that are to be composed, as their passports and files describe them.

A member is taken at its newest version, its file held against the passport's hash, and its PyTorch
reference built again from the weights that the passport names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_convert.conversion import MODEL_FILE
from resnet_serve import composed, durable, weights
from resnet_serve.architectures import find
from resnet_serve.datasets import read_labels
from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.passport import Passport
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes import RunnableModel, open_on_cpu
from resnet_serve.triton.config import LABELS_FILE
from resnet_serve.triton.repository import Deployed, Repository
from resnet_serve.weights import custom_modules

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Member:
    """One version of one classifier."""

    name: str
    version: int
    path: Path
    passport: Passport
    preprocessing: Preprocessing
    labels: tuple[str, ...]

    @property
    def data(self) -> Mapping[str, Any]:
        return self.passport.data

    @property
    def input_kind(self) -> str:
        """ "uint8" or "float32"."""
        return str(self.data["contract"]["input"])

    @property
    def max_batch_size(self) -> int:
        return int(self.data["contract"]["max_batch_size"])

    @property
    def preprocess_name(self) -> str:
        """The model that decodes images for it."""
        return f"{self.name}_preprocess"

    def load(self, threads: int) -> RunnableModel:
        """The file that is served, in the runtime that serves it."""
        model = (self.path / MODEL_FILE).read_bytes()
        return open_on_cpu(self.passport.target, self.passport.precision, model, threads)

    def reference(self) -> nn.Module:
        """The PyTorch network it was made from; refuses weights that are not the same any more."""
        stated, module = self.data["weights"], self.data.get("module")
        spec = _spec(stated["source"])
        if module is not None:
            own = spec == custom_modules.own(module)
            loaded = custom_modules.load(
                module,
                None if own else spec,
                labels=self.labels,
                preprocessing=self.preprocessing,
            )
        else:
            loaded = weights.load(spec, find(self.passport.architecture), labels=self.labels)
        if loaded.sha256 != stated["sha256"]:
            raise InputFileError(
                f"is not what {self.name} version {self.version} was made from (its SHA-256 "
                "differs)",
                where=stated["source"],
                remedy="Convert the member again.",
            )
        return loaded.network()

    def to_json(self) -> dict[str, object]:
        """What the passport of the composed model says of it."""
        return {
            "name": self.name,
            "version": self.version,
            "sha256": self.data["model"]["sha256"],
            "architecture": self.passport.architecture,
            "precision": self.passport.precision,
            "target": self.passport.target,
            "weights_sha256": self.data["weights"]["sha256"],
            "preprocessing": self.preprocessing.to_json(),
        }


def open_members(repository: Repository, names: Sequence[str]) -> tuple[Member, ...]:
    """The newest version of each; raises one line for what cannot be a member."""
    found = {each.name: each for each in repository.deployed()}  # the last is the newest
    twice = next((name for at, name in enumerate(names) if name in names[:at]), None)
    if twice is not None:
        raise UsageError(f"{twice} is named twice", remedy="Name each member once.")
    for name in names:
        if name not in found:
            known = ", ".join(found) or "nothing"
            raise UsageError(
                f"there is no model {name!r} with a passport",
                where=repository.path,
                remedy=f"There is {known}.",
            )
    return tuple(_open(repository, found[name]) for name in names)


def _open(repository: Repository, deployed: Deployed) -> Member:
    name, passport = deployed.name, deployed.passport
    where = f"{name} version {deployed.version}"
    if composed.members(passport):
        raise UsageError(f"{name} is composed of others itself", remedy="Name its members instead.")
    if passport.engine is not None:
        raise UsageError(
            f"{name} is served by TensorRT, and composed models are proved on the CPU",
            remedy="Convert it with --target onnxruntime or openvino under another name.",
        )
    head = passport.data.get("head", "classifier")
    if head != "classifier":
        raise UsageError(
            f"{name} answers {head}, and averages are of classifiers",
            remedy="Convert it with --head classifier under another name.",
        )
    file = deployed.path / MODEL_FILE
    try:
        contract = passport.data["contract"]
        preprocessing = Preprocessing.from_json(contract["preprocessing"])
        _ = (contract["input"], int(contract["max_batch_size"]), passport.data["weights"]["source"])
        stated, classes = passport.data["model"]["sha256"], passport.data["classes"]
    except (LookupError, TypeError, ValueError) as error:
        raise InputFileError(
            f"its passport lacks what a member needs ({error!r})",
            where=where,
            remedy="Convert it again.",
        ) from error
    if not file.is_file() or durable.sha256(file) != stated:
        raise InputFileError(
            "is missing, or not the file that its passport speaks of",
            where=file,
            remedy="Convert it again.",
        )
    labels = read_labels(repository.path / name / LABELS_FILE)
    if len(labels) != classes:
        raise InputFileError(f"{len(labels)} labels for {classes} classes", where=where)
    return Member(name, deployed.version, deployed.path, passport, preprocessing, labels)


def refuse_other_classes(members: Sequence[Member]) -> None:
    """Averages need the same classes in the same order: one line with the first that differs."""
    first = members[0]
    for other in members[1:]:
        pair = f"{first.name} and {other.name} do not decide among the same classes"
        if len(first.labels) != len(other.labels):
            raise UsageError(f"{pair}: {len(first.labels)} and {len(other.labels)} of them")
        for index, (ours, theirs) in enumerate(zip(first.labels, other.labels, strict=True)):
            if ours != theirs:
                raise UsageError(f"{pair}: class {index} is {ours!r} and {theirs!r}")


def difference(members: Sequence[Member]) -> str | None:
    """What keeps the members from taking one tensor: who differs in what; None if nothing does."""
    first = members[0]
    for other in members[1:]:
        pair = f"{first.name} and {other.name} differ in"
        if first.input_kind != other.input_kind:
            return f"{pair} the input: {first.input_kind} and {other.input_kind}"
        ours, theirs = first.preprocessing, other.preprocessing
        for field in ("crop", "resize_mode", "resize", "interpolation", "mean", "std"):
            one, another = getattr(ours, field), getattr(theirs, field)
            if one != another:
                return f"{pair} the preprocessing: {field} {one} and {another}"
    return None


def _spec(source: str) -> str:
    """What `--weights` was, from the source that a passport names."""
    if Path(source).is_file():
        return source
    return re.sub(r" \([^()]*\)$", "", source)
