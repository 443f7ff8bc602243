"""Uploads: the image and the options of a request, from any of the forms that clients send.

    image/*, application/octet-stream   the body is the file
    multipart/form-data                 one file, in a field of any name; options may be fields
    application/json                    {"image": "<base64, or a data: URL>"}; options may be keys

Options are `model`, `version` and `top`, in the query or as above. The whole body is read before
anything is done with it, as many bytes and as long as the settings allow.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from resnet_serve.optional import optional
from resnet_serve.web.problems import RequestError
from resnet_serve.web.settings import Settings

if TYPE_CHECKING:
    from starlette import formparsers
    from starlette.requests import Request
else:
    formparsers = optional("starlette.formparsers", extra="web")

OPTIONS = ("model", "version", "top")
FORMS = ("image/*", "application/octet-stream", "multipart/form-data", "application/json")
MOST_TOP = 1000
_DATA_URL = re.compile(r"data:[\w.+-]*/[\w.+-]*(;[\w.+-]+=[\w.+-]*)*;base64,")
_DRAINED = 2  # times the limit; then a client that still sends loses the connection
_FIELD_BYTES = 4096


@dataclass(frozen=True)
class Asked:
    """What is asked about an image: None and "" stand for what was not said."""

    model: str | None = None
    version: str = ""
    top: int | None = None


@dataclass(frozen=True)
class Upload:
    """The bytes of an image file, and what is asked about it."""

    image: bytes
    asked: Asked


async def read(request: Request, settings: Settings) -> Upload:
    """The upload of a request; raises `RequestError`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith("image/") or kind in ("", "application/octet-stream"):
        image, fields = await body(request, settings), dict[str, str]()
    elif kind == "multipart/form-data":
        image, fields = await _form(request, await body(request, settings))
    elif kind == "application/json":
        image, fields = _json(await body(request, settings))
    else:
        raise RequestError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"{kind} is not a form in which an image is accepted",
            remedy=f"Send it as {', '.join(FORMS)}; with curl: --data-binary @FILE "
            "-H 'Content-Type: application/octet-stream'.",
        )
    if not image:
        raise RequestError(HTTPStatus.BAD_REQUEST, "the image is empty (0 bytes)")
    return Upload(image, options([*request.query_params.multi_items(), *fields.items()]))


def options(given: Iterable[tuple[str, str]]) -> Asked:
    """These options; raises `RequestError` for one that does not exist or is given twice."""
    found: dict[str, str] = {}
    for name, value in given:
        if name not in OPTIONS:
            raise _bad(f"there is no option {name!r:.60}", f"There are: {', '.join(OPTIONS)}.")
        if found.setdefault(name, value) != value:
            raise _bad(f"{name} is given twice, with different values")
    top = found.get("top")
    if top is not None and not (top.isascii() and top.isdecimal() and 0 < int(top) <= MOST_TOP):
        raise _bad(f"top is {top!r:.60}, not a number from 1 to {MOST_TOP}")
    version = found.get("version", "")
    if version and not (version.isascii() and version.isdecimal()):
        raise _bad(f"version is {version!r:.60}, not a number")
    return Asked(found.get("model") or None, version, None if top is None else int(top))


async def body(request: Request, settings: Settings) -> bytes:
    """The body of a request; raises `RequestError` where it is too large, or too slow."""
    most, parts, size = settings.max_body_bytes, list[bytes](), 0
    declared = request.headers.get("content-length", "")
    announced = int(declared) if declared.isdecimal() else 0
    try:
        async with asyncio.timeout(settings.upload_timeout_s):
            async for part in request.stream():
                size += len(part)
                if max(size, announced) <= most:
                    parts.append(part)
                elif max(size, announced) > _DRAINED * most:
                    break
    except TimeoutError:
        raise RequestError(
            HTTPStatus.REQUEST_TIMEOUT,
            f"the body did not arrive within {settings.upload_timeout_s:g} s",
        ) from None
    if max(size, announced) > most:
        raise RequestError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the request has more than the {most:,} bytes allowed",
            remedy="Scale the image down first.",
        )
    return b"".join(parts)


async def _form(request: Request, content: bytes) -> tuple[bytes, dict[str, str]]:
    async def once() -> AsyncGenerator[bytes, None]:
        yield content

    parser = formparsers.MultiPartParser(
        request.headers,
        once(),
        max_files=1,
        max_fields=len(OPTIONS),
        max_part_size=_FIELD_BYTES,
    )
    parser.spool_max_size = len(content) + 1  # no file is written to the disk
    try:
        form = await parser.parse()
    except (formparsers.MultiPartException, UnicodeError, KeyError, ValueError) as error:
        reason = getattr(error, "message", None) or str(error) or type(error).__name__
        if "Too many files" in reason:
            raise _bad("the form has several files", "Send one image in each request.") from error
        raise _bad(f"not a form that can be read ({reason:.200})".rstrip(".")) from error
    try:
        files, fields = list[bytes](), dict[str, str]()
        for name, value in form.multi_items():
            if isinstance(value, str):
                if name in fields:
                    raise _bad(f"the form has {name!r:.60} twice")
                fields[name] = value
            else:
                files.append(await value.read())
    finally:
        await form.close()
    if not files:
        how = "Send the image as a file: curl -F image=@FILE."
        raise _bad("the form has no file", how)
    return files[0], fields


def _json(content: bytes) -> tuple[bytes, dict[str, str]]:
    document = parsed(content)
    text = document.pop("image", None)
    if not isinstance(text, str):
        raise _bad("the JSON has no text 'image'", 'Send {"image": "<base64>"}.')
    try:
        # MIME, and base64(1) without -w0, break the text into lines.
        image = base64.b64decode("".join(_DATA_URL.sub("", text, count=1).split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _bad(f"'image' is not base64 ({error})", "Encode the file's bytes.") from error
    fields = {}
    for name, value in document.items():
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise _bad(f"{name!r:.60} is neither a text nor a whole number")
        fields[name] = str(value)
    return image, fields


def parsed(content: bytes) -> dict[str, Any]:
    """The object of a JSON text; raises `RequestError`."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise _bad(f"the body is not JSON ({reason})") from error
    if not isinstance(document, Mapping):
        raise _bad("the JSON is not an object")
    return dict(document)


def _bad(what: str, remedy: str | None = None) -> RequestError:
    return RequestError(HTTPStatus.BAD_REQUEST, what, remedy=remedy)
