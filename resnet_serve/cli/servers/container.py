"""The entry point of the container: what `up` checks, and then its supervisor with the options.

    python3 -m resnet_serve.cli.servers.container tritonserver --model-repository=/models …

The options are those of tritonserver. A certificate that every client would refuse ends it with 5,
as Triton would serve with it. What else is wrong is a warning: the options say what is loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from resnet_serve import console
from resnet_serve.errors import ResnetServeError
from resnet_serve.triton.repository import versions
from resnet_serve.triton.supervision import foreground, servable, transport
from resnet_serve.triton.supervision.orders import options
from resnet_serve.verification import starting

_USED = ("grpc-use-ssl", "grpc-use-ssl-mutual")
_FILES = ("grpc-server-cert", "grpc-server-key", "grpc-root-cert")
_OFF = ("0", "false", "off", "no")


def main() -> None:
    """Check, then run until the server has ended for good, and exit with its status."""
    console.run(_serve)


def _serve() -> None:
    given = options(sys.argv[1:])
    _check_certificates(given)
    for repository in given.get("model-repository", []):
        console.warn(*_found(Path(repository)))
    raise SystemExit(foreground.main())


def _check_certificates(given: Mapping[str, Sequence[str]]) -> None:
    """Raise `InputFileError` for files that Triton's gRPC would use and no client accept."""
    if all(given.get(name, ["0"])[-1].lower() in _OFF for name in _USED):
        return
    named = [Path(given[name][-1]) if name in given else None for name in _FILES]
    certificate, key, authority = named
    if certificate is not None and key is not None:  # else Triton says what is missing
        transport.tls(certificate, key, authority, options=[f"--{name}" for name in _FILES])


def _found(repository: Path) -> Iterator[str]:
    """A line for what `up` would refuse, or warn of; none for what is not a folder of this host."""
    if not repository.is_dir():
        return
    try:
        found = versions.deployed(repository)
        yield from map(str, starting.unloadable(found, repository))
        yield from starting.unproved(found)
        yield from servable.left_out(repository)
    except ResnetServeError as error:  # it may be a repository of other models
        yield str(error)


if __name__ == "__main__":
    main()
