"""The published table of the family is the registry of today, and counts what the papers count."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnet_serve.architectures import ARCHITECTURES, find
from resnet_serve.architectures.reported import REPORTED
from resnet_serve.architectures.table import multiply_adds, updated
from resnet_serve.errors import InputFileError

ROOT = Path(__file__).parents[2]


def test_the_document_is_current() -> None:
    path = ROOT / "docs" / "family.md"
    text = path.read_text("utf-8")
    assert updated(text, path) == text, f"run python -m resnet_serve.architectures.table {path}"
    assert all(f"| `{name}` |" in text for name in ARCHITECTURES)
    readme = (ROOT / "README.md").read_text("utf-8")
    assert f"{len(ARCHITECTURES)} networks" in readme


@pytest.mark.parametrize(
    "text",
    [
        "# Nothing",
        "<!-- family: network -->\nno end",
        "<!-- family: colour -->\n<!-- end of the family -->",
        "<!-- end of the family -->\n<!-- family: network -->\n",
    ],
)
def test_a_document_without_markers_is_refused(text: str) -> None:
    with pytest.raises(InputFileError, match="has no markers"):
        updated(text, Path("other.md"))


@pytest.mark.parametrize(
    ("name", "billions"),
    [  # torchvision 0.28, `_ops`
        ("resnet50", 4.089),
        ("resnet101", 7.801),
        ("resnet152", 11.514),
        ("resnext50_32x4d", 4.23),
        ("resnext101_32x8d", 16.414),
        ("resnext101_64x4d", 15.46),
        ("wide_resnet50_2", 11.398),
        ("wide_resnet101_2", 22.753),
    ],
)
def test_multiply_adds_are_those_that_torchvision_publishes(name: str, billions: float) -> None:
    assert round(multiply_adds(find(name)) / 1e9, 3) == billions


def test_what_was_reported_is_of_the_family_and_has_a_source() -> None:
    assert set(REPORTED) <= set(ARCHITECTURES)
    for name, row in REPORTED.items():
        assert 60 < row.top1 < (row.top5 or 100) <= 100, name
        assert row.source, name
        assert row.test, name


def test_errors_of_the_papers_became_accuracies() -> None:
    assert (REPORTED["resnet34-c"].top1, REPORTED["resnet34-c"].top5) == (75.81, 92.6)
    assert REPORTED["resnet20"].top1 == 91.25
