"""Pages: the files of the page, and what the repository keeps of a version.

A report is one HTML file that the converter wrote; it is shown without scripts, and cannot reach
the API.
"""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, UnidentifiedImageError

from resnet_serve import passport
from resnet_serve.errors import ModelError
from resnet_serve.optional import optional
from resnet_serve.triton.repository.versions import REPORT_FILE, Deployed
from resnet_serve.web import guard, openapi, passports
from resnet_serve.web.places import Places
from resnet_serve.web.settings import Settings

if TYPE_CHECKING:
    from starlette import responses
    from starlette.requests import Request
else:
    responses = optional("starlette.responses", extra="web")

STATIC = Path(__file__).parent / "static"


@dataclass(frozen=True)
class Pages:
    """The handlers of pages and files."""

    places: Places
    settings: Settings

    async def index(self, _: Request) -> responses.Response:
        """GET /."""
        return responses.FileResponse(STATIC / "index.html")

    async def docs(self, _: Request) -> responses.Response:
        """GET /docs: the API to read."""
        return responses.FileResponse(STATIC / "docs.html")

    async def icon(self, _: Request) -> responses.Response:
        """GET /favicon.ico, which browsers ask for unasked."""
        return responses.FileResponse(STATIC / "icon.svg")

    async def description(self, request: Request) -> responses.Response:
        """GET /openapi.json."""
        url = str(request.base_url).rstrip("/")
        return responses.JSONResponse(openapi.document(url, secured=bool(self.settings.token)))

    async def passport(self, request: Request) -> responses.Response:
        """GET /models/{model}/{version}/passport."""
        path = (await self._version(request)).path / passport.FILE_NAME
        return responses.FileResponse(path, media_type="application/json")

    async def report(self, request: Request) -> responses.Response:
        """GET /models/{model}/{version}/report."""
        path = (await self._version(request)).path / REPORT_FILE
        if not path.is_file():
            raise ModelError("this version keeps no report", where=request.path_params["model"])
        headers = {"Content-Security-Policy": guard.REPORT_POLICY}
        return responses.FileResponse(path, media_type="text/html", headers=headers)

    async def example(self, request: Request) -> responses.Response:
        """GET /models/{model}/{version}/examples/{number}: an image that the version keeps."""
        deployed, number = await self._version(request), int(request.path_params["number"])
        kept = await asyncio.to_thread(passports.images, deployed)
        if not number < min(len(kept), passports.MOST_EXAMPLES):
            raise ModelError(f"there is no example {number}", where=request.path_params["model"])
        return responses.Response(kept[number], media_type=_kind(kept[number]))

    async def _version(self, request: Request) -> Deployed:
        model, version = request.path_params["model"], request.path_params["version"]
        found = await asyncio.to_thread(passports.find, self.places, model, version)
        if found is None:
            raise ModelError(f"the repository has no {model!r:.80} version {version:.20}")
        return found


def _kind(image: bytes) -> str:
    """The media type of an image file, by what is in it."""
    try:
        with Image.open(io.BytesIO(image)) as opened:
            return Image.MIME.get(opened.format or "", "application/octet-stream")
    except (UnidentifiedImageError, OSError, ValueError):
        return "application/octet-stream"
