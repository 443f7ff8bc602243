"""The repository of the models that take encoded images: only servers with our backend load it.

    model_repository/          net  net_average          any Triton
    model_repository.images/   net_preprocess  net_image   `image`, and the ensembles around it

A Triton that finds a model with a backend it does not have ends, and serves none. So the models
that need our `image` backend have a repository of their own beside the other, which `up` and the
container give to Triton as a second one. Where it was not copied, the other serves alone.
Deployments of an earlier resnet-serve have them in the first one, until a version is served again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_ENDING = ".images"
_NAMES = ("_preprocess", "_image")  # how the names of its models end


def of(repository: Path) -> Path:
    """The second repository of a repository, which need not exist.

    It is beside the real directory where the path is a symlink to it.
    """
    real = repository.resolve()
    return real.with_name(f"{real.name}{_ENDING}")


def first(folder: Path) -> Path:
    """The repository whose second one `folder` is; `folder` itself if it is none."""
    real = folder.resolve()
    if not real.name.endswith(_ENDING):
        return folder
    beside = real.with_name(real.name.removesuffix(_ENDING))
    return beside if beside.is_dir() else folder


def directory(repository: Path, model: str) -> Path:
    """The directory of a model: where it is, or where it would be."""
    with_images, without = of(repository) / model, repository / model
    if with_images.is_dir() or (takes_images(model) and not without.is_dir()):
        return with_images
    return without


def takes_images(model: str) -> bool:
    """Whether a model of a deployment is, by its name, one that takes encoded images."""
    return model.endswith(_NAMES)


def directories(repository: Path) -> Iterator[Path]:
    """Every directory in the two, the first one's first; raises `OSError` where one is not read."""
    yield from sorted(entry for entry in repository.iterdir() if entry.is_dir())
    second = of(repository)
    if second.is_dir():
        yield from sorted(entry for entry in second.iterdir() if entry.is_dir())
