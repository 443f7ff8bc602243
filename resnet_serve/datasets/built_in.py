"""The data sets that have a name: what `--calibration` and `--validation` take beside a folder.

The digits, and Fashion-MNIST: whole where the host has it, as a sample everywhere. A row says what
a host needs for it, so that a dry run can tell whether it is here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from resnet_serve.datasets.digits import Digits, HardDigits
from resnet_serve.datasets.fashion_mnist import DEBIAN_FOLDER, SAMPLE_FOLDER, FashionMnist

FASHION_MNIST = "fashion-mnist"
NamedSet = Digits | FashionMnist


@dataclass(frozen=True)
class BuiltIn:
    """A data set by name: how its held-out or training part is opened, and what that needs."""

    opened: Callable[[bool], NamedSet]
    needs: str
    here: Callable[[], bool]


def _sklearn_is_here() -> bool:
    return find_spec("sklearn") is not None


def _fashion_mnist(folder: Path) -> BuiltIn:
    return BuiltIn(
        lambda held_out: FashionMnist(held_out=held_out, folder=folder),
        str(folder),
        folder.is_dir,
    )


DATA_SETS: Mapping[str, BuiltIn] = MappingProxyType(
    {
        "digits": BuiltIn(lambda part: Digits(held_out=part), "scikit-learn", _sklearn_is_here),
        "digits-hard": BuiltIn(
            lambda part: HardDigits(held_out=part), "scikit-learn", _sklearn_is_here
        ),
        FASHION_MNIST: _fashion_mnist(DEBIAN_FOLDER),
        f"{FASHION_MNIST}-sample": _fashion_mnist(SAMPLE_FOLDER),
    }
)


def find(source: str) -> BuiltIn | None:
    """The data set of this name, or None; `fashion-mnist:FOLDER` has its files in another place."""
    name, colon, folder = source.partition(":")
    if colon and name == FASHION_MNIST:
        return _fashion_mnist(Path(folder))
    return DATA_SETS.get(source)
