"""Members: deployed models that are to be composed, as their passports and files describe them.

Of a member the served version is used. Its file must have the hash that its passport states; its
PyTorch reference is built again from the weights that the passport names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_convert.head import CLASSIFIER
from resnet_serve import durable
from resnet_serve.activation import SOFTMAX, Activation
from resnet_serve.datasets.class_labels.files import read_lines
from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.passport import BuiltEngineFacts, ConvertedPassport, MemberFacts
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes import TARGETS
from resnet_serve.triton import config
from resnet_serve.triton.layout import LABELS_FILE
from resnet_serve.triton.queue_bound import QueueBound, bound_of
from resnet_serve.triton.repository import CONFIG_FILE, Repository, versions
from resnet_serve.triton.repository.versions import MODEL_FILE, Deployed
from resnet_serve.verification import rebuilt

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Member:
    """One version of one classifier."""

    name: str
    version: int
    path: Path
    passport: ConvertedPassport
    labels: tuple[str, ...]

    @property
    def preprocessing(self) -> Preprocessing:
        """How it sees images."""
        return self.passport.contract.preprocessing

    @property
    def input_kind(self) -> str:
        """ "uint8" or "float32"."""
        return self.passport.contract.input

    @property
    def activation(self) -> Activation:
        """How its logits are read."""
        return self.passport.contract.activation or SOFTMAX

    @property
    def max_batch_size(self) -> int:
        """The most images of one request."""
        return self.passport.contract.max_batch_size

    @property
    def queue(self) -> QueueBound:
        """How many requests wait for it."""
        kept = self.path / CONFIG_FILE
        path = kept if kept.is_file() else self.path.parent / CONFIG_FILE
        return bound_of(config.parse(path.read_text(encoding="utf-8")))

    @property
    def preprocess_name(self) -> str:
        """The model that decodes images for it."""
        return f"{self.name}_preprocess"

    def reference(self) -> nn.Module:
        """The PyTorch network it was made from; refuses weights that are not the same any more."""
        module = self.passport.module
        deployed = Deployed(self.name, self.version, self.path, self.passport)
        return rebuilt.network(deployed, () if module is None else (module,))

    def facts(self, *, emulated: bool) -> MemberFacts:
        """What the passport of the composed model keeps of it.

        `emulated` says that the gate ran its graph, and not its engine.
        """
        return MemberFacts(
            name=self.name,
            version=self.version,
            sha256=self.passport.model.sha256,
            architecture=self.passport.architecture,
            precision=self.passport.precision,
            target=self.passport.target,
            weights_sha256=self.passport.weights.sha256,
            preprocessing=self.preprocessing,
            engine=self.passport.engine_state,
            emulated=emulated,
        )


def open_members(repository: Repository, names: Sequence[str]) -> tuple[Member, ...]:
    """The served version of each; raises one line for what cannot be a member."""
    found = versions.served(repository.deployed())
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
    if not isinstance(passport, ConvertedPassport):
        raise UsageError(f"{name} is composed of others itself", remedy="Name its members instead.")
    if passport.head != CLASSIFIER:
        raise UsageError(
            f"{name} has the head {passport.head}, and only classifiers can be averaged",
            remedy="Convert it with --head classifier under another name.",
        )
    stated = {MODEL_FILE: passport.model.sha256}
    if isinstance(passport.engine, BuiltEngineFacts):
        stated[TARGETS[passport.target].model_file] = passport.engine.plan_sha256
    for file, sha256 in stated.items():
        path = deployed.path / file
        if not path.is_file() or durable.sha256(path) != sha256:
            raise InputFileError(
                "is missing, or not the file that its passport describes",
                where=path,
                remedy="Convert it again.",
            )
    labels = read_lines(repository.path / name / LABELS_FILE)
    if len(labels) != passport.classes:
        raise InputFileError(f"{len(labels)} labels for {passport.classes} classes", where=where)
    return Member(name, deployed.version, deployed.path, passport, labels)


def refuse_short_queue(member: Member, crops: int) -> None:
    """All crops of an image wait for the member together: its queue must hold them."""
    held = member.queue.requests
    if 0 < held < crops:
        raise UsageError(
            f"at most {held} requests wait for {member.name}, and an image has {crops} crops, each "
            "a request",
            remedy=f"Convert {member.name} again with --max-queue {4 * crops}, which holds those "
            "of four images, or with --max-queue 0.",
        )


def refuse_other_classes(members: Sequence[Member]) -> None:
    """Averages need the same classes, read in the same way: one line with the first difference."""
    first = members[0]
    for other in members[1:]:
        if first.activation != other.activation:
            ours, theirs = _told_apart(first.activation, other.activation)
            raise UsageError(
                f"{first.name} and {other.name} have other activations: {ours} and {theirs}",
                remedy="Convert them with the same --activation, --threshold and --labels.",
            )
        pair = f"{first.name} and {other.name} do not decide among the same classes"
        if len(first.labels) != len(other.labels):
            raise UsageError(f"{pair}: {len(first.labels)} and {len(other.labels)} of them")
        for index, (ours, theirs) in enumerate(zip(first.labels, other.labels, strict=True)):
            if ours != theirs:
                raise UsageError(f"{pair}: class {index} is {ours!r} and {theirs!r}")


def _told_apart(one: Activation, other: Activation) -> tuple[str, str]:
    """Both in a few words, or in full where those are the same."""
    if str(one) != str(other):
        return str(one), str(other)
    return one.to_text(), other.to_text()


def difference(members: Sequence[Member]) -> str | None:
    """What keeps the members from taking one tensor: who differs in what; None if nothing does."""
    first = members[0]
    for other in members[1:]:
        pair = f"{first.name} and {other.name} differ in"
        if first.input_kind != other.input_kind:
            return f"{pair} the input: {first.input_kind} and {other.input_kind}"
        ours, theirs = first.preprocessing, other.preprocessing
        for field in fields(ours):
            one, another = getattr(ours, field.name), getattr(theirs, field.name)
            if one != another:
                return f"{pair} the preprocessing: {field.name} {one} and {another}"
    return None
