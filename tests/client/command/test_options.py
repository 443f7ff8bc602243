"""The options of `resnet-classify` that do not go together, and the connection's."""

from __future__ import annotations

import pytest

from resnet_client.command import options
from resnet_client.errors import UsageError
from resnet_client.transport.channel import Tls


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], r"nothing to classify\. Name images, or --files-from"),
        (["a.png", "--output", "r"], r"needs a form for the results\. Add --json or --csv"),
        (["a.png", "--resume", "--json"], r"goes on from a file\. Name it with --output"),
        (["a.png", "--request-id", "my job"], "request_id is up to"),
        (["-", "--files-from", "-"], "stdin is either an image or a list"),
    ],
)
def test_what_does_not_go_together(arguments: list[str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        options.check(options.parser().parse_args(arguments))


def test_encryption_and_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    def parsed(*arguments: str) -> bool | Tls:
        return options.tls(options.parser().parse_args(["a.png", *arguments]))

    assert [parsed(), parsed("--tls"), parsed("--tls-ca", "ca.pem")] == [False, True, Tls("ca.pem")]
    with pytest.raises(UsageError, match="given together"):
        parsed("--tls-cert", "c.pem")
    monkeypatch.delenv(options.TOKEN, raising=False)
    assert options.headers() == {}
    monkeypatch.setenv(options.TOKEN, "abc")
    assert options.headers() == {"authorization": "Bearer abc"}
