"""A checkpoint alone is inferred, weights of the package name theirs, and that is said."""

from __future__ import annotations

import pytest

from resnet_convert.request import Request
from resnet_convert.request.check import check
from resnet_convert.request.implied_network import implied_network
from resnet_convert.request.loading import load_weights
from resnet_serve.checkpoints.reading import SHIPPED
from resnet_serve.errors import UsageError


@pytest.mark.parametrize("weights", ["net.pth", "folder", "./digits", "net.safetensors"])
def test_a_file_alone_is_inferred(weights: str) -> None:
    request, note = implied_network(Request(weights=weights))
    assert request == Request(weights=weights, arch="auto")
    assert note == f"no network is named: it is inferred from {weights} (--arch auto)"
    check(request)


@pytest.mark.parametrize("arch", [None, "auto"])
@pytest.mark.parametrize("weights", SHIPPED)
def test_weights_of_the_package_name_their_network(weights: str, arch: str | None) -> None:
    request, note = implied_network(Request(weights=weights, arch=arch))
    assert note == f"no network is named: {weights} is a resnet20 (--arch resnet20)"
    check(request)
    assert load_weights(request, lambda *_: None).source == weights


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"weights": "imagenet:v2"},
        {"weights": "random:3"},
        {"weights": "net.pth", "arch": "resnet20"},
        {"weights": "net.pth", "module": "a:b"},
        {"module": "a:b"},
        {"arch": "auto"},
        {"weights": "net.pth", "arch": "auto"},
        {"weights": "digits", "arch": "resnet32"},
        {"weights": "digits", "module": "a:b"},
        {"weights": "random", "arch": "auto"},
    ],
)
def test_nothing_else_is_changed(given: dict[str, str]) -> None:
    request = Request(**given)  # type: ignore[arg-type]
    assert implied_network(request) == (request, None)


@pytest.mark.parametrize("given", [{}, {"weights": "imagenet"}, {"weights": "random"}])
def test_a_name_of_weights_is_no_network(given: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="no network is named") as caught:
        check(Request(**given))  # type: ignore[arg-type]
    assert "--arch" in str(caught.value)
    assert "a file with --weights" in str(caught.value)
