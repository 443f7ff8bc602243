"""What can go wrong between an image and its labels; every message is one line.

    ClientError             1
        UsageError          2  an argument that cannot work, such as a batch size of zero
            ModelError      2  the server does not serve this model, or this client cannot use it
                NoClassesError  2  its outputs are features, for an `Extractor`
        UnavailableError    4  no server answers at the address, or it accepts no requests now
            DeadlineError   4  no response within timeout_s
        BadImageError       5  this image cannot be decoded
        ServerError         1  the server refused a request; its own message
            NotFiniteError  1  the network's outputs are NaN or infinite

The numbers are the exit codes of `resnet-classify`. Those that are not defined here are errors of
resnet-serve itself; `ClientError` is their common base.
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
    "NoClassesError",
    "NotFiniteError",
    "ServerError",
    "UnavailableError",
    "UsageError",
]

ClientError = ResnetServeError


class NoClassesError(ModelError):
    """The model ranks no classes: its outputs are features."""


class NotFiniteError(ServerError):
    """The network's outputs for an image are NaN or infinite."""


class BadImageError(ImageError):
    """This image cannot be decoded; the server and the other images are fine."""

    def about(self, name: str) -> BadImageError:
        """The same error and its cause, with `name` as the image's name."""
        made = BadImageError(self.what, where=name, remedy=self.remedy)
        made.__cause__ = self.__cause__
        return made
