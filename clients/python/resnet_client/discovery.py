"""Discovery: the classifiers that a server serves, and the one to use when none is named."""

from __future__ import annotations

from contextlib import closing

from resnet_client.contract import PREPROCESSING
from resnet_client.errors import ModelError
from resnet_client.transport.channel import Tls
from resnet_client.transport.connection import Connection
from resnet_client.transport.models import classifiers


def only_classifier(connection: Connection) -> str:
    """The name of the only classifier that the server of a connection serves.

    Raises `ModelError` with the names when there are several, and when the server restricts the
    list of its models.
    """
    how = "Name one with --model or RESNET_MODEL."
    url, names = connection.url, connection.served()
    if names is None:
        raise ModelError(
            f"the server at {url} restricts the list of its models",
            remedy=f"{how} `resnet-serve list` shows them.",
        )
    ours = [
        name
        for name in classifiers(names)
        if PREPROCESSING in connection.config(name, "").parameters
    ]
    if not ours:
        raise ModelError(
            f"the server at {url} serves no classifier that resnet-convert deployed",
            remedy="Deploy one with resnet-convert.",
        )
    if len(ours) > 1:
        raise ModelError(f"the server at {url} serves {', '.join(ours)}", remedy=how)
    return ours[0]


def served_classifiers(
    url: str, *, timeout_s: float, tls: bool | Tls = False
) -> dict[str, tuple[str, ...]]:
    """The models that the server at `url` (gRPC) serves, without companions, and their versions.

    Some may be no classifiers. Raises `ModelError` when the server restricts the list, and what
    `Classifier` raises for a server that does not answer.
    """
    connection = Connection(url, timeout_s=timeout_s, tls=Tls() if tls is True else tls or None)
    with closing(connection):
        connection.learn_server()
        found = connection.served()
    if found is None:
        raise ModelError(f"the server at {url} restricts the list of its models")
    return {name: found[name] for name in classifiers(found)}
