"""Sigmoid heads end to end: converted, proved per label, served, and read by the client."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from label_heads import LABELS, head
from PIL import Image
from quick import quicken

from resnet_client import Classifier
from resnet_client.cli import main as classify
from resnet_convert import convert, precision
from resnet_convert.ensembles import compose
from resnet_convert.graph.initializers import assign
from resnet_serve import passport, weights
from resnet_serve.activation import Activation, Kind
from resnet_serve.architectures import find
from resnet_serve.datasets.digits import Digits
from resnet_serve.errors import ParityError, UsageError
from resnet_serve.triton.server import Server

IMAGES = 24
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of five labels and of one output, and images with their labels."""
    folder = tmp_path_factory.mktemp("sigmoids")
    digits = weights.load("digits", find("resnet20"))
    plain = {"labels": (), "activation_from": None}
    for name, members in (("five", list(LABELS.values())), ("one", [LABELS["above four"]])):
        made = replace(head(digits, members), **plain)
        torch.save(dict(made.state), folder / f"{name}.pth")
    (folder / "labels.txt").write_text("\n".join(LABELS))
    (folder / "outcomes.txt").write_text("low\nhigh\n")
    (folder / "preprocessing.json").write_text(digits.preprocessing.to_json())
    images = Digits(held_out=True)
    sets: dict[str, list[str]] = {}
    for index, digit in enumerate(images.labels[:IMAGES]):
        name = f"{index}.png"
        sets[name] = [label for label, inside in LABELS.items() if digit in inside]
        for path in ("five", f"one/{'high' if digit > 4 else 'low'}"):
            (folder / path).mkdir(parents=True, exist_ok=True)
            images.image(index).save(folder / path / name)
    (folder / "five" / "image_labels.json").write_text(json.dumps(sets))
    return folder


def options(files: Path, name: str, **changed: Any) -> dict[str, Any]:
    labels = "labels.txt" if name == "five" else "outcomes.txt"
    return {
        "arch": "resnet20",
        "weights": str(files / f"{name}.pth"),
        "preprocessing": files / "preprocessing.json",
        "labels": files / labels,
        "validation": str(files / name),
        "name": name,
        **changed,
    }


@pytest.fixture(scope="module")
def served(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    repository = tmp_path_factory.mktemp("served") / "models"
    thresholds = files / "thresholds.json"
    thresholds.write_text(json.dumps(dict(zip(LABELS, (0.5, 0.5, 0.3, 0.5, 0.6), strict=True))))
    with pytest.MonkeyPatch.context() as patch:
        quicken(patch)
        several = options(files, "five", activation="sigmoid", threshold=str(thresholds))
        convert(**several, repository=repository)
        one = options(files, "one", activation="sigmoid", threshold="0.4")
        convert(**one, repository=repository)
        convert(**{**one, "name": "again"}, repository=repository, precision="fp16")
        convert(
            **options(files, "one", activation="none", threshold=None, labels=None, validation=None)
            | {"name": "raw"},
            repository=repository,
        )
        compose.ensemble(
            "both", ["one", "again"], repository=repository, validation=one["validation"]
        )
    with Server(repository, port=0, drain_s=0) as server:
        yield repository, server.grpc


def pytorch(files: Path, name: str, images: list[Path]) -> np.ndarray:
    """The reference's probabilities."""
    loaded = weights.load(str(files / f"{name}.pth"), find("resnet20"))
    stored = weights.load("digits", find("resnet20")).preprocessing
    pixels = np.stack([stored.pixels(Image.open(each)) for each in images])
    with torch.inference_mode():
        return torch.sigmoid(loaded.network()(torch.from_numpy(stored.normalize(pixels)))).numpy()


# --- served -----------------------------------------------------------------------------------


@pytest.mark.triton
@pytest.mark.slow
@pytest.mark.parametrize("decode", ["client", "server"])
def test_several_labels_are_pytorchs_at_their_thresholds(
    served: tuple[Path, str], files: Path, decode: Any
) -> None:
    images = sorted((files / "five").glob("*.png"))
    exact = pytorch(files, "five", images)
    with Classifier(served[1], "five", decode=decode) as classifier:
        found = list(classifier.classify_many(images))
        all_labels = classifier.classify(images[0], top=9)
    cuts = np.array([0.5, 0.5, 0.3, 0.5, 0.6])
    for result, row in zip(found, exact, strict=True):
        above = [index for index in np.argsort(-row) if row[index] >= cuts[index]]
        assert [each.index for each in result.predictions] == above
        shares = [each.probability for each in result.predictions]
        np.testing.assert_allclose(shares, row[above], atol=2e-5)
        assert [each.label for each in result.predictions] == [list(LABELS)[i] for i in above]
    assert len({len(result.predictions) for result in found}) > 2
    assert len(all_labels) == 5


@pytest.mark.triton
@pytest.mark.slow
@pytest.mark.parametrize("model", ["one", "both"])
def test_one_output_is_low_or_high(served: tuple[Path, str], files: Path, model: str) -> None:
    images = sorted((files / "one").glob("*/*.png"))
    exact = pytorch(files, "one", images)[:, 0]
    with Classifier(served[1], model) as classifier:
        found = [result.predictions for result in classifier.classify_many(images)]
    for (outcome,), p in zip(found, exact, strict=True):
        high = p >= 0.4
        assert (outcome.label, outcome.index) == (("high", 1) if high else ("low", 0))
        assert outcome.probability == pytest.approx(p if high else 1 - p, abs=2e-3)
    assert {each[0].label for each in found} == {"low", "high"}


@pytest.mark.triton
@pytest.mark.slow
def test_the_command_shows_what_each_head_means(
    served: tuple[Path, str], files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = next((files / "one" / "high").glob("*.png"))
    assert classify([str(image), "--url", served[1], "--model", "one"]) == 0
    name, outcome = capsys.readouterr().out.splitlines()
    assert name == str(image)
    assert outcome.split()[0] in ("high", "low")
    assert outcome.endswith("%")
    assert classify([str(image), "--url", served[1], "--model", "raw"]) == 0
    assert "%" not in capsys.readouterr().out
    assert classify([str(image), "--url", served[1], "--model", "five", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert all(each["above_threshold"] for each in found["predictions"])


@pytest.mark.triton
@pytest.mark.slow
def test_passports_keep_it(served: tuple[Path, str]) -> None:
    five, one, raw, both = (
        passport.read(served[0] / name / "1" / passport.FILE_NAME)
        for name in ("five", "one", "raw", "both")
    )
    assert five.contract.activation == Activation(Kind.SIGMOID, (0.5, 0.5, 0.3, 0.5, 0.6))
    assert one.contract.activation == Activation(Kind.SIGMOID, (0.4,), "low")
    assert both.contract.activation == one.contract.activation
    assert raw.contract.activation == Activation(Kind.NONE)
    about = five.parity.label_decisions
    assert about is not None
    assert about.accuracy is not None
    assert [label.name for label in about.labels] == list(LABELS)
    assert raw.parity.decisions is raw.parity.label_decisions is None
    report = (served[0] / "five" / "1" / "report.html").read_text()
    assert "above four" in report
    assert "Average precision" in report


@pytest.mark.slow
def test_members_agree_on_the_activation(served: tuple[Path, str]) -> None:
    with pytest.raises(UsageError, match="one and raw have other activations"):
        compose.ensemble("wrong", ["one", "raw"], repository=served[0])


# --- refused ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick")
def test_one_output_is_asked_for_before_anything_is_computed(files: Path, call: Call) -> None:
    arguments = ["--arch", "auto", "--weights", str(files / "one.pth")]
    code, _, error = call(*arguments)
    assert code == 2
    assert "--activation sigmoid" in error


ENDS = """
import torch
from torch import nn

class Ends(nn.Module):
    def __init__(self, last, outputs):
        super().__init__()
        self.conv, self.fc, self.last = nn.Conv2d(3, 8, 3), nn.Linear(8, outputs), last

    def forward(self, x):
        return self.last(self.fc(torch.relu(self.conv(x)).mean((2, 3))))

def softmax():
    return Ends(nn.Softmax(1), 3)

def sigmoid():
    return Ends(nn.Sigmoid(), 1)
"""


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("factory", "kind"), [("softmax", None), ("sigmoid", "sigmoid")])
def test_probabilities_are_not_read_as_logits(
    tmp_path: Path, factory: str, kind: str | None
) -> None:
    (tmp_path / "ends.py").write_text(ENDS)
    (tmp_path / "small.json").write_text('{"resize": 16, "crop": [16, 16]}')
    given: dict[str, Any] = {
        "module": f"{tmp_path / 'ends.py'}:{factory}",
        "weights": "random",
        "preprocessing": tmp_path / "small.json",
        "repository": tmp_path / "models",
    }
    with pytest.raises(UsageError, match=f"ends in its own {factory}") as refused:
        convert(**given, activation=kind)
    assert "--activation none" in str(refused.value)
    assert convert(**given, activation="none").version == 1


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_label_that_is_lost_is_refused(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The converted network never finds a `round` digit: one label of five, seldom there."""
    plain = precision.bring

    def without_round(model: Any, *given: Any, **named: Any) -> Any:
        (bias,) = (value for value in model.graph.initializers.values() if value.shape == (5,))
        assign(bias, bias.const_value.numpy() - np.array([0, 0, 60, 0, 0], np.float32))
        return plain(model, *given, **named)

    monkeypatch.setattr(precision, "bring", without_round)
    with pytest.raises(ParityError, match="worst label round"):
        convert(**options(files, "five", activation="sigmoid"), repository=tmp_path / "models")
    assert not (tmp_path / "models" / "five").exists()
