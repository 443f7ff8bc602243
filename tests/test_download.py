"""A download is the whole right file or nothing, against a real server with real faults."""

from __future__ import annotations

import hashlib
import random
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from resnet_serve import download
from resnet_serve.errors import HostError, InputFileError

CONTENT = random.Random(0).randbytes(700_000)
HASH = hashlib.sha256(CONTENT).hexdigest()
SIZE_MIB = round(len(CONTENT) / 2**20, 3)


class Files(BaseHTTPRequestHandler):
    """Serves CONTENT, well or badly, by the path that is asked for."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        path = self.path.rpartition("/")[2]
        getattr(self, path.partition(".")[0], self.gone)()

    def gone(self) -> None:
        self.send_error(404)

    def good(self, announced: int | None = len(CONTENT), sent: bytes = CONTENT) -> None:
        self.send_response(200)
        if announced is not None:
            self.send_header("Content-Length", str(announced))
        self.end_headers()
        self.wfile.write(sent)

    def unannounced(self) -> None:
        self.good(announced=None)

    def truncated(self) -> None:
        self.good(sent=CONTENT[:300_000])

    def smaller(self) -> None:
        self.good(5, b"small")

    def page(self) -> None:
        self.good(len(CONTENT), b"<html>".ljust(len(CONTENT)))

    def endless(self) -> None:
        self.good(announced=None, sent=CONTENT * 30)

    def odd(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "many")
        self.end_headers()
        self.wfile.write(CONTENT)

    def chunked(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"10000\r\n" + CONTENT[:1000])

    def garbage(self) -> None:
        self.wfile.write(b"this is not HTTP at all\r\n\r\n")

    def moved(self) -> None:
        self.send_response(302)
        self.send_header("Location", "/good.pth")
        self.end_headers()

    def slow(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"x")
        self.wfile.flush()
        self.rfile.read()  # until the other side gives up

    def log_message(self, *_: object) -> None:
        pass


class Quiet(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that hangs up in the middle is what these tests are about."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    handler = type("Handler", (Files,), {"asked": [], "protocol_version": "HTTP/1.0"})
    with Quiet(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def url(server: ThreadingHTTPServer) -> Callable[[str], str]:
    return lambda name: f"http://127.0.0.1:{server.server_port}/{name}.pth"


def everything_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", ["good", "unannounced", "odd", "moved"])
def test_a_good_file_arrives_whole(tmp_path: Path, url: Callable[[str], str], name: str) -> None:
    target = tmp_path / "hub" / "checkpoints" / "net.pth"
    fetched = download.fetch(url(name), target, sha256_prefix=HASH[:8], size_mib=SIZE_MIB)
    assert fetched == target
    assert target.read_bytes() == CONTENT
    assert everything_below(tmp_path) == ["hub/checkpoints/net.pth"]


def test_progress_is_told_to_the_end(tmp_path: Path, url: Callable[[str], str]) -> None:
    told: list[tuple[int, int]] = []
    download.fetch(
        url("good"),
        tmp_path / "net.pth",
        sha256_prefix=HASH,
        progress=lambda done, total: told.append((done, total)),
    )
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert len(told) > 1
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert {total for _, total in told} == {len(CONTENT)}


def test_a_total_that_is_not_announced_is_told_as_0(
    tmp_path: Path, url: Callable[[str], str]
) -> None:
    totals = set()
    download.fetch(
        url("unannounced"),
        tmp_path / "net.pth",
        sha256_prefix=HASH,
        progress=lambda _, total: totals.add(total),
    )
    assert totals == {0}


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("page", InputFileError, rf"has SHA-256 .*expected {HASH[:8]}"),
        ("smaller", InputFileError, rf"is 0\.000 MiB, expected {SIZE_MIB:.3f} MiB"),
        ("endless", InputFileError, rf"is larger than the expected {SIZE_MIB:.3f} MiB"),
        ("truncated", HostError, r"ended after 300,000 of 700,000 bytes.*put the file at .*net"),
        ("absent", HostError, r"404.*put the file at .*net\.pth"),
        ("chunked", HostError, r"IncompleteRead.*put the file at .*net\.pth"),
        ("garbage", HostError, r"not HTTP.*put the file at .*net\.pth"),
    ],
)
def test_what_goes_wrong_is_said_and_leaves_nothing(
    tmp_path: Path, url: Callable[[str], str], name: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        download.fetch(url(name), tmp_path / "net.pth", sha256_prefix=HASH[:8], size_mib=SIZE_MIB)
    assert everything_below(tmp_path) == []
    assert str(caught.value).startswith(url(name))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == (4 if kind is HostError else 5)  # type: ignore[attr-defined]


def test_too_much_is_not_fetched_to_the_end(tmp_path: Path, url: Callable[[str], str]) -> None:
    done_bytes: list[int] = []
    with pytest.raises(InputFileError, match="larger"):
        download.fetch(
            url("endless"),
            tmp_path / "net.pth",
            sha256_prefix=HASH,
            size_mib=SIZE_MIB,
            progress=lambda done, _: done_bytes.append(done),
        )
    assert max(done_bytes) < 2 * len(CONTENT)


def test_a_server_that_stalls_is_given_up(tmp_path: Path, url: Callable[[str], str]) -> None:
    with pytest.raises(HostError, match=r"timed out.*On a host without network"):
        download.fetch(url("slow"), tmp_path / "net.pth", sha256_prefix=HASH, timeout_s=0.3)
    assert everything_below(tmp_path) == []


@pytest.mark.usefixtures("server")
def test_offline_says_where_to_put_the_file(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: refused
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/net.pth"
        with pytest.raises(HostError, match="refused") as caught:
            download.fetch(address, tmp_path / "net.pth", sha256_prefix=HASH)
    assert caught.value.exit_code == 4
    assert caught.value.remedy is not None
    assert str(tmp_path / "net.pth") in caught.value.remedy
    with pytest.raises(HostError, match="put the file at"):
        download.fetch("http://no-such-host.invalid/x", tmp_path / "x", sha256_prefix=HASH)
    assert everything_below(tmp_path) == []


def test_a_file_that_is_there_is_used_without_the_network(
    tmp_path: Path, server: ThreadingHTTPServer, url: Callable[[str], str]
) -> None:
    target = tmp_path / "net.pth"
    target.write_bytes(CONTENT)
    assert download.fetch(url("good"), target, sha256_prefix=HASH[:8].upper()) == target
    assert server.RequestHandlerClass.asked == []  # type: ignore[attr-defined]


def test_a_damaged_file_that_is_there_is_named_and_kept(
    tmp_path: Path, server: ThreadingHTTPServer, url: Callable[[str], str]
) -> None:
    target = tmp_path / "net.pth"
    target.write_bytes(CONTENT[:-1])
    with pytest.raises(InputFileError, match=r"has SHA-256 .*delete it and try again") as caught:
        download.fetch(url("good"), target, sha256_prefix=HASH[:8])
    assert caught.value.where == str(target)
    assert target.read_bytes() == CONTENT[:-1]
    assert server.RequestHandlerClass.asked == []  # type: ignore[attr-defined]


def test_ctrl_c_leaves_nothing(tmp_path: Path, url: Callable[[str], str]) -> None:
    def interrupted(_: int, __: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download.fetch(url("good"), tmp_path / "net.pth", sha256_prefix=HASH, progress=interrupted)
    assert everything_below(tmp_path) == []


def test_a_full_disk_is_said_as_such(small_disk: Path, url: Callable[[str], str]) -> None:
    with pytest.raises(HostError, match=r"no space left.*Free some space"):
        download.fetch(url("good"), small_disk / "net.pth", sha256_prefix=HASH)
    assert everything_below(small_disk) == []


def test_a_place_that_cannot_be_written_is_said_as_such(
    tmp_path: Path, url: Callable[[str], str]
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(HostError, match=r"cannot write: .*A part of the path is a file"):
        download.fetch(url("good"), tmp_path / "file" / "net.pth", sha256_prefix=HASH)
    (tmp_path / "net.pth").mkdir()
    with pytest.raises(HostError, match="cannot write: is a directory"):
        download.fetch(url("good"), tmp_path / "net.pth", sha256_prefix=HASH)


def test_a_proxy_is_used_where_there_is_one_and_not_for_the_loopback(
    tmp_path: Path,
    server: ThreadingHTTPServer,
    url: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    download.fetch("http://weights.invalid/good.pth", tmp_path / "a.pth", sha256_prefix=HASH)
    assert server.RequestHandlerClass.asked == ["http://weights.invalid/good.pth"]  # type: ignore[attr-defined]

    monkeypatch.setenv("http_proxy", "http://proxy.invalid:3128")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    download.fetch(url("good"), tmp_path / "b.pth", sha256_prefix=HASH)
    assert server.RequestHandlerClass.asked[1:] == ["/good.pth"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"XDG_CACHE_HOME": "/somewhere/cache"},
        {"TORCH_HOME": "/somewhere/torch"},
        {"TORCH_HOME": "~/torch home"},
        {"XDG_CACHE_HOME": "~/elsewhere"},
        {"TORCH_HOME": "/somewhere/torch", "XDG_CACHE_HOME": "/somewhere/cache"},
    ],
)
def test_files_of_torch_hub_are_found_where_torch_hub_puts_them(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch import hub

    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert download.torch_hub_checkpoints() == Path(hub.get_dir()) / "checkpoints"


def test_check_returns_the_whole_hash(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    assert download.check(tmp_path / "file", HASH[:3]) == HASH
