"""Ports on which a server can come back."""

from __future__ import annotations

import contextlib
import socket

import pytest

from resnet_serve.errors import HostError
from resnet_serve.triton.supervision.endpoints import claim_ports


def three_ports() -> int:
    """The first of three free ports in a row, so that a server can come back where it was."""
    for _ in range(50):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = int(free.getsockname()[1])
        with contextlib.suppress(HostError, OverflowError):
            claim_ports("127.0.0.1", port)
            return port
    pytest.skip("no three free ports in a row")
