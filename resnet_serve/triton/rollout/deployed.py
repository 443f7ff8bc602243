"""A version that was just deployed, brought onto the server that runs on its repository."""

from __future__ import annotations

from resnet_serve.errors import UsageError
from resnet_serve.triton.canary.split import share
from resnet_serve.triton.repository import Repository, changes, versions
from resnet_serve.triton.rollout.canary import begin
from resnet_serve.triton.rollout.rollout import Say, serve
from resnet_serve.triton.supervision.detached import Running


def check_canary(repository: Repository, name: str, canary: str | None) -> None:
    """Raise `UsageError` now for what is no share, or where nothing is served to compare with."""
    if canary is None:
        return
    share(canary)
    if not repository.path.is_dir() or name not in versions.served(repository.deployed()):
        raise UsageError(
            f"no version of {name} is served that a canary could be compared with",
            where=repository.path,
            remedy="Leave out --canary.",
        )


def bring(
    server: Running | None,
    repository: Repository,
    name: str,
    version: int,
    say: Say,
    canary: str | None = None,
) -> str | None:
    """Serve the version, or with `canary` give it that share; on `server` too, if one runs.

    Returns its gRPC address. Raises as `changes.promote`, `changes.canary`, `serve` and `begin`.
    """
    found = repository.deployed()
    if canary is None:
        change = changes.promote(found, name, version)
        if server is None:
            repository.serve(change.models)
            return None
        for line in serve(server, repository, change, say):
            say(line)
        return server.grpc
    tried = changes.canary(found, name, version, share(canary))
    if server is None:
        repository.split(tried)
        return None
    for line in begin(server, repository, tried, say):
        say(line)
    return server.grpc
