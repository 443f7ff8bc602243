"""What the shell offers for a word that is not finished: models, architectures.

Each function gets the beginning of the word, and `models` the context of the command too. None may
fail or write: its output is read by the shell.
"""

from __future__ import annotations

from pathlib import Path

import typer

from resnet_serve.architectures.registry import ARCHITECTURES
from resnet_serve.triton import image_repository
from resnet_serve.triton.layout import CONFIG_FILE


def architectures(incomplete: str) -> list[tuple[str, str]]:
    """Names of `--arch` that begin so, each with what it is."""
    rows = (row for row in ARCHITECTURES.values() if row.name.startswith(incomplete))
    return [(row.name, row.summary) for row in rows]


def models(context: typer.Context, incomplete: str) -> list[str]:
    """Models of the command's `--repository` that begin so, those that take encoded images too."""
    repository = Path(context.params.get("repository") or "model_repository")
    both = (repository, image_repository.of(repository))
    found = {each.parent.name for place in both for each in place.glob(f"*/{CONFIG_FILE}")}
    return sorted(name for name in found if name.startswith(incomplete))
