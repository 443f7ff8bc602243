"""What can go wrong between an image and its labels; every message is one line.

    ClientError
        UsageError         2  the caller asked for something that cannot be
        ModelError         2  the server does not serve this model, or it is no classifier of ours
        UnavailableError   4  nothing answers at the address, or the server takes no requests now
            DeadlineError  4  no answer within timeout_s
        BadImageError      5  this image cannot be decoded
        ServerError        1  the server refused, in its own words

The numbers are the exit codes of `resnet-classify`.
"""

from __future__ import annotations


class ClientError(Exception):
    """`what` happened, `where` (a file, an address, a model), and the `remedy`."""

    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, remedy: str | None = None) -> None:
        self.what = " ".join(what.split())
        self.where = where
        self.remedy = remedy
        super().__init__(self.what)

    def __str__(self) -> str:
        text = self.what if self.where is None else f"{self.where}: {self.what}"
        return text if self.remedy is None else f"{text.removesuffix('.')}. {self.remedy}"


class UsageError(ClientError):
    """The caller asked for something that cannot be, such as a batch size of zero."""

    exit_code = 2


class ModelError(ClientError):
    """The server does not serve this model or version, or it is not a classifier of ours."""

    exit_code = 2


class UnavailableError(ClientError):
    """Nothing answers at the address, or the server says that it takes no requests now."""

    exit_code = 4


class DeadlineError(UnavailableError):
    """No answer within `timeout_s`."""


class BadImageError(ClientError):
    """This image cannot be decoded; the server and the other images are fine."""

    exit_code = 5

    def about(self, name: str) -> BadImageError:
        """The same error, of the image called `name`."""
        return BadImageError(self.what, where=name, remedy=self.remedy)


class ServerError(ClientError):
    """The server refused a request, in its own words."""


class InvalidInputError(ServerError):
    """The server says that the input itself is wrong (INVALID_ARGUMENT)."""
