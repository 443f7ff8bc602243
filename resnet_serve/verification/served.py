"""A version through the running server, from image files to labels, against its reference.

    encoded image ─► stored preprocessing ─► PyTorch's outputs        (recorded, or computed now)
                  ─► the server: its preprocessing, its model, its labels

The pixels show a changed preprocessing, the outputs a changed model, the configuration that the
server reports a changed backend, the labels that it names changed labels. Of a composed model the
steps, and the models of its members, are compared too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_serve.comparison import distances
from resnet_serve.errors import HostError, ResnetServeError
from resnet_serve.parity import numerics
from resnet_serve.parity.accuracy import Decisions
from resnet_serve.parity.labels import LabelDecisions
from resnet_serve.parity.numerics import Numerics
from resnet_serve.triton.composed_config import PROBABILITIES
from resnet_serve.triton.config import OUTPUT
from resnet_serve.triton.http_client import Client
from resnet_serve.triton.repository.examples import Examples
from resnet_serve.triton.repository.versions import Deployed
from resnet_serve.triton.rollout import smoke
from resnet_serve.verification import configuration, subject
from resnet_serve.verification.files import LEFT_OUT, Row
from resnet_serve.verification.subject import Decoding, Subject

_MOST_NAMED = 5
_PIXELS_FP32 = 1e-5
_PROBABILITY = 1e-5
_RESTART = "serve the version again: resnet-serve promote {name} {version}"


@dataclass(frozen=True)
class Measured:
    """How close one model's outputs are to the reference's.

    `decisions` are a softmax's, `label_decisions` a sigmoid's, both None where the outputs decide
    nothing; `flipped` names the images whose decision changed.
    """

    numerics: Numerics
    decisions: Decisions | None = None
    flipped: tuple[str, ...] = ()
    label_decisions: LabelDecisions | None = None

    @property
    def agreement(self) -> float | None:
        """The share of equal decisions, in [0, 1]; None where nothing is decided."""
        if self.label_decisions is not None:
            return self.label_decisions.agreement
        return None if self.decisions is None else self.decisions.top1_agreement


@dataclass(frozen=True)
class Comparison:
    """Every comparison with a server, and the distances of the outputs by model."""

    rows: tuple[Row, ...]
    measured: Mapping[str, Measured]


class Expected:
    """What a version is to make of images, computed once for any number of comparisons.

    Raises as `subject.of`.
    """

    def __init__(self, deployed: Deployed, images: Examples) -> None:
        self.deployed = deployed
        self._subject = subject.of(deployed, images)

    def compare(self, client: Client) -> Comparison:
        """Ask the server of `client`; raises `HostError` where it does not answer."""
        asked = self._subject
        rows, measured = list[Row](), dict[str, Measured]()
        absent = configuration.absent(client, [*asked.models, *self._not_in_the_repository()])
        given = {model: each for model, each in asked.asked.items() if model not in absent}
        if absent and given:
            rows.append(self._left_out(absent))
        for model, owner in asked.models:
            if model not in absent or not given:
                rows.append(_configuration(client, model, owner))
        files = subject.files(asked.images)
        rows += [
            _pixels(client, asked.deployed, each, files)
            for each in asked.decodings
            if each.model not in absent
        ]
        for model, inputs in given.items():
            found = smoke.infer(client, model, inputs, asked.outputs)
            if other := _other_shapes(asked.images.expected, found):
                rows.append(_row(asked.deployed, f"{model}: outputs", False, other))
                continue
            measured[model] = _measured(asked, found)
            rows += _outputs(model, asked, measured[model])
            if asked.averages and asked.activation is not None and PROBABILITIES in found:
                shares = asked.activation.probabilities(found[OUTPUT])
                rows.append(_readable(asked.deployed, model, shares, found[PROBABILITIES]))
            if asked.labels:
                rows.append(_labels(client, model, asked, inputs[0]))
        return Comparison(tuple(rows), measured)

    def _left_out(self, absent: Mapping[str, bool]) -> Row:
        """What is not compared, as the server does not serve these models."""
        asked = self._subject
        preparing = {each.model for each in asked.decodings}
        if preparing <= absent.keys():
            left = "it was asked with pixels only"
        else:
            left = "outputs and labels for image files were not compared"
        what = f"the server has no {' and no '.join(absent)}: {left}"
        unloaded = [model for model, known in absent.items() if known]
        if not unloaded:
            return Row(LEFT_OUT, "ok", what)
        remedy = f"the server has unloaded {' and '.join(unloaded)}: load them, or start it again"
        return Row(LEFT_OUT, "unknown", what, remedy)

    def _not_in_the_repository(self) -> list[tuple[str, Deployed]]:
        """Models that are asked and were not copied here; the server may have them all the same."""
        known = {model for model, _ in self._subject.models}
        names = [*(each.model for each in self._subject.decodings), *self._subject.asked]
        return [(model, self.deployed) for model in names if model not in known]


def rows(deployed: Deployed, client: Client, images: Examples) -> tuple[Row, ...]:
    """Every comparison with a server; raises `HostError` where it does not answer."""
    return Expected(deployed, images).compare(client).rows


def _row(deployed: Deployed, what: str, ok: bool, found: str) -> Row:
    remedy = "" if ok else _RESTART.format(name=deployed.name, version=deployed.version)
    return Row(what, "ok" if ok else "differs", found, remedy)


def _configuration(client: Client, model: str, owner: Deployed) -> Row:
    wrong = configuration.differing(client, model, owner)
    what = wrong or "backend, parameters and version are the version's own"
    return _row(owner, f"configuration of {model}", not wrong, what)


def _pixels(
    client: Client, deployed: Deployed, decoding: Decoding, files: Sequence[NDArray[Any]]
) -> Row:
    """What the server's own preprocessing makes of the image files."""
    what, expected = decoding.subject, decoding.expected
    try:
        found = smoke.infer(client, decoding.model, files, list(expected))
    except HostError as error:
        return _row(deployed, what, False, error.what)
    for name, ours in expected.items():
        if found[name].shape != ours.shape:
            shapes = f"{list(found[name].shape[1:])}, the passport's preprocessing "
            return _row(deployed, what, False, f"{shapes}{list(ours.shape[1:])}")
    distance = np.stack(
        [
            np.abs(found[name].astype(np.float64) - ours).reshape(len(files), -1).max(axis=1)
            for name, ours in expected.items()
        ]
    )
    far = int((distance > _PIXELS_FP32).any(axis=0).sum())
    text = f"{far} of {len(files)} images differ, by up to {distance.max():g}"
    return _row(deployed, what, not far, text)


def _other_shapes(expected: smoke.Outputs, found: smoke.Outputs) -> str:
    """The outputs that have other dimensions than the reference's; empty if there are none."""
    return "; ".join(
        f"{name} {list(found[name].shape[1:])}, the reference's {list(ours.shape[1:])}"
        for name, ours in expected.items()
        if found[name].shape != ours.shape
    )


def _measured(asked: Subject, found: smoke.Outputs) -> Measured:
    images, expected = asked.images, asked.images.expected
    distance = numerics.compare_all(expected, found)
    if asked.activation is None:
        return Measured(distance)
    (name,) = expected
    decisions, label_decisions = distances.decide(
        asked.activation,
        expected[name],
        found[name],
        images.labels,
        names=asked.labels,
        probabilities=name == PROBABILITIES,
    )
    decided = decisions or label_decisions
    flipped = tuple(images.names[each] for each in decided.changed) if decided else ()
    return Measured(distance, decisions, flipped, label_decisions)


def _outputs(model: str, asked: Subject, measured: Measured) -> Iterator[Row]:
    document = asked.deployed.passport
    decisions, label_decisions = measured.decisions, measured.label_decisions
    verdict = distances.judge(
        asked.budget,
        {1: measured.numerics},
        decisions,
        label_decisions,
        trained=document.trained,
        of=asked.of,
    )
    for check in verdict.checks:
        ok = check.passed or not check.binding or document.overridden
        text = f"{check.found}, allowed {check.allowed}"
        again = "compose" if asked.averages else "convert"
        remedy = "" if ok else f"{again} it again, or serve an earlier version"
        yield Row(f"{model}: {check.name}", "ok" if ok else "differs", text, remedy)
    if decisions is None and label_decisions is None:
        return
    text = str(label_decisions)
    if decisions is not None:
        text = f"{decisions}, top-5 {100 * decisions.top5_agreement:.2f} %"
    if measured.flipped:
        text += f"; flipped: {named(measured.flipped)}"
    if decisions is not None and decisions.mcnemar_p is not None:
        text += f"; McNemar p = {decisions.mcnemar_p:.3g}"
    yield Row(f"{model}: decisions", "ok", text)


def named(flipped: Sequence[str]) -> str:
    """The first few of these images, and how many more there are."""
    more = f" and {len(flipped) - _MOST_NAMED} more" if len(flipped) > _MOST_NAMED else ""
    return ", ".join(flipped[:_MOST_NAMED]) + more


def _readable(
    deployed: Deployed, model: str, read: NDArray[np.float64] | None, said: NDArray[np.float32]
) -> Row:
    """The probabilities that clients read in an average's logits are those that it states."""
    distance = float(np.abs(0.0 if read is None else read - said).max())
    text = f"read as probabilities they are within {distance:.3g} of those averaged"
    return _row(deployed, f"{model}: logits", distance <= _PROBABILITY, text)


def _labels(client: Client, model: str, asked: Subject, data: NDArray[Any]) -> Row:
    """The names that the server gives to every class, with the version's labels."""
    labels = asked.labels
    for output in asked.outputs:
        try:
            found = smoke.named(client, model, data, len(labels), output)
        except ResnetServeError as error:
            return _row(asked.deployed, f"{model}: labels", False, error.what)
        wrong = [index for index, label in enumerate(labels) if found.get(index) != label]
        if wrong:
            first = wrong[0]
            text = (
                f"{len(wrong)} of {len(labels)} differ: class {first} is called "
                f"{found.get(first)!r}, the version's label is {labels[first]!r}"
            )
            return _row(asked.deployed, f"{model}: labels", False, text)
    text = f"{len(labels)} are the version's own"
    return _row(asked.deployed, f"{model}: labels", True, text)
