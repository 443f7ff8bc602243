"""A gRPC channel to host:port: TLS, headers, keep-alive, and the size of messages.

gRPC's own retries are off: `deadlines` decides when a call is sent again. Triton closes connections
that ping more often than it allows (`--grpc-http2-min-recv-ping-interval-without-data`, 5 minutes
by default), which is why keep-alive is off unless asked for.
Reference: gRPC, doc/keepalive.md; triton-inference-server/server, docs/protocol.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from resnet_client.errors import UsageError
from resnet_serve import host

_ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):(?P<port>\d{1,5})")
_LOOPBACK = re.compile(r"localhost|127\.\d+\.\d+\.\d+|\[::1\]")
_HEADER = re.compile(r"[0-9a-z_.-]+")
_MAX_MESSAGE_BYTES = 2**31 - 1
_WINDOW_BYTES = 16 * 1024 * 1024

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Tls:
    """Encryption: PEM files. Without `ca` the authorities are trusted that this host knows.

    `certificate` and `key` are the client's own, for servers that ask for one. `name` is the name
    in the server's certificate where it is not the host's.
    """

    ca: str | os.PathLike[str] | None = None
    certificate: str | os.PathLike[str] | None = None
    key: str | os.PathLike[str] | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise UsageError("a client's certificate and its key are given together")

    def credentials(self) -> grpc.ChannelCredentials:
        """The channel's credentials; raises `UsageError` for files that cannot be read."""
        ca, key, certificate = map(_contents, (self.ca, self.key, self.certificate))
        return grpc.ssl_channel_credentials(ca or host.authorities(), key, certificate)


def open_channel(url: str, tls: Tls | None, keep_alive_s: float | None) -> grpc.Channel:
    """The channel; nothing is sent yet. Raises `UsageError` for what is not host:port."""
    address = _ADDRESS.fullmatch(url) if isinstance(url, str) else None
    if address is None or not 0 < int(address["port"]) < 65536:
        raise UsageError(
            f"{url!r} is not an address",
            remedy="Give host:port of the server's gRPC endpoint, as in 127.0.0.1:8001.",
        )
    options: list[tuple[str, Any]] = [
        ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
        ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
        ("grpc.enable_retries", 0),
        # gRPC's own pause between connections grows to two minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 500),
        # No ping with every response, to learn how much the network holds: 4 % of a client's CPU
        # time. The window takes the outputs of a few images at once, from the first one on.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", _WINDOW_BYTES),
    ]
    if is_loopback(url):
        # Otherwise gRPC uses the proxy in http_proxy even for this host.
        options.append(("grpc.enable_http_proxy", 0))
    if keep_alive_s is not None:
        options += [
            ("grpc.keepalive_time_ms", round(seconds("keep_alive_s", keep_alive_s) * 1000)),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
        ]
    if tls is None:
        return grpc.insecure_channel(url, options)
    if tls.name is not None:
        options.append(("grpc.ssl_target_name_override", tls.name))
    return grpc.secure_channel(url, tls.credentials(), options)


def is_loopback(url: str) -> bool:
    """Whether host:port is of this host and reached by no network."""
    return _LOOPBACK.fullmatch(url.rpartition(":")[0]) is not None


def checked_headers(headers: Mapping[str, str] | None) -> Headers:
    """The headers of every call; raises `UsageError` for names and values gRPC cannot send."""
    found = []
    for name, value in (headers or {}).items():
        if not isinstance(name, str) or not _HEADER.fullmatch(name.lower()):
            raise UsageError(f"{name!r} is not the name of a header")
        if name.lower().endswith("-bin") or name.lower().startswith("grpc-"):
            raise UsageError(f"{name!r} is reserved by gRPC")
        if not isinstance(value, str) or not (value.isascii() and value.isprintable()):
            raise UsageError(f"the header {name!r} is text of printable ASCII characters")
        found.append((name.lower(), value))
    return tuple(found)


def seconds(name: str, value: object) -> float:
    """A time in seconds above 0; raises `UsageError` for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{name} is a number of seconds, not {value!r}")
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"{name} of {value:g} s is not possible")
    return float(value)


def _contents(path: str | os.PathLike[str] | None) -> bytes | None:
    if path is None:
        return None
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read ({error.strerror})", where=os.fspath(path)) from error
    if b"-----BEGIN " not in data:
        raise UsageError("is not a PEM file", where=os.fspath(path))
    return data
