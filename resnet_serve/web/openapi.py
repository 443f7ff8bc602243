"""OpenAPI: the description of the API, with the schemas of `messages` and the limits of `uploads`.

`/openapi.json` is this document, `/docs` shows it. Reference: OpenAPI 3.1.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from pydantic import TypeAdapter

from resnet_serve import __version__
from resnet_serve.console import JSON_VERSION
from resnet_serve.web.messages import (
    Classified,
    Compared,
    Folders,
    Health,
    Live,
    Models,
    Problem,
)
from resnet_serve.web.problems import CONTENT_TYPE
from resnet_serve.web.uploads import MOST_TOP

_MESSAGES = (Classified, Compared, Models, Folders, Live, Health, Problem)
_SCHEMAS = "#/components/schemas/"
_PROBLEMS = {
    400: "An option, the body or the image cannot be used.",
    401: "The token is missing or wrong.",
    403: "The request is from a page of another site, or under another host name.",
    404: "The model, the version or the page does not exist.",
    408: "The body did not arrive in time.",
    413: "The request, or the image in it, is too large.",
    415: "The body is not an image, or in a form that is not accepted.",
    502: "The server failed at this image.",
    503: "The server does not answer, or too many requests are in work: see Retry-After.",
}
_OF_IMAGES = (400, 401, 403, 404, 408, 413, 415, 502, 503)
_TEXT = {"type": "string"}


def document(url: str, *, secured: bool) -> dict[str, Any]:
    """The document of the application at `url`; `secured` where requests need a token."""
    components: dict[str, Any] = {
        "schemas": _schemas(),
        "responses": {str(code): _problem(code, what) for code, what in _PROBLEMS.items()},
    }
    security = []
    if secured:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        security = [{"token": list[str]()}]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "resnet-serve",
            "version": __version__,
            "description": "Images in, labels and probabilities out. Every response has a "
            "schema_version; it grows where a field changes its meaning or leaves.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": url}],
        "security": security,
        "paths": _paths(),
        "components": components,
    }


def _paths() -> dict[str, Any]:
    version = [_parameter("model", "path"), _parameter("version", "path")]
    number = {"name": "number", "in": "path", "required": True, "schema": {"type": "integer"}}
    image = {"200": {"description": "The image file.", "content": {"image/*": {}}}}
    report = {"200": {"description": "The report.", "content": {"text/html": {}}}}
    passport = {
        "200": {
            "description": "The passport.",
            "content": {"application/json": {"schema": {"type": "object"}}},
        }
    }
    at = "/models/{model}/{version}"
    return {
        "/classify": {
            "post": _operation(
                "classify",
                "Classify an image with one model",
                _ok("The predictions, best first.", Classified),
                _OF_IMAGES,
                parameters=_asked("The model; not needed where one is served."),
                requestBody=_image(),
            )
        },
        "/compare": {
            "post": _operation(
                "compare",
                "Classify an image with every version that has the same labels",
                _ok("A column for each version, and whether they agree.", Compared),
                _OF_IMAGES,
                parameters=_asked("A model with the labels that are meant; else the first."),
                requestBody=_image(),
            )
        },
        "/folders": {
            "post": _operation(
                "folders",
                "The classes that folders stand for, by their names",
                _ok("The classes, and the names that are none.", Folders),
                (400, 401, 403, 404, 408, 413, 503),
                requestBody=_body("application/json", _FOLDERS),
            )
        },
        "/models": {"get": _get("models", "The versions that are served", Models)},
        "/live": {"get": _get("live", "What Triton counts of each model", Live)},
        "/health": {
            "get": _operation(
                "health",
                "Whether the server answers, for load balancers",
                _ok("It does.", Health)
                | {"503": _content("It does not.", "application/json", _ref(Health))},
                (403,),
                security=[],
            )
        },
        f"{at}/passport": {
            "get": _operation(
                "passport",
                "What a version is, and what was proved of it",
                passport,
                (401, 403, 404),
                parameters=version,
            )
        },
        f"{at}/report": {
            "get": _operation(
                "report",
                "The report of its conversion",
                report,
                (401, 403, 404),
                parameters=version,
            )
        },
        f"{at}/examples/{{number}}": {
            "get": _operation(
                "example",
                "An image that the version keeps",
                image,
                (401, 403, 404),
                parameters=[*version, number],
            )
        },
    }


_FOLDERS = {
    "type": "object",
    "required": ["names"],
    "properties": {
        "names": {"type": "array", "items": _TEXT},
        "model": _TEXT,
        "version": _TEXT,
    },
}


def _get(name: str, summary: str, message: type) -> dict[str, Any]:
    return _operation(name, summary, _ok("What there is now.", message), (401, 403, 503))


def _operation(
    name: str, summary: str, answers: dict[str, Any], problems: tuple[int, ...], **more: Any
) -> dict[str, Any]:
    refused = {str(code): {"$ref": f"#/components/responses/{code}"} for code in problems}
    return {"operationId": name, "summary": summary, **more, "responses": {**answers, **refused}}


def _asked(model: str) -> list[dict[str, Any]]:
    top = {"type": "integer", "minimum": 1, "maximum": MOST_TOP}
    return [
        _parameter("model", "query", model),
        _parameter("version", "query", "A version that is served; else the model's latest."),
        _parameter(
            "top", "query", "How many predictions; else 5, or every label decided for.", top
        ),
    ]


def _parameter(
    name: str, place: str, what: str = "", schema: dict[str, Any] | None = None
) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "in": place, "schema": schema or _TEXT}
    if place == "path":
        found["required"] = True
    return {**found, "description": what} if what else found


def _image() -> dict[str, Any]:
    options = {
        "model": _TEXT,
        "version": _TEXT,
        "top": {"type": "integer", "minimum": 1, "maximum": MOST_TOP},
    }
    form = {
        "type": "object",
        "required": ["image"],
        "properties": {
            "image": {"type": "string", "contentMediaType": "application/octet-stream"},
            **options,
        },
    }
    text = {
        "type": "string",
        "contentEncoding": "base64",
        "description": "The file in base64, or a data: URL.",
    }
    written = {**form, "properties": {"image": text, **options}}
    return {
        "required": True,
        "description": "JPEG, PNG, WebP, AVIF, BMP, GIF, TIFF or PPM, in one of these forms.",
        "content": {
            "image/*": {},
            "application/octet-stream": {},
            "multipart/form-data": {"schema": form},
            "application/json": {"schema": written},
        },
    }


def _body(kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {kind: {"schema": schema}}}


def _ref(message: type) -> dict[str, Any]:
    return {"$ref": f"{_SCHEMAS}{message.__name__}"}


def _content(what: str, kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": what, "content": {kind: {"schema": schema}}}


def _ok(what: str, message: type) -> dict[str, Any]:
    return {"200": _content(what, "application/json", _ref(message))}


def _problem(code: int, what: str) -> dict[str, Any]:
    found = _content(what, CONTENT_TYPE, _ref(Problem))
    if code == HTTPStatus.SERVICE_UNAVAILABLE:
        wait = {"description": "Seconds to wait.", "schema": {"type": "integer"}}
        found["headers"] = {"Retry-After": wait}
    return found


def _schemas() -> dict[str, Any]:
    """The JSON Schema of every message and of what is in them."""
    asked = [(each.__name__, "serialization", TypeAdapter(each)) for each in _MESSAGES]
    _, found = TypeAdapter.json_schemas(asked, ref_template=f"{_SCHEMAS}{{model}}")  # type: ignore[arg-type]
    return {name: _left_out(schema) for name, schema in found["$defs"].items()}


def _left_out(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of an object whose fields are left out where they are None."""
    properties = {}
    for name, each in schema["properties"].items():
        (kind,) = [one for one in each.get("anyOf", [each]) if one.get("type") != "null"]
        properties[name] = {key: value for key, value in kind.items() if key != "title"}
    required = list(schema.get("required", []))
    if "schema_version" in properties:
        properties["schema_version"] = {"type": "integer", "const": JSON_VERSION}
        required = ["schema_version", *required]
    return {
        "type": "object",
        "description": schema.get("description", ""),
        "properties": properties,
        "required": required,
    }
