"""A repository and the one for encoded images beside it, as one in tests."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from resnet_serve.triton import image_repository


def at(repository: Path, file: str) -> Path:
    """A file that is named MODEL/…, in whichever of the two repositories its model is."""
    model, _, rest = file.partition("/")
    return image_repository.directory(repository, model) / rest


def copied(repository: Path, place: Path, **options: Any) -> Path:
    """Both repositories copied, with the options of `shutil.copytree`; returns `place`."""
    shutil.copytree(repository, place, **options)
    second = image_repository.of(repository)
    if second.is_dir():
        shutil.copytree(second, image_repository.of(place), **options)
    return place
