"""`resnet-serve health`: whether the server answers, in one line and an exit code, for probes.

It is started often, so this module imports no more than it needs; `resnet_serve.cli` knows that.
"""

from __future__ import annotations

import os
from http.client import OK
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from resnet_serve import console
from resnet_serve.errors import UsageError
from resnet_serve.triton.image_repository import directories
from resnet_serve.triton.layout import CONFIG_FILE
from resnet_serve.triton.supervision.detached import running
from resnet_serve.triton.supervision.health.probe import Answer, Probe, Unreachable

NOT_HEALTHY = 1  # what Docker calls unhealthy
DEFAULT_URL = "127.0.0.1:8000"
LOOPBACK = ("127.0.0.1", "::1", "localhost")

app = typer.Typer(add_completion=False, context_settings=console.HELP_OPTIONS)


@app.callback()
def _group() -> None:
    """Its name is a word of the command line, as in the whole application."""


@app.command()
def health(
    name: Annotated[
        str | None,
        typer.Argument(help="The model; by default all that clients call.", show_default=False),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            help="HTTP address. Default: the server that runs on --repository, else port 8000.",
            show_default=False,
        ),
    ] = None,
    repository: Annotated[
        Path, typer.Option(help="The Triton model repository.", envvar="MODEL_REPOSITORY")
    ] = Path("model_repository"),
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds for each answer.")] = 5,
) -> None:
    """Whether the server answers: one small inference on each model. Exit code 0, else 1.

    A model whose queue is full is healthy as long as it answers others.
    """
    served = running(repository) if url is None else None
    if served is not None:
        host, port, key = served.endpoints.host, served.endpoints.http_port, served.endpoints.key
    else:
        host, port = _address(url or DEFAULT_URL)
        key = os.environ.get("RESNET_SERVE_KEY", "")
    probe = Probe(host, port, key, timeout_s, repository if host in LOOPBACK else None)
    try:
        if probe.get("/v2/health/ready")[0] != OK:
            _say("not ready", NOT_HEALTHY)
        if name is not None:
            names: tuple[str, ...] = (name,)
        else:
            names = probe.outer(_models(probe, repository if host in LOOPBACK else None))
    except (Unreachable, TimeoutError) as error:
        _say(f"not healthy: {host}:{port}: {error}", NOT_HEALTHY)
    answers = [probe.check(each) for each in names]
    bad = [each for each in answers if not each.healthy]
    if bad:
        _say("; ".join(map(_told, bad)), NOT_HEALTHY)
    _say("; ".join(map(_told, answers)) or "healthy: it serves no model", 0)


def _models(probe: Probe, repository: Path | None) -> tuple[str, ...]:
    """The models that the server lists, or, without its key, those in a repository of this host."""
    try:
        return probe.models()
    except Unreachable:
        folders = [] if repository is None or not repository.is_dir() else directories(repository)
        found = [each.name for each in folders if (each / CONFIG_FILE).is_file()]
        if not found:
            raise UsageError(
                "the list of the server's models needs its key",
                remedy="Name a model, or set RESNET_SERVE_KEY to the key that the server has.",
            ) from None
        return tuple(found)


def _told(answer: Answer) -> str:
    if answer.busy:
        return f"healthy, but busy: {answer.model} {answer.detail}"
    if answer.healthy:
        return f"healthy: {answer.model} answers in {answer.seconds * 1000:.0f} ms"
    return f"not healthy: {answer.model}: {answer.detail}"


def _address(url: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`, `[::1]:PORT` or `http://HOST:PORT`."""
    host, _, port = url.removeprefix("http://").rstrip("/").rpartition(":")
    if not port.isdigit() or not host:
        raise UsageError(f"not an HTTP address: {url}", remedy="Give --url HOST:PORT.")
    return host.strip("[]"), int(port)


def _say(text: str, code: int) -> NoReturn:
    console.out.print(text, soft_wrap=True, markup=False)
    raise typer.Exit(code)
