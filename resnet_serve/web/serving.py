"""Serving: the routes behind the guard, and uvicorn on a port until it is told to stop.

On loopback everybody on this host may use it. Beyond that requests need a token, and the connection
TLS, unless the network protects it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from resnet_serve.errors import ResnetServeError, UsageError
from resnet_serve.optional import optional
from resnet_serve.triton.supervision import transport
from resnet_serve.triton.supervision.endpoints import listening
from resnet_serve.triton.supervision.transport import Tls
from resnet_serve.web import guard, problems
from resnet_serve.web.api import Api
from resnet_serve.web.catalog import Catalog
from resnet_serve.web.live import Meter
from resnet_serve.web.pages import STATIC, Pages
from resnet_serve.web.places import Places
from resnet_serve.web.settings import Settings, Slots

if TYPE_CHECKING:
    import uvicorn
    from starlette import applications, exceptions, requests, responses, routing, staticfiles
    from starlette.types import ASGIApp
else:
    uvicorn = optional("uvicorn", extra="web")
    applications = optional("starlette.applications", extra="web")
    exceptions = optional("starlette.exceptions", extra="web")
    requests = optional("starlette.requests", extra="web")
    responses = optional("starlette.responses", extra="web")
    routing = optional("starlette.routing", extra="web")
    staticfiles = optional("starlette.staticfiles", extra="web")

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_DRAIN_S = 5
_IDLE_S = 30
_CONNECTIONS = 512
# What uvicorn logs for each request that is no HTTP, or wants another protocol: the client is told.
_OF_CLIENTS = ("Invalid HTTP request", "Unsupported upgrade", "No supported WebSocket")


@dataclass(frozen=True)
class Listening:
    """Where to listen, and with which certificate; port 0 is any free one."""

    address: str = "127.0.0.1"
    port: int = 8080
    tls: Tls | None = None


def secured(settings: Settings, where: Listening, *, insecure: bool) -> Settings:
    """The settings with what this address asks for: a token beyond loopback, host names on it.

    Raises `UsageError` for an address beyond loopback without TLS, unless that is wanted, and for
    a token that is too short.
    """
    transport.require_safe(where.address, where.tls, insecure=insecure)
    if where.tls is not None and where.tls.authority is not None:
        raise UsageError("clients' certificates are not checked here", remedy="Use the token.")
    token = None if settings.token is None else guard.checked_token(settings.token)
    secure = where.tls is not None
    if transport.is_loopback(where.address):
        return replace(settings, token=token, secure=secure, hosts=_LOOPBACK | {where.address})
    return replace(settings, token=token or guard.new_token(), secure=secure)


class WebServer:
    """The web application for the server at `places`, on a port that is taken at once.

    Raises `HostError` for a port that cannot be had, and where uvicorn or Starlette is missing.
    """

    def __init__(self, places: Places, settings: Settings, where: Listening) -> None:
        asgi = application(places, settings)
        files = {} if where.tls is None else _files(where.tls)
        self._listener = listening(where.address, where.port)
        self._where = where
        self._server = uvicorn.Server(
            uvicorn.Config(
                asgi,
                log_level="warning",
                access_log=False,
                server_header=False,
                http="h11",
                ws="none",
                loop="asyncio",
                lifespan="on",
                proxy_headers=False,
                limit_concurrency=_CONNECTIONS,
                timeout_keep_alive=_IDLE_S,
                timeout_graceful_shutdown=_DRAIN_S,
                ssl_certfile=files.get("certificate"),
                ssl_keyfile=files.get("key"),
            )
        )
        logging.getLogger("uvicorn.error").addFilter(_of_ours)

    @property
    def url(self) -> str:
        """The address of the page, from this host."""
        host, port = self._listener.getsockname()[:2]
        if host in ("0.0.0.0", "::") or self._where.address == "localhost":  # noqa: S104
            host = "localhost"
        scheme = "http" if self._where.tls is None else "https"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/"

    def run(self) -> None:
        """Serve until SIGINT, SIGTERM or `stop`; requests in flight may first end, for seconds."""
        with self._listener, suppress(KeyboardInterrupt):
            asyncio.run(self._server.serve(sockets=[self._listener]))

    def stop(self) -> None:
        """End `run`, from another thread."""
        self._server.should_exit = True


def application(places: Places, settings: Settings) -> ASGIApp:
    """The ASGI application for the server at `places`."""
    catalog, slots = Catalog(places, settings.timeout_s), Slots(settings.concurrency)
    api, pages = Api(settings, catalog, Meter(places), slots), Pages(places, settings)

    @asynccontextmanager
    async def lifespan(_: applications.Starlette) -> AsyncIterator[None]:
        yield
        slots.close()
        await asyncio.to_thread(catalog.close)

    version = "/models/{model}/{version}"
    routes = [
        routing.Route("/", pages.index),
        routing.Route("/docs", pages.docs),
        routing.Route("/openapi.json", pages.description),
        routing.Route("/favicon.ico", pages.icon),
        routing.Route("/classify", api.classify, methods=["POST"]),
        routing.Route("/compare", api.compare, methods=["POST"]),
        routing.Route("/folders", api.folders, methods=["POST"]),
        routing.Route("/session", api.session, methods=["POST"]),
        routing.Route("/models", api.models),
        routing.Route("/live", api.live),
        routing.Route("/health", api.health),
        routing.Route(f"{version}/passport", pages.passport),
        routing.Route(f"{version}/report", pages.report),
        routing.Route(f"{version}/examples/{{number:int}}", pages.example),
        routing.Mount("/static", staticfiles.StaticFiles(directory=STATIC)),
    ]
    handlers = {
        ResnetServeError: problems.handle,
        exceptions.HTTPException: problems.handle_http,
        requests.ClientDisconnect: _gone,
        Exception: problems.handle,
    }
    inner = applications.Starlette(
        routes=routes,
        exception_handlers=handlers,
        lifespan=lifespan,
    )
    return guard.Guard(inner, settings)


def _of_ours(record: logging.LogRecord) -> bool:
    """Whether a line of uvicorn's is of this server, and not of what somebody sends to its port."""
    return not record.getMessage().startswith(_OF_CLIENTS)


def _files(used: Tls) -> dict[str, str]:
    return {"certificate": str(used.certificate), "key": str(used.key)}


async def _gone(_: requests.Request, __: Exception) -> responses.Response:
    """The client has left; nobody reads this."""
    return responses.Response(status_code=400)
