"""The application: its help, its version, and every command under the name that users type.

A command is a function in the module of its group; its line here puts it into `--help`.
"""

from __future__ import annotations

from typing import Annotated

import typer

from resnet_serve import __version__, console
from resnet_serve.cli import batch
from resnet_serve.cli.checks import host, verification
from resnet_serve.cli.measuring import load, planning, tuning
from resnet_serve.cli.models import deploying, exporting, repository, versions
from resnet_serve.cli.servers import browsing, health, serving

app = typer.Typer(
    cls=console.Commands,
    context_settings=console.HELP_OPTIONS,
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Serve, list and load-test the models that resnet-convert deployed.",
    epilog="Exit codes: 0 done · 1 unexpected · 2 usage · 3 parity not met · 4 something missing "
    "on this host · 5 bad input file.",
)


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


# In the order in which --help lists them.
app.command("up")(serving.up)
app.command("down")(serving.down)
app.command("health")(health.health)
app.command("list")(repository.list_models)
app.command("web")(browsing.web)
app.command("deploy")(deploying.deploy)
app.command("promote")(versions.promote)
app.command("withdraw")(versions.withdraw)
app.command("rollback")(versions.rollback)
app.command("remove")(versions.remove)
app.command("verify")(verification.verify_models)
app.command("loadtest")(load.load_test)
app.command("tune")(tuning.tune)
app.command("plan")(planning.plan)
app.command("batch")(batch.batch)
app.command("manifests")(repository.write_manifests)
app.command("export")(exporting.export_model)
app.command("doctor")(host.examine)
app.command("schema")(host.print_schema)
