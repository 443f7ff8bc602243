"""What is traced, as options of tritonserver, and what is refused before it starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnet_serve.errors import UsageError
from resnet_serve.triton.supervision.tracing.settings import Otlp, Tracing

URL = "http://127.0.0.1:4318/v1/traces"


def test_nothing_is_traced_unless_it_is_asked_for() -> None:
    assert Tracing().options(Path("/tmp/x")) == []


def test_an_access_log_has_every_request() -> None:
    made = Tracing(Path("/logs/access")).options(Path("/tmp/x"))
    assert "--trace-config=rate=1" in made
    assert "--trace-config=triton,file=/tmp/x/requests/request" in made


def test_spans_go_to_the_collector() -> None:
    made = Tracing(otlp=Otlp(URL, 100)).options(Path("/tmp/x"))
    assert "--trace-config=mode=opentelemetry" in made
    assert f"--trace-config=opentelemetry,url={URL}" in made
    assert "--trace-config=rate=100" in made


@pytest.mark.parametrize(
    ("url", "rate", "said"),
    [
        ("127.0.0.1:4318", 1, "http://127.0.0.1:4318/v1/traces"),
        ("grpc://host:4317", 1, "OTLP/HTTP"),
        ("http:///v1/traces", 1, "OTLP/HTTP"),
        ("http://host:4318", 1, "Give --trace-otlp http://host:4318/v1/traces"),
        ("http://host:4318/", 1, "Give --trace-otlp http://host:4318/v1/traces"),
        ("http://host/a,url=http://other/", 1, "OTLP/HTTP"),
        (URL, -1, "--trace-rate 1"),
        (URL, 2**31, "--trace-rate 1"),
    ],
)
def test_what_would_send_nothing_is_refused(url: str, rate: int, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        Otlp(url, rate)
    assert said in str(refused.value)


def test_the_remedies_are_accepted() -> None:
    assert Otlp("http://host:4318/v1/traces", 0).rate == 0
    assert Otlp("https://[::1]:4318/v1/traces").rate == 1


def test_triton_has_one_mode_at_a_time() -> None:
    with pytest.raises(UsageError, match="Leave out"):
        Tracing(Path("-"), Otlp(URL))
