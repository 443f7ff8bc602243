"""The OpenAPI document: valid, complete, and kept to by the real responses."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
import shades
from openapi_spec_validator import OpenAPIV31SpecValidator
from web_servers import Answer, Web

from resnet_serve.web import openapi, uploads
from resnet_serve.web.places import Places
from resnet_serve.web.serving import application
from resnet_serve.web.settings import Settings

# What a browser alone asks for.
PAGES = {"/", "/docs", "/openapi.json", "/favicon.ico", "/session", "/static"}
DOCUMENT = openapi.document("http://127.0.0.1:8080", secured=True)


@pytest.mark.parametrize("secured", [True, False])
def test_it_is_valid(secured: bool) -> None:
    document = openapi.document("http://127.0.0.1:8080", secured=secured)
    OpenAPIV31SpecValidator(document).validate()
    assert ("securitySchemes" in document["components"]) is secured


def test_the_validator_finds_what_is_wrong() -> None:
    for change in ({"info": {"title": "x"}}, {"openapi": "3.1"}, {"servers": "x"}):
        assert list(OpenAPIV31SpecValidator({**DOCUMENT, **change}).iter_errors()), change
    wrong = json.loads(json.dumps(DOCUMENT))
    wrong["paths"]["/models/{model}/{version}/report"]["get"]["parameters"] = []
    assert list(OpenAPIV31SpecValidator(wrong).iter_errors())


def test_it_has_every_route_and_no_other() -> None:
    inner = application(Places(), Settings())._inner
    routes = {re.sub(r":\w+}", "}", route.path) for route in inner.routes}
    assert set(DOCUMENT["paths"]) == routes - PAGES


def test_it_has_every_option_and_form() -> None:
    for path in ("/classify", "/compare"):
        operation = DOCUMENT["paths"][path]["post"]
        assert tuple(each["name"] for each in operation["parameters"]) == uploads.OPTIONS
        assert set(operation["requestBody"]["content"]) == set(uploads.FORMS)


def check(answer: Answer, path: str, method: str = "post") -> None:
    """The response is one that the document has, with the fields that it says."""
    described = DOCUMENT["paths"][path][method]["responses"][str(answer.status)]
    if "$ref" in described:
        described = DOCUMENT["components"]["responses"][described["$ref"].rpartition("/")[2]]
    kind = answer.headers["content-type"].partition(";")[0]
    schema: dict[str, Any] = described["content"][kind]["schema"]
    whole = {**schema, "components": DOCUMENT["components"]}
    jsonschema.validate(answer.json, whole, jsonschema.Draft202012Validator)
    (name,) = [schema["$ref"].rpartition("/")[2]]
    known = DOCUMENT["components"]["schemas"][name]["properties"]
    assert set(answer.json) <= set(known)


@pytest.mark.triton
def test_responses_are_as_described(web: Web) -> None:
    image = shades.image(shades.DISPUTED)
    check(web.post("/classify?model=shades", image), "/classify")
    check(web.post("/classify", image), "/classify")
    check(web.post("/classify?model=x", image), "/classify")
    check(web.post("/classify?model=shades", b"text"), "/classify")
    check(web.post("/compare", image), "/compare")
    check(web.send("/folders", {"names": ["dark", "x"]}), "/folders")
    for path in ("/models", "/live", "/health"):
        check(web.get(path), path, "get")
