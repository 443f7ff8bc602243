"""What can go wrong between an image and its labels; every message is one line.

    ClientError             1
        UsageError          2  an argument that cannot work, such as a batch size of zero
            ModelError      2  the server does not serve this model, or this client cannot use it
        UnavailableError    4  no server answers at the address, or it accepts no requests now
            DeadlineError   4  no response within timeout_s
        BadImageError       5  this image cannot be decoded
        ServerError         1  the server refused a request; its own message

The numbers are the exit codes of `resnet-classify`. All but `BadImageError` are errors of
resnet-serve itself, and `ClientError` is their common base.
"""

from __future__ import annotations

from resnet_serve.errors import (
    DeadlineError,
    InvalidInputError,
    ModelError,
    ResnetServeError,
    ServerError,
    UnavailableError,
    UsageError,
)
from resnet_serve.preprocessing import ImageError

__all__ = [
    "BadImageError",
    "ClientError",
    "DeadlineError",
    "InvalidInputError",
    "ModelError",
    "ServerError",
    "UnavailableError",
    "UsageError",
]

ClientError = ResnetServeError


class BadImageError(ImageError):
    """This image cannot be decoded; the server and the other images are fine."""

    def about(self, name: str) -> BadImageError:
        """The same error and its cause, with `name` as the image's name."""
        made = BadImageError(self.what, where=name, remedy=self.remedy)
        made.__cause__ = self.__cause__
        return made
