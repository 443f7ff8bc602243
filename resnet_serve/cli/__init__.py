"""`resnet-serve`: serve a repository, list it, verify it, load-test it, and examine the host.

A folder per theme and a module per group of commands: `models` is what is deployed, `servers` what
runs; `checks` and `measuring` are about both. `application` names them all, `screen` prints what
they share.
"""

from __future__ import annotations

import os
import sys

# Commands that connect to servers with TLS, and start none, which would log less then.
_CLIENTS = ("verify", "loadtest", "batch", "web")


def main() -> None:
    """The console script."""
    from resnet_serve import console

    console.run(_command)


def _command() -> None:
    """Run the command; an interruption while its modules are imported is one of the command."""
    if sys.argv[1:] and sys.argv[1] in _CLIENTS:
        # gRPC would write its own line for a handshake that fails; it reads this when imported.
        os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    if sys.argv[1:2] == ["health"]:
        # Probes start it every few seconds: what the other commands import would take longer.
        from resnet_serve.cli.servers.health import app
    else:
        from resnet_serve.cli.application import app
    app()
