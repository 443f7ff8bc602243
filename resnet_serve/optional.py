"""Optional engines, imported when first used.

`torch = optional("torch", extra="convert")` imports nothing yet, so that every module and every
`--help` works with the base dependencies only. Where the package is missing, *using* it raises
`HostError` with the command that installs it. Code that only names its classes still works: a class
may derive from them (and cannot be instantiated), `isinstance` is False, and an `except` clause
catches nothing.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any, NoReturn

from resnet_serve.errors import HostError


def optional(name: str, *, extra: str) -> Any:
    """A stand-in for the module `name` that is imported on first use.

    `extra` is the extra of resnet-serve that installs it, named in the error.
    """
    return _Optional(name, extra)


class _Optional:
    def __init__(self, name: str, extra: str) -> None:
        self._name = name
        self._extra = extra
        self._module: ModuleType | None = None

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__") and attribute != "__version__":
            raise AttributeError(attribute)
        if self._module is None:
            try:
                self._module = importlib.import_module(self._name)
            except (ImportError, OSError) as error:
                missing = _missing(f"{self._name}.{attribute}", self._extra, error)
                # A version is a text that is printed: raise now, a stand-in would be printed.
                return missing() if attribute == "__version__" else missing
        try:
            return getattr(self._module, attribute)
        except AttributeError:
            return self._submodule(attribute)

    def _submodule(self, attribute: str) -> ModuleType:
        name = f"{self._name}.{attribute}"
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            raise AttributeError(f"module {self._name!r} has no {attribute!r}") from error


class _Missing(type):
    """The metaclass of what stands for an attribute of a package that is not installed."""

    missing_what: str
    missing_remedy: str

    def __call__(cls, *_: Any, **__: Any) -> NoReturn:
        raise HostError(cls.missing_what, remedy=cls.missing_remedy)

    def __getattr__(cls, attribute: str) -> NoReturn:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        raise HostError(cls.missing_what, remedy=cls.missing_remedy)


def _missing(name: str, extra: str, error: Exception) -> _Missing:
    package = name.partition(".")[0]
    explanation = {
        "missing_what": f"this needs {package}, which is not installed here ({error})",
        "missing_remedy": f"pip install 'resnet-serve[{extra}]'",
    }
    # An exception class, so that `except package.Error` is an ordinary clause.
    return _Missing(name, (Exception,), explanation)
