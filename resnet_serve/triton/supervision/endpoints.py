"""The addresses of a server, and the requests that this toolkit sends to it over HTTP.

HTTP listens on the requested port, gRPC on the next, metrics on the one after; port 0 stands for
any three free ones.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import os
import socket
from dataclasses import dataclass, field
from typing import Any

from resnet_serve.errors import HostError, UsageError

# The protocols that change the server or reveal its state need the key.
RESTRICTED = "shared-memory,model-repository,trace,logging"
KEY_HEADER = "resnet-serve-key"
_ROLES = ("HTTP", "gRPC", "metrics")
_ANY = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not bound
_TIMEOUT_S = 5.0
_OTHER_PORTS = "Use --port N with three free ports from N on, or --port 0 for any free ones."


@dataclass(frozen=True)
class Endpoints:
    """The addresses of one server, its identity, and the key to its restricted protocols.

    `grpc_address` is where gRPC listens, if not at the `address` of the others.
    """

    address: str
    http_port: int
    grpc_port: int
    metrics_port: int
    server_id: str
    key: str = field(repr=False)
    grpc_address: str = ""

    @property
    def encrypted(self) -> bool:
        """Whether gRPC is served with TLS, apart from the others."""
        return bool(self.grpc_address)

    @property
    def http(self) -> str:
        """Host and port of the HTTP protocol."""
        return f"{_bracketed(self.host)}:{self.http_port}"

    @property
    def grpc(self) -> str:
        """Host and port of the gRPC protocol."""
        return f"{_bracketed(_reachable(self.grpc_address or self.address))}:{self.grpc_port}"

    @property
    def metrics(self) -> str:
        """Host and port of the Prometheus metrics (/metrics)."""
        return f"{_bracketed(self.host)}:{self.metrics_port}"

    @property
    def host(self) -> str:
        """The address at which this host reaches it."""
        return _reachable(self.address)

    def options(self) -> list[str]:
        """The command line options of tritonserver for them."""
        restricted = f"{RESTRICTED}:{KEY_HEADER}={self.key}"
        return [
            f"--id={self.server_id}",
            # libevhtp, for HTTP and metrics, marks IPv6 in its own way.
            f"--http-address={_marked(self.address)}",
            f"--grpc-address={_bracketed(self.grpc_address or self.address)}",
            f"--metrics-address={_marked(self.address)}",
            f"--http-port={self.http_port}",
            f"--grpc-port={self.grpc_port}",
            f"--metrics-port={self.metrics_port}",
            f"--http-restricted-api={restricted}",
            f"--grpc-restricted-protocol={restricted}",
        ]

    def ready(self) -> bool:
        """Whether all models are ready on this server, not on another at the same address."""
        with contextlib.suppress(OSError, http.client.HTTPException, HostError, ValueError):
            status, _ = self._request("GET", "/v2/health/ready")
            return status == http.client.OK and self._about().get("name") == self.server_id
        return False

    def version(self) -> str:
        """Triton's version, as the server reports it; raises `HostError` where none answers."""
        return str(self._about()["version"])

    def models(self) -> dict[str, tuple[str, ...]]:
        """The models that are ready, each with its versions, oldest first."""
        index = self._json("POST", "/v2/repository/index", {"ready": True})
        versions: dict[str, list[str]] = {}
        for entry in index:
            versions.setdefault(entry["name"], []).append(str(entry.get("version", "")))
        return {name: tuple(sorted(versions[name], key=_number)) for name in sorted(versions)}

    def _about(self) -> dict[str, Any]:
        return dict(self._json("GET", "/v2"))

    def _json(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        try:
            status, text = self._request(method, path, body)
        except (OSError, http.client.HTTPException) as error:
            raise HostError(
                f"the server does not respond ({error})",
                where=self.http,
                remedy="Check that it runs.",
            ) from error
        if status != http.client.OK:
            raise HostError(f"the server refuses {path}: {text}", where=self.http)
        return json.loads(text)

    def _request(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self.host, self.http_port, timeout=_TIMEOUT_S)
        with contextlib.closing(connection):
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {KEY_HEADER: self.key})
            response = connection.getresponse()
            return response.status, response.read().decode()


def _reachable(address: str) -> str:
    return _ANY.get(address, address)


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _marked(address: str) -> str:
    return f"ipv6:{address}" if ":" in address else address


def _number(version: str) -> int:
    return int(version) if version.isdigit() else 0


def claim_ports(
    address: str, port: int, grpc_address: str = ""
) -> tuple[str, tuple[int, int, int]]:
    """The numeric `address`, and three free ports there: from `port` on, or any for 0.

    An IPv4 address is preferred. The port of gRPC is free at `grpc_address`, if that is given.

    Raises `UsageError` for a number out of range, and `HostError` for a port that is in use or may
    not be used, or an address that is not of this host.
    """
    if not 0 <= port <= 65533:
        raise UsageError(
            f"port {port} is out of range", remedy="Use --port 0 for any, or 1 to 65533."
        )
    wanted = (0, 0, 0) if port == 0 else (port, port + 1, port + 2)
    with contextlib.ExitStack() as bound:
        # All three stay bound at once, so that the kernel assigns three different ones.
        sockets = [
            bound.enter_context(
                _bind(grpc_address if role == "gRPC" and grpc_address else address, number, role)
            )
            for number, role in zip(wanted, _ROLES, strict=True)
        ]
        numeric = sockets[0].getsockname()[0]
        first, second, third = (each.getsockname()[1] for each in sockets)
        return numeric, (first, second, third)


def listening(address: str, port: int) -> socket.socket:
    """A socket that listens there, at any free port for 0; raises as `claim_ports`."""
    other = "Use another --port, or --port 0 for any free one."
    return _bind(address, port, "HTTP", other)


def _bind(address: str, port: int, role: str, other: str = _OTHER_PORTS) -> socket.socket:
    try:
        found = socket.getaddrinfo(
            address or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, *_, place = min(found, key=lambda each: each[0] != socket.AF_INET)
        return socket.create_server(place[:2], family=family)
    except OSError as error:
        raise _port_error(address, port, role, error, other) from error


def _port_error(address: str, port: int, role: str, error: OSError, other: str) -> HostError:
    """The error for a `role` that cannot listen on `port`; `other` says how to choose another."""
    if error.errno == errno.EADDRINUSE:
        return HostError(f"port {port} ({role}) is already in use", where=address, remedy=other)
    if error.errno in (errno.EACCES, errno.EPERM):
        return HostError(f"port {port} ({role}) may not be used", where=address, remedy=other)
    reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
    return HostError(
        f"cannot listen on port {port} ({role}): {reason.lower()}",
        where=address,
        remedy="Use --listen 127.0.0.1, or an address of this host.",
    )
