"""The API: classify, compare, the models, and what the page needs besides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

from resnet_serve.datasets.class_labels import folders
from resnet_serve.errors import ResnetServeError
from resnet_serve.optional import optional
from resnet_serve.web import guard, served, uploads
from resnet_serve.web.catalog import Catalog
from resnet_serve.web.live import Meter
from resnet_serve.web.messages import Folders, Health, Label, Message, to_json
from resnet_serve.web.passports import listed
from resnet_serve.web.problems import RequestError, problem
from resnet_serve.web.settings import RETRY_AFTER_S, Settings, Slots

if TYPE_CHECKING:
    from starlette import responses
    from starlette.requests import Request
else:
    responses = optional("starlette.responses", extra="web")

ResultT = TypeVar("ResultT")
_MOST_FOLDERS = 10_000
_TOKEN_BYTES = 4096  # also of those who do not have it


@dataclass(frozen=True)
class Api:
    """The handlers of one web application."""

    settings: Settings
    catalog: Catalog
    meter: Meter
    slots: Slots

    async def classify(self, request: Request) -> responses.Response:
        """POST /classify: one image, one model."""
        return await self._images(request, served.classify)

    async def compare(self, request: Request) -> responses.Response:
        """POST /compare: one image, every version with the same labels."""
        return await self._images(request, served.compare)

    async def models(self, _: Request) -> responses.Response:
        """GET /models."""
        found = await asyncio.to_thread(listed, self.catalog, self.settings)
        return _answer(found)

    async def live(self, _: Request) -> responses.Response:
        """GET /live."""
        return _answer(await asyncio.to_thread(self.meter.read))

    async def health(self, _: Request) -> responses.Response:
        """GET /health: whether the server behind this answers."""
        try:
            await asyncio.to_thread(partial(self.catalog.versions, fresh=True))
        except ResnetServeError as error:
            found = to_json(Health(status=f"no: {error.what}"))
            headers = {"Retry-After": str(RETRY_AFTER_S)}
            return responses.JSONResponse(found, HTTPStatus.SERVICE_UNAVAILABLE, headers)
        return _answer(Health(status="ok"))

    async def folders(self, request: Request) -> responses.Response:
        """POST /folders: the classes that names of folders stand for."""
        with self.slots.taken():
            return await self._folders(request)

    async def _folders(self, request: Request) -> responses.Response:
        document = uploads.parsed(await uploads.body(request, self.settings))
        names = document.pop("names", None)
        if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
            raise RequestError(HTTPStatus.BAD_REQUEST, "'names' is not a list of texts")
        if len(names) > _MOST_FOLDERS:
            raise RequestError(HTTPStatus.BAD_REQUEST, f"more than {_MOST_FOLDERS:,} names")
        asked = uploads.options((name, str(value)) for name, value in document.items())
        return _answer(await self.slots.run(partial(_folders, self.catalog, asked, names)))

    async def session(self, request: Request) -> responses.Response:
        """POST /session: the token of the page, for a cookie."""
        short = replace(self.settings, max_body_bytes=_TOKEN_BYTES)
        document = uploads.parsed(await uploads.body(request, short))
        token, given = self.settings.token, str(document.get("token", ""))
        if token is not None and not guard.same(given, token):
            return problem(HTTPStatus.UNAUTHORIZED, "the token is wrong.")
        answer = responses.Response(status_code=HTTPStatus.NO_CONTENT)
        if token is not None:
            answer.set_cookie(
                guard.cookie_name(token),
                guard.session(token),
                httponly=True,
                secure=self.settings.secure,
                samesite="strict",
            )
        return answer

    async def _images(
        self, request: Request, work: Callable[[Catalog, uploads.Upload, float], Message]
    ) -> responses.Response:
        with self.slots.taken():
            upload = await uploads.read(request, self.settings)
            call = partial(work, self.catalog, upload, self.settings.timeout_s)
            return _answer(await self.slots.run(call))


def _answer(message: Message) -> responses.Response:
    return responses.JSONResponse(to_json(message))


def _folders(catalog: Catalog, asked: uploads.Asked, names: list[str]) -> Folders:
    labels = served.alike(catalog.versions(), asked)[0].labels
    find = folders.finder(labels)
    classes, unknown = dict[str, Label](), dict[str, str]()
    for name in names:
        found = find(name)
        if len(found) == 1:
            classes[name] = Label(index=found[0], label=labels[found[0]])
        elif found:
            unknown[name] = "may stand for " + " and ".join(labels[each] for each in found)
        else:
            unknown[name] = "is none of the model's labels"
    return Folders(classes=classes, unknown=unknown)
