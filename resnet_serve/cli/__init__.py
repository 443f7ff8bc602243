"""`resnet-serve`: serve a repository, list it, verify it, load-test it, and examine the host.

A module per group of commands; `application` names them all, `screen` prints what they share.
"""

from __future__ import annotations


def main() -> None:
    """The console script."""
    from resnet_serve import console
    from resnet_serve.cli.application import app

    console.run(app)
