"""The guard: tokens, host names, other sites, and the headers of every response."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from web_servers import Web, serving

from resnet_serve.errors import UsageError
from resnet_serve.web import guard
from resnet_serve.web.places import Places
from resnet_serve.web.settings import Settings

TOKEN = "a-token-of-more-than-16"
NOBODY = Places(url="127.0.0.1:9")
CLOSED = ("/models", "/live", "/models/shades/1/passport", "/models/shades/1/report")


@pytest.fixture(scope="module")
def locked() -> Iterator[Web]:
    with serving(NOBODY, Settings(token=TOKEN, timeout_s=0.5)) as started:
        yield started


@pytest.fixture(scope="module")
def unlocked() -> Iterator[Web]:
    with serving(NOBODY, Settings(timeout_s=0.5)) as started:
        yield started


@pytest.mark.parametrize("path", CLOSED)
@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer é"],
)
def test_without_the_token_nothing_is_told(locked: Web, path: str, header: str) -> None:
    answer = locked.get(path, **({"Authorization": header.encode("utf-8")} if header else {}))
    assert "Bearer TOKEN" in answer.refused(401)
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/classify", "/compare", "/folders", "/other"])
def test_without_the_token_nothing_is_read(locked: Web, path: str) -> None:
    assert locked.post(path, bytes(100)).status == 401


def test_with_the_token_the_request_is_answered(locked: Web) -> None:
    for header in (f"Bearer {TOKEN}", f"bearer  {TOKEN}"):
        assert locked.get("/models", Authorization=header).status == 503  # no server is there


def test_what_a_page_needs_before_it_has_the_token(locked: Web) -> None:
    for path in ("/", "/docs", "/openapi.json", "/static/main.js", "/favicon.ico"):
        assert locked.get(path).status == 200
    assert locked.get("/health").status == 503
    assert TOKEN not in locked.get("/").body.decode()


def test_the_page_gets_a_cookie_for_the_token(locked: Web) -> None:
    locked.send("/session", {"token": "wrong"}).refused(401)
    locked.send("/session", {}).refused(401)
    cookie = locked.send("/session", {"token": TOKEN}).headers["set-cookie"]
    assert TOKEN not in cookie
    assert {"httponly", "samesite=strict"} <= set(cookie.lower().replace(" ", "").split(";"))
    assert locked.get("/models", Cookie=cookie.partition(";")[0]).status == 503
    name = guard.cookie_name(TOKEN)
    for wrong in (f"{name}=1", f"{name}={TOKEN}", f"{name}=", "=", 'a="', name):
        assert locked.get("/models", Cookie=wrong).status == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "", "[::1", "10.0.0.1"]
)
def test_another_name_for_loopback_is_refused(unlocked: Web, host: str) -> None:
    for path in ("/", "/models", "/static/main.js"):
        assert "127.0.0.1" in unlocked.get(path, Host=host).refused(403)


@pytest.mark.parametrize("host", ["localhost", "localhost:1234", "127.0.0.1", "[::1]:80"])
def test_names_of_loopback_are_answered(unlocked: Web, host: str) -> None:
    assert unlocked.get("/", Host=host).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
    ],
)
def test_pages_of_other_sites_are_refused(unlocked: Web, headers: dict[str, str]) -> None:
    for path in ("/classify", "/compare", "/folders", "/session"):
        assert "another site" in unlocked.ask("POST", path, b"{}", headers).refused(403)


def test_this_page_and_programs_are_answered(unlocked: Web) -> None:
    mine = {"Origin": f"http://{unlocked.address}", "Sec-Fetch-Site": "same-origin"}
    for headers in (mine, {"Sec-Fetch-Site": "none"}, {}):
        answer = unlocked.ask("POST", "/folders", b"[]", headers)
        assert "not an object" in answer.refused(400)


def test_every_response_has_the_headers(unlocked: Web, locked: Web) -> None:
    answers = [
        *(unlocked.get(path) for path in ("/", "/docs", "/static/main.js", "/nothing", "/models")),
        locked.get("/models"),
        unlocked.get("/", Host="evil.example"),
    ]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in answer.headers
        assert "server" not in answer.headers


@pytest.mark.parametrize(
    "token", ["", "short", "fifteen-letters", "with spaces in between it", "é" * 20]
)
def test_a_token_that_can_be_guessed_is_refused(token: str) -> None:
    with pytest.raises(UsageError, match="openssl rand"):
        guard.checked_token(token)


def test_a_token_from_a_file_is_used_without_its_line_feed() -> None:
    assert guard.checked_token(f"{TOKEN}\n") == TOKEN
    assert guard.checked_token(guard.new_token())
    assert guard.new_token() != guard.new_token()
