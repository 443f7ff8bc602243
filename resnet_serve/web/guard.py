"""The guard: which requests are answered at all, and the headers of every response.

    another site's page     refused, by Sec-Fetch-Site and Origin: a browser sends them along
    another name            refused on loopback: a name of somebody else may lead here (rebinding)
    no token                refused where one is needed; a header, or the cookie of the page

A page has everything from here: no script or style in it, and none of another host.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from resnet_serve.errors import UsageError
from resnet_serve.optional import optional
from resnet_serve.web.problems import problem
from resnet_serve.web.settings import Settings

if TYPE_CHECKING:
    from starlette import datastructures
    from starlette.types import ASGIApp, Receive, Scope, Send
else:
    datastructures = optional("starlette.datastructures", extra="web")

_COOKIE = "resnet-serve"
LEAST_TOKEN = 16
# What is the same for everybody, and what a page needs before it has the token.
OPEN = frozenset({"/", "/docs", "/openapi.json", "/health", "/session", "/favicon.ico"})
CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
# A report is one file with its style in it, and no script.
REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
_HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cache-Control": "no-cache",
}
_READING = ("GET", "HEAD", "OPTIONS")


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(24)


def checked_token(token: str) -> str:
    """The token without the line feed of a file; raises `UsageError` for one that is too short."""
    found = token.strip()
    if len(found) < LEAST_TOKEN or not (found.isascii() and found.isprintable()) or " " in found:
        raise UsageError(
            f"a token has at least {LEAST_TOKEN} printable characters without spaces",
            remedy="Make one with: openssl rand -hex 16",
        )
    return found


def session(token: str) -> str:
    """The value of the page's cookie, from which the token cannot be found."""
    return hmac.new(token.encode(), b"session of resnet-serve web", hashlib.sha256).hexdigest()


def cookie_name(token: str) -> str:
    """The name of the page's cookie: browsers do not tell the ports of a host apart."""
    return f"{_COOKIE}-{session(token)[:8]}"


class Guard:
    """The ASGI application `inner`, behind these checks."""

    def __init__(self, inner: ASGIApp, settings: Settings) -> None:
        self._inner = inner
        self._settings = settings
        self._session = None if settings.token is None else session(settings.token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return

        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = datastructures.MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope)
        await (self._inner if refusal is None else refusal)(scope, receive, sent)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        headers = datastructures.Headers(scope=scope)
        host = _name(headers.get("host", ""))
        if self._settings.hosts and host not in self._settings.hosts:
            return problem(
                HTTPStatus.FORBIDDEN,
                f"this host is not called {host!r:.80} here. Use http://127.0.0.1 and the port, "
                "or start the web application with --listen.",
            )
        if scope["method"] not in _READING and _of_another_site(headers):
            return problem(
                HTTPStatus.FORBIDDEN, "requests of pages of another site are not answered."
            )
        path = scope["path"]
        if self._settings.token is None or path in OPEN or path.startswith("/static/"):
            return None
        if self._may(headers):
            return None
        return problem(
            HTTPStatus.UNAUTHORIZED,
            "the token is missing or wrong. Send it as: Authorization: Bearer TOKEN, "
            "or open the address that `resnet-serve web` has printed.",
        )

    def _may(self, headers: Any) -> bool:
        token, expected = self._settings.token or "", self._session or ""
        given = headers.get("authorization", "").partition(" ")
        bearer = given[0].lower() == "bearer" and same(given[2].strip(), token)
        return bearer or same(_cookie(headers.get("cookie", ""), cookie_name(token)), expected)


def same(given: str, expected: str) -> bool:
    """Whether two secrets are the same, in a time that does not depend on where they differ."""
    return hmac.compare_digest(given.encode(), expected.encode())


def _cookie(header: str, name: str) -> str:
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return "" if found is None else found.value


def _name(host: str) -> str:
    """The name in a Host header, without the port; "" where it cannot be read."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _of_another_site(headers: Any) -> bool:
    if headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        return True
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")
