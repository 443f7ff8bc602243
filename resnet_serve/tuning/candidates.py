"""Candidates: the versions of a model that may be served in the place of the present one.

Nothing is converted here, as a version has to be proved: the precisions and runtimes to choose
from are those that resnet-convert deployed under the name. A candidate has the same weights and
the same contract with clients, passed the gate, runs on this host, and loses no more accuracy than
is allowed; its passport has measured that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resnet_serve import composed
from resnet_serve.errors import UsageError
from resnet_serve.passport import ConvertedPassport
from resnet_serve.runtimes import TARGETS, Target
from resnet_serve.triton.repository import changes
from resnet_serve.triton.repository.versions import Deployed

_ROUNDING = 1e-9  # of percentage points that were divided by a number of images


@dataclass(frozen=True)
class Candidate:
    """A version; `lost_points` of top-1 accuracy by labels, else by the reference's margins."""

    deployed: Deployed
    passport: ConvertedPassport

    @property
    def version(self) -> int:
        """Its number."""
        return self.deployed.version

    @property
    def target(self) -> Target:
        """Its runtime."""
        return TARGETS[self.passport.target]

    @property
    def title(self) -> str:
        """ "int8 on OpenVINO"."""
        return f"{self.passport.precision} on {self.target.title}"

    @property
    def lost_points(self) -> float | None:
        """The accuracy lost, in percentage points; None where nothing was decided."""
        decisions = self.passport.parity.decisions
        if decisions is None:
            return None
        if decisions.difference_points is not None:
            return 0.0 - decisions.difference_points
        return decisions.margin_points


@dataclass(frozen=True)
class Candidates:
    """The served version, every version that may be served, and why others may not, a line each."""

    served: Candidate
    allowed: tuple[Candidate, ...]
    left_out: tuple[str, ...]

    def of(self, version: int) -> Candidate:
        """The candidate of a version."""
        return next(each for each in (*self.allowed, self.served) if each.version == version)


def find(
    found: Sequence[Deployed], name: str, budget_points: float | None, *, apply: bool = False
) -> Candidates:
    """The candidates among the versions of a repository.

    With `apply`, no composed model may run the model, and it may have no canary. Raises
    `UsageError` for a model that cannot be tuned here, and where no version may be served.
    """
    served = _tunable(found, name)
    if apply:
        _check_alone(found, name)
    allowed: list[Candidate] = []
    left_out: list[str] = []
    for each in found:
        if each.name != name:
            continue
        reason = _left_out(each, served, budget_points) or _repeated(each, served, allowed)
        if reason is None and isinstance(each.passport, ConvertedPassport):
            allowed.append(Candidate(each, each.passport))
        else:
            left_out.append(f"version {each.version} is left out: {reason}")
    if not allowed:
        raise UsageError(
            f"no version of {name} may be served: {'; '.join(left_out)}",
            remedy="Deploy another precision with resnet-convert, or allow more (--budget-top1).",
        )
    return Candidates(served, tuple(allowed), tuple(left_out))


def _tunable(found: Sequence[Deployed], name: str) -> Candidate:
    names = {each.name for each in found}
    base = name.removesuffix("_image")
    if name not in names and base in names:
        raise UsageError(
            f"{name} decodes images for {base}, whose own configuration is tuned",
            remedy=f"Use: resnet-serve tune {base}",
        )
    served = changes.find(found, name)
    document = served.passport
    if not isinstance(document, ConvertedPassport):
        raise UsageError(
            f"{name} is composed of other models, which have the instances and the threads",
            remedy=f"Tune {', '.join(each.name for each in composed.members(document))}.",
        )
    candidate = Candidate(served, document)
    if document.engine is not None or candidate.target.gpu or document.cuda is not None:
        raise UsageError(
            f"{served} runs on a GPU; tune searches configurations for CPUs",
            remedy=f"On the GPU host: resnet-serve loadtest {name} --slo 50ms",
        )
    if not served.whole:
        raise UsageError(
            f"{served} was deployed by an earlier resnet-serve",
            remedy=f"First: resnet-serve promote {name} {served.version}",
        )
    return candidate


def _check_alone(found: Sequence[Deployed], name: str) -> None:
    canary = changes.trying(found, name)
    if canary is not None:
        raise UsageError(
            f"{canary.new} is a canary of {name}, which --apply would end",
            remedy=f"Leave out --apply, or first: resnet-serve withdraw {name}",
        )
    for each in found:
        if each.served and any(member.name == name for member in composed.members(each.passport)):
            raise UsageError(
                f"{each} was proved with the present version of {name}; --apply adds another one",
                remedy=f"Leave out --apply, or first: resnet-serve remove {each.name}",
            )


def _left_out(each: Deployed, served: Candidate, budget_points: float | None) -> str | None:
    """Why a version may not be served in the place of the present one; None where it may."""
    document, present = each.passport, served.passport
    if not isinstance(document, ConvertedPassport):
        return "it is composed of other models"
    candidate = Candidate(each, document)
    if document.engine is not None or candidate.target.gpu or document.cuda is not None:
        return "it runs on a GPU"
    if not each.whole:
        return "an earlier resnet-serve deployed it"
    if document.weights.sha256 != present.weights.sha256:
        return "it has other weights"
    if _contract(document) != _contract(present):
        return "clients would see another input or output"
    if document.overridden:
        return "the gate did not pass (--force)"
    if not candidate.target.installed:
        return f"{candidate.target.title} is not installed here"
    lost = candidate.lost_points
    if budget_points is None:
        return None
    if lost is None:
        return "its passport has no accuracy to compare with --budget-top1"
    if lost > budget_points + _ROUNDING:
        return (
            f"{candidate.title} loses {lost:.2f} points of accuracy, {budget_points:g} are allowed"
        )
    return None


def _repeated(each: Deployed, served: Candidate, allowed: Sequence[Candidate]) -> str | None:
    """A tuned version has the files of another one, which is measured instead."""
    document = each.passport
    if each == served.deployed or not isinstance(document, ConvertedPassport):
        return None
    for other in (served, *allowed):
        there = other.passport
        if (document.model.sha256, document.target) == (there.model.sha256, there.target):
            return f"it is the model of version {other.version}, served in another way"
    return None


def _contract(document: ConvertedPassport) -> object:
    contract = document.contract
    return (
        *(contract.input, contract.preprocessing, contract.activation),
        *(document.head, dict(document.outputs), document.classes),
    )
