"""The one error hierarchy: what happened, where, and what to do about it.

Every command turns these into one line on stderr and the documented exit code:
0 done · 1 unexpected · 2 usage · 3 parity not met · 4 missing on this host · 5 bad input file.
"""

from __future__ import annotations


class ResnetServeError(Exception):
    """Something this toolkit can explain in one sentence.

    `what` says what happened, `where` names the file, layer or address, `remedy` what to do next.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: object = None, remedy: str | None = None) -> None:
        self.what = what
        self.where = None if where is None else str(where)
        self.remedy = remedy
        super().__init__(what)

    def __str__(self) -> str:
        text = self.what if self.where is None else f"{self.where}: {self.what}"
        return text if self.remedy is None else f"{text}. {self.remedy}"


class UsageError(ResnetServeError):
    """The options contradict each other or name something that does not exist."""

    exit_code = 2


class ParityError(ResnetServeError):
    """The converted model is not close enough to the PyTorch reference."""

    exit_code = 3


class HostError(ResnetServeError):
    """This host lacks something: a package, a program, a free port, disk space, a permission."""

    exit_code = 4


class InputFileError(ResnetServeError):
    """A file given to us is missing, broken, of the wrong kind, or not what its name says."""

    exit_code = 5


class ConversionError(ResnetServeError):
    """A stage of the conversion met a graph it cannot take; names the stage and the layer."""

    exit_code = 5
