"""`resnet-serve`: serve a repository, list it, verify it, load-test it, and examine the host."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from resnet_serve import __version__, composed, console, listing, verify
from resnet_serve.doctor import examination as doctor
from resnet_serve.errors import HostError, UsageError
from resnet_serve.loadtest import results
from resnet_serve.loadtest import run as loadtest
from resnet_serve.loadtest.perf_analyzer import Level
from resnet_serve.triton.repository import Repository
from resnet_serve.triton.server import Progress as ServerProgress
from resnet_serve.triton.server import Running, Server, running, stop_detached

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Serve, list and load-test the models that resnet-convert deployed.",
    epilog="Exit codes: 0 done · 1 unexpected · 2 usage · 3 parity not met · 4 something missing "
    "on this host · 5 bad input file.",
)

RepositoryOption = Annotated[Path, typer.Option(help="The Triton model repository.")]
DEFAULT_REPOSITORY = Path("model_repository")


def _version(requested: bool) -> None:
    if requested:
        console.out.print(f"resnet-serve {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...


@app.command()
def up(
    repository: RepositoryOption = DEFAULT_REPOSITORY,
    port: Annotated[
        int, typer.Option(help="HTTP port; gRPC and metrics take the next two. 0: any free ones.")
    ] = 8000,
    address: Annotated[
        str, typer.Option(help="The address to listen at; loopback by default.")
    ] = "127.0.0.1",
    detach: Annotated[
        bool,
        typer.Option("--detach", help="Return when ready; `resnet-serve down` stops it."),
    ] = False,
    timeout_s: Annotated[
        float, typer.Option("--timeout", help="Seconds to wait for all models to be ready.")
    ] = 120,
    log: Annotated[
        Path | None, typer.Option(help="The file of the server's own log.", show_default=False)
    ] = None,
) -> None:
    """Serve the repository with Triton until Ctrl-C, or in the background with --detach."""
    opened = Repository(repository)
    opened.recover()
    _require_loadable(opened)
    if address not in ("127.0.0.1", "::1", "localhost"):
        console.warn(
            f"listening on {address}: without TLS or authentication, and the wheel's Triton 2.51 "
            "predates security fixes of 2025; use NVIDIA's current container beyond this host"
        )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _waiting("starting Triton") as show:
        server = Server(
            repository, port=port, address=address, timeout_s=timeout_s, log=log, progress=show
        )
        server.start(detach=detach)
    try:
        _endpoints(server)
        if detach:
            console.out.print(f"Log     {server.log}", soft_wrap=True)
            console.out.print(f"Stop it with: resnet-serve down --repository {repository}")
            return
        console.out.print("Ctrl-C stops it.")
        server.wait()
    except KeyboardInterrupt:
        console.out.print("stopping")
    finally:
        if not detach:
            server.stop()
    console.out.print("stopped")


def _require_loadable(repository: Repository) -> None:
    """Raise `HostError` for models that Triton could not load, before it starts.

    Their plan is still to be built, or members of a composed model have newer versions.
    """
    if not repository.path.is_dir():
        return
    found = repository.deployed()
    waiting = listing.unbuilt(found)
    if waiting:
        more = f" (and of {len(waiting) - 1} more models)" if len(waiting) > 1 else ""
        raise HostError(
            f"the plan of {waiting[0].name} version {waiting[0].version} is not built{more}",
            where=repository.path,
            remedy=f"On the GPU host: resnet-convert build-plan {waiting[0].path}",
        )
    for wrong in composed.outdated(found):
        raise HostError(
            wrong.reason,
            where=f"{wrong.deployed.name} version {wrong.deployed.version}",
            remedy=f"Compose it again with the present versions: {wrong.command}",
        )


@app.command()
def down(repository: RepositoryOption = DEFAULT_REPOSITORY) -> None:
    """Stop the server that `up --detach` started on the repository."""
    if stop_detached(repository):
        console.out.print("stopped")
    else:
        console.out.print(f"no detached server runs on {repository}")


@app.command("list")
def list_models(
    repository: RepositoryOption = DEFAULT_REPOSITORY,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
) -> None:
    """Models, versions, precision, parity numbers and age."""
    opened = Repository(repository)
    opened.recover()
    found = opened.deployed()
    if as_json:
        typer.echo(json.dumps(listing.rows(found), indent=2))
        return
    console.out.print(listing.table(found))
    served = running(repository)
    if served is not None:
        console.out.print(f"Served at {served.grpc} (gRPC).")


@app.command("verify")
def verify_models(
    name: Annotated[
        str | None, typer.Argument(help="The model; all of them by default.", show_default=False)
    ] = None,
    host: Annotated[
        bool,
        typer.Option("--host", help="Compare this machine with the one that each passport names."),
    ] = False,
    repository: RepositoryOption = DEFAULT_REPOSITORY,
    as_json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False,
) -> None:
    """Check on the serving machine whether it can serve what is deployed, before it serves."""
    if not host:
        raise UsageError("verify needs to know what to compare with", remedy="Use --host.")
    opened = Repository(repository)
    found = verify.chosen(opened.deployed(), name)
    report = verify.verify(found, verify.describe(os.environ.get("TRT_VERSION")))
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=2))
    else:
        console.out.print(verify.table(report))
    report.require()


@app.command("loadtest")
def load_test(
    model: Annotated[str, typer.Argument(help="The model's name, or NAME_image to send images.")],
    concurrency: Annotated[
        str, typer.Option(help="Requests in flight: start:end[:step] or a list 1,2,4.")
    ] = "1:8",
    url: Annotated[
        str | None,
        typer.Option(
            help="gRPC address. Default: the detached server on --repository, else port 8001.",
            show_default=False,
        ),
    ] = None,
    repository: RepositoryOption = DEFAULT_REPOSITORY,
    batch_size: Annotated[int, typer.Option(min=1, help="Images per request.")] = 1,
    seconds: Annotated[float, typer.Option(min=1, help="Seconds per concurrency, about.")] = 6,
    image: Annotated[
        Path | None,
        typer.Option(help="An image or a folder of images to send.", show_default=False),
    ] = None,
    output: Annotated[Path, typer.Option(help="The folder for CSV, JSON and plot.")] = Path(
        "loadtest"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Load a served model with perf_analyzer: table, CSV and a latency–throughput plot."""
    served = running(repository) if url is None else None
    address = url or (served.grpc if served is not None else loadtest.DEFAULT_URL)
    with console.bars() as bars:
        task = bars.add_task("perf_analyzer", total=None)

        def started(level: int, seconds: float) -> None:
            bars.update(task, description=f"concurrency {level} ({seconds:.0f} s)")

        def ended(level: Level) -> None:
            bars.update(
                task,
                description=f"concurrency {level.concurrency}: {level.throughput_per_s:.1f}/s",
            )

        test = loadtest.run(
            model,
            url=address,
            concurrency=concurrency,
            images=image,
            batch_size=batch_size,
            seconds=seconds,
            downloading=lambda done, total: bars.update(
                task, description="downloading perf_analyzer", completed=done, total=total or None
            ),
            started=started,
            ended=ended,
        )
    written = results.write(test, output)
    if as_json:
        typer.echo(json.dumps(test.to_json(), indent=2))
        return
    console.out.print(results.table(test))
    for note in (*test.notes, *([written.note] if written.note else [])):
        console.warn(note)
    for path in (written.csv, written.json, written.plot):
        if path is not None:
            console.out.print(f"wrote {path}", soft_wrap=True)


@app.command("doctor")
def examine(
    features: Annotated[
        list[str] | None,
        typer.Option(
            "--for",
            help=f"Exit with 4 unless this works here: {', '.join(doctor.FEATURES)}.",
            show_default=False,
        ),
    ] = None,
    repository: RepositoryOption = DEFAULT_REPOSITORY,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """What this host has, what is missing for which feature, and the command that installs it."""
    diagnosis = doctor.examine(repository=repository)
    if as_json:
        typer.echo(json.dumps(diagnosis.to_json(), indent=2))
    else:
        console.out.print(doctor.table(diagnosis))
    diagnosis.require(features or [])


@app.command("schema")
def print_schema(name: Annotated[str, typer.Argument(help="The file: preprocessing.")]) -> None:
    """The JSON Schema of a file: of --preprocessing FILE."""
    from resnet_serve.preprocessing import document

    if name != "preprocessing":
        raise UsageError(f"there is no schema of {name!r}", remedy="There is: preprocessing.")
    typer.echo(document.schema(), nl=False)


@contextmanager
def _waiting(text: str) -> Iterator[ServerProgress]:
    with console.bars() as bars:
        task = bars.add_task(text, total=None)

        def show(_elapsed_s: float, loaded: tuple[str, ...], count: int) -> None:
            last = f": {loaded[-1]}" if loaded else ""
            bars.update(task, description=f"{text}{last}", completed=len(loaded), total=count)

        yield show


def _endpoints(server: Server | Running) -> None:
    console.out.print(f"gRPC    {server.grpc}")
    console.out.print(f"HTTP    http://{server.http}")
    console.out.print(f"Metrics http://{server.metrics}/metrics")


def main() -> None:
    """The console script."""
    console.run(app)


if __name__ == "__main__":
    main()
