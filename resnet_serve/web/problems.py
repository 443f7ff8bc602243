"""Problems: an error as an HTTP status and one line, never as a traceback.

    400  an argument or an image that is wrong   413  a request or an image that is too large
    401  no token, or a wrong one                415  not an image, or in a form not accepted
    403  a request of another site               502  the server failed at it
    404  no such model, or no such page          503  no server, or too much at once: later
    405  another method than the page has        500  anything else
    408  a body that does not arrive

A problem that may pass has `Retry-After`. Reference: RFC 9457, RFC 9110.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from PIL import UnidentifiedImageError

from resnet_serve.errors import (
    HostError,
    InputFileError,
    InvalidInputError,
    ModelError,
    ResnetServeError,
    ServerError,
    UnavailableError,
    UsageError,
)
from resnet_serve.optional import optional
from resnet_serve.preprocessing import ImageError
from resnet_serve.preprocessing.limits import TooLargeError
from resnet_serve.web.messages import Problem, to_json
from resnet_serve.web.settings import RETRY_AFTER_S

if TYPE_CHECKING:
    from starlette import responses
    from starlette.requests import Request
else:
    responses = optional("starlette.responses", extra="web")

CONTENT_TYPE = "application/problem+json"


class RequestError(UsageError):
    """A request that is refused with this status."""

    def __init__(self, status: HTTPStatus, what: str, *, remedy: str | None = None) -> None:
        super().__init__(what, remedy=remedy)
        self.status = status


def status(error: Exception) -> HTTPStatus:
    """The status that an error is reported with."""
    if isinstance(error, RequestError):
        return error.status
    if isinstance(error, TooLargeError):
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    if isinstance(error, ImageError):
        unknown = isinstance(error.__cause__, UnidentifiedImageError)
        return HTTPStatus.UNSUPPORTED_MEDIA_TYPE if unknown else HTTPStatus.BAD_REQUEST
    for kind, found in _STATUSES.items():
        if isinstance(error, kind):
            return found
    return HTTPStatus.INTERNAL_SERVER_ERROR


# The first that fits.
_STATUSES: dict[type[Exception], HTTPStatus] = {
    UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    ModelError: HTTPStatus.NOT_FOUND,
    UsageError: HTTPStatus.BAD_REQUEST,
    InvalidInputError: HTTPStatus.BAD_REQUEST,
    ServerError: HTTPStatus.BAD_GATEWAY,
    HostError: HTTPStatus.SERVICE_UNAVAILABLE,
    InputFileError: HTTPStatus.INTERNAL_SERVER_ERROR,  # of the repository
}


def problem(found: HTTPStatus, detail: str) -> responses.Response:
    """The response of an error with this status."""
    headers = {}
    if found is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    if found is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    body = to_json(Problem(status=found.value, title=found.phrase, detail=detail))
    return responses.JSONResponse(body, found, headers, CONTENT_TYPE)


async def handle(_: Request, error: Exception) -> responses.Response:
    """The response of an error that a handler has raised; uvicorn logs what is unexpected."""
    if isinstance(error, ResnetServeError):
        return problem(status(error), str(error))
    return problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "an unexpected error. This is a bug in resnet-serve; the output of `resnet-serve web` "
        "shows where.",
    )


async def handle_http(request: Request, error: Exception) -> responses.Response:
    """The response of what the router refuses: no such page, or another method."""
    found = HTTPStatus(getattr(error, "status_code", HTTPStatus.INTERNAL_SERVER_ERROR))
    if found is HTTPStatus.NOT_FOUND:
        return problem(found, "there is no such page. /docs lists what there is.")
    headers = dict(getattr(error, "headers", None) or {})
    if found is HTTPStatus.METHOD_NOT_ALLOWED and "Allow" in headers:
        methods = sorted(headers["Allow"].split(", "))
        headers["Allow"] = ", ".join(methods)
        answer = problem(
            found,
            f"{request.method:.20} is not a method of {request.url.path:.80}. Use "
            f"{' or '.join(methods)}; /docs lists what there is.",
        )
    else:
        answer = problem(found, f"{found.description.rstrip('.').lower() or found.phrase.lower()}.")
    answer.headers.update(headers)
    return answer
