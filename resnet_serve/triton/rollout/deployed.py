"""A version that was just deployed, brought onto the server that runs on its repository."""

from __future__ import annotations

from resnet_serve.triton.repository import Repository, changes
from resnet_serve.triton.rollout.rollout import Say, serve
from resnet_serve.triton.supervision.detached import Running


def bring(server: Running, repository: Repository, name: str, version: int, say: Say) -> str:
    """Serve the version; returns the gRPC address. Raises as `changes.promote` and `serve`."""
    change = changes.promote(repository.deployed(), name, version)
    for line in serve(server, repository, change, say):
        say(line)
    return server.grpc
