"""`resnet-convert archs`: what `--arch` accepts, by a part of its name or a pattern."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from resnet_serve.architectures import ARCHITECTURES, catalog

Call = Callable[..., tuple[int, str, str]]


def names(out: str) -> list[str]:
    return [row["name"] for row in json.loads(out)["architectures"]]


def test_all_of_them(call: Call) -> None:
    code, out, err = call("archs", "--json")
    assert (code, err) == (0, "")
    assert names(out) == list(ARCHITECTURES)
    rows = {row["name"]: row for row in json.loads(out)["architectures"]}
    assert rows["resnet50"]["parameters"] == 25_557_032
    assert rows["resnet50"]["published_weights"] == ["v1", "v2"]
    assert rows["resnet20"] == {
        "name": "resnet20",
        "family": "CIFAR",
        "image_size": 32,
        "classes": 10,
        "depth": 20,
        "block": "basic",
        "shortcut": "A",
        "preactivation": False,
        "parameters": 269_722,
        "summary": ARCHITECTURES["resnet20"].summary,
        "published_weights": [],
    }
    published = {name for name, row in rows.items() if row["published_weights"]}
    assert published == {name for name, _ in catalog.CATALOG}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("50D", {"resnet50d", "resnext50d_32x4d", "resnetv2_50d"}),
        ("plain*", {"plain18", "plain34", "plain20", "plain32", "plain44", "plain56"}),
        ("resnet1?", {"resnet18"}),
        ("resnet50", {name for name in ARCHITECTURES if "resnet50" in name}),
    ],
)
def test_by_a_part_or_a_pattern(call: Call, pattern: str, expected: set[str]) -> None:
    code, out, _ = call("archs", pattern, "--json")
    assert code == 0
    assert set(names(out)) == expected
    _, table, _ = call("archs", pattern)
    assert all(name in table for name in expected)
    assert f"{len(expected)} of {len(ARCHITECTURES)} networks" in table


def test_one_that_matches_none(call: Call) -> None:
    code, out, err = call("archs", "resnet51")
    assert (code, out) == (2, "")
    assert "no architecture matches 'resnet51'" in err
    assert "The nearest: resnet50, " in err
    code, _, err = call("archs", "mobilenet")
    assert code == 2
    assert "Without a pattern all are listed" in err


def test_a_remedy_of_an_unknown_network_works(call: Call) -> None:
    code, _, err = call("--arch", "resnt50", "--weights", "random")
    assert code == 2
    assert "Did you mean resnet50, " in err
    assert len(err) < 200
    assert "resnet-convert archs" in err
    assert call("archs")[0] == 0
