"""The command line: parse, compose, print.

| module | role |
|---|---|
| `convert` | `resnet-convert`, and the group of its subcommands; imported by `main` |
| `archs` | `resnet-convert archs` |
| `build_plan` | `resnet-convert build-plan` |
| `compare` | `resnet-convert compare` |
| `ensemble` | `resnet-convert ensemble` and `resnet-convert ten-crop` |
| `options` | every option, declared once |
| `screen`, `tables` | progress, tables and sentences in the terminal |
| `refusals` | what a refusal shows before its error |

The top floor: nothing imports it.
"""

from __future__ import annotations


def main() -> None:
    """The console script."""
    from resnet_serve import console

    console.run(_command)


def _command() -> None:
    """Run the command; an interruption while its modules are imported is one of the command."""
    from resnet_convert.cli.convert import app

    app()
