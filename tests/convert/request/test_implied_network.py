"""A checkpoint alone is inferred, and that is said; nothing else is implied."""

from __future__ import annotations

import pytest

from resnet_convert.request import Request
from resnet_convert.request.check import check
from resnet_convert.request.implied_network import implied_network
from resnet_serve.errors import UsageError


@pytest.mark.parametrize("weights", ["net.pth", "folder", "./digits", "net.safetensors"])
def test_a_file_alone_is_inferred(weights: str) -> None:
    request, note = implied_network(Request(weights=weights))
    assert request == Request(weights=weights, arch="auto")
    assert note == f"no network is named: it is inferred from {weights} (--arch auto)"
    check(request)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"weights": "digits"},
        {"weights": "imagenet:v2"},
        {"weights": "random:3"},
        {"weights": "net.pth", "arch": "resnet20"},
        {"weights": "net.pth", "module": "a:b"},
        {"module": "a:b"},
        {"arch": "auto"},
    ],
)
def test_nothing_else_is_changed(given: dict[str, str]) -> None:
    request = Request(**given)  # type: ignore[arg-type]
    assert implied_network(request) == (request, None)


@pytest.mark.parametrize("given", [{}, {"weights": "digits"}, {"weights": "random"}])
def test_a_name_of_weights_is_no_network(given: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="no network is named") as caught:
        check(Request(**given))  # type: ignore[arg-type]
    assert "--arch" in str(caught.value)
    assert "a file with --weights" in str(caught.value)
