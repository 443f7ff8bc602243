"""A web server with the addresses of the Hugging Face Hub that its client asks for."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

OLD, NEW = "a" * 40, "b" * 40


@dataclass
class Site:
    """A hub with one repository: its commits by name, and their files."""

    commits: dict[str, dict[str, bytes]]
    branches: dict[str, str] = field(default_factory=lambda: {"main": NEW, "v1": OLD})
    requests: list[str] = field(default_factory=list)


class Hub(BaseHTTPRequestHandler):
    """The addresses that the client asks for: a model's description, and its files."""

    site: Site

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        self.site.requests.append(self.path)
        described = re.fullmatch(r"/api/models/me/net/revision/([^?]+).*", self.path)
        file = re.fullmatch(r"/me/net/resolve/([^/]+)/([^?]+).*", self.path)
        if described or file:
            match = described or file
            assert match
            commit = self.site.branches.get(match[1], match[1])
            files = self.site.commits.get(commit)
            if files is None:
                return self._send(404, {"X-Error-Code": "RevisionNotFound"}, b"", body)
            if described:
                names = [{"rfilename": name} for name in files]
                found = {"_id": "1", "id": "me/net", "sha": commit, "siblings": names}
                return self._send(200, {}, json.dumps(found).encode(), body)
            if match[2] not in files:
                headers = {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}
                return self._send(404, headers, b"", body)
            content = files[match[2]]
            headers = {"X-Repo-Commit": commit, "ETag": f'"{hash(content) & 0xFFFFFFFF:x}"'}
            return self._send(200, headers, content, body)
        return self._send(404, {"X-Error-Code": "RepoNotFound"}, b"", body)

    def _send(self, status: int, headers: dict[str, str], content: bytes, body: bool) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Not printed."""


@contextmanager
def served(site: Site) -> Iterator[str]:
    """The address at which a site is served."""
    handler = type("Served", (Hub,), {"site": site})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
