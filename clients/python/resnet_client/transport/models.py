"""The names of the models that a server has, and which of them belong together."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from resnet_client.errors import ModelError

_NAMES_SHOWN = 10

# Models that belong to a classifier: an ensemble for encoded images, that ensemble's first step,
# and, for an ensemble of several classifiers, the average of their outputs.
IMAGE_SUFFIX, PREPROCESS_SUFFIX, AVERAGE_SUFFIX = "_image", "_preprocess", "_average"


def nearest(name: str, names: Iterable[str]) -> list[str]:
    """The classifiers among `names`, the most similar to `name` first."""

    def similarity(other: str) -> float:
        return difflib.SequenceMatcher(None, name.lower(), other.lower()).ratio()

    return sorted(classifiers(names), key=similarity, reverse=True)


def classifiers(names: Iterable[str]) -> list[str]:
    """The names without companions: `resnet50` of `resnet50`, `resnet50_image`, and so on."""
    suffixes = (IMAGE_SUFFIX, PREPROCESS_SUFFIX, AVERAGE_SUFFIX)
    names = list(names)
    companions = {f"{name}{suffix}" for name in names for suffix in suffixes}
    return [name for name in names if name not in companions]


def unknown(
    url: str, model: str, version: str, served: Mapping[str, tuple[str, ...]] | None
) -> ModelError:
    """The error for a model or version that is not among the `served` ones, None if restricted."""
    if served is None:
        return ModelError(
            f"the server at {url} serves no model {_named(model, version)}",
            remedy="It restricts the list of its models; `resnet-serve list` shows them.",
        )
    if model in served and version in ("", *served[model]):
        return ModelError(f"model {model!r} was not loaded", remedy="It is now: try again.")
    if model in served:
        return ModelError(
            f"model {model!r} has no version {version}",
            remedy=f"The server at {url} serves {', '.join(served[model])}.",
        )
    alone = model.removesuffix(IMAGE_SUFFIX)
    if alone != model and alone in served:
        return ModelError(
            f"the server at {url} serves {alone!r} without {model!r}",
            remedy="Decode the images in the client: decode='client', or --decode client.",
        )
    return ModelError(
        f"the server at {url} serves no model {_named(model, version)}",
        remedy=f"It serves {_listed(nearest(model, served))}.",
    )


def number(version: str) -> int:
    """A version as a number; 0 where it is none."""
    return int(version) if version.isdecimal() else 0


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    text = ", ".join(names[:_NAMES_SHOWN]) or "nothing"
    return text if more <= 0 else f"{text} and {more} more"


def _named(model: str, version: str) -> str:
    return f"{model!r} in version {version}" if version else repr(model)
