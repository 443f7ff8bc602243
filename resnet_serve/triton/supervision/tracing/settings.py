"""What is traced: every request for an access log, or a share of them for OpenTelemetry.

Triton has one mode of tracing at a time. For an access log it writes one file per request, because
its own log frequency would keep the last requests back until others come.
Reference: triton-inference-server/server, docs/user_guide/trace.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from resnet_serve.errors import UsageError

FOLDER, FILE = "requests", "request"
STDOUT = "-"
SERVICE = "resnet-serve"
_LARGEST_RATE = 2**31 - 1


@dataclass(frozen=True)
class Otlp:
    """Spans are sent to `url` over HTTP, of one in `rate` requests.

    Rate 0 sends those only whose client sent a W3C `traceparent`. Raises `UsageError` for an
    address or a rate that Triton would accept, and then send nothing.
    """

    url: str
    rate: int = 1

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or "," in self.url:
            raise UsageError(
                f"{self.url!r} is not the address of a collector",
                remedy="Give --trace-otlp its OTLP/HTTP address: http://127.0.0.1:4318/v1/traces",
            )
        if not re.search(r"[^/]", parts.path):
            raise UsageError(
                f"{self.url} has no path, where Triton sends the spans as it is",
                remedy=f"Give --trace-otlp {self.url.rstrip('/')}/v1/traces",
            )
        if not 0 <= self.rate <= _LARGEST_RATE:
            raise UsageError(
                f"a trace rate of {self.rate:,}", remedy="Give --trace-rate 1 or more."
            )


@dataclass(frozen=True)
class Tracing:
    """What is traced; `access_log` is a file, or `-` for the standard output of this process.

    Raises `UsageError` for both at once.
    """

    access_log: Path | None = None
    otlp: Otlp | None = None

    def __post_init__(self) -> None:
        if self.access_log is not None and self.otlp is not None:
            raise UsageError(
                "Triton traces either for an access log or for OpenTelemetry",
                remedy="Leave out --access-log or --trace-otlp.",
            )

    @property
    def to_output(self) -> bool:
        """Whether the access log goes to the standard output."""
        return str(self.access_log) == STDOUT

    @property
    def file(self) -> str | None:
        """The file of the access log, if it has one."""
        return None if self.access_log is None or self.to_output else str(self.access_log)

    def options(self, scratch: Path) -> list[str]:
        """The options of tritonserver; `scratch` is its supervisor's folder."""
        if self.access_log is not None:
            file = scratch / FOLDER / FILE
            settings = ["rate=1", f"triton,file={file}", "triton,log-frequency=1"]
        elif self.otlp is not None:
            settings = [
                f"rate={self.otlp.rate}",
                "mode=opentelemetry",
                f"opentelemetry,url={self.otlp.url}",
                f"opentelemetry,resource=service.name={SERVICE}",
            ]
        else:
            return []
        return [f"--trace-config={each}" for each in ("level=TIMESTAMPS", "count=-1", *settings)]


UNTRACED = Tracing()
