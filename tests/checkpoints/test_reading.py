"""From a path or an address to tensors: hashed first, then read."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from resnet_serve.checkpoints.reading import AS_IT_IS, Reading, again, cached, read
from resnet_serve.errors import HostError, InputFileError, UsageError

TENSORS = {"conv1.weight": torch.ones(2), "fc.weight": torch.zeros(3)}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """A web server's address and the folder it serves."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()


def test_an_address_is_fetched_once_and_kept_under_its_hash(site: tuple[str, Path]) -> None:
    address, folder = site
    save_file(TENSORS, folder / "net.safetensors")
    digest = hashlib.sha256((folder / "net.safetensors").read_bytes()).hexdigest()
    spec = f"{address}/net.safetensors?download=true"
    found = read(spec, Reading(sha256=digest.upper()))
    assert set(found.tensors) == set(TENSORS)
    assert (found.source, found.sha256) == (spec, digest)
    assert found.path == cached(spec, digest)
    assert found.path.name == f"{digest[:16]}-net.safetensors"
    (folder / "net.safetensors").unlink()
    assert read(spec, Reading(sha256=digest)).sha256 == digest


def test_another_file_than_was_meant_is_neither_read_nor_kept(site: tuple[str, Path]) -> None:
    address, folder = site
    save_file(TENSORS, folder / "net.safetensors")
    spec, wrong = f"{address}/net.safetensors", "0" * 64
    with pytest.raises(InputFileError, match=r"has SHA-256 .*, expected 0000"):
        read(spec, Reading(sha256=wrong))
    assert not cached(spec, wrong).exists()
    with pytest.raises(HostError, match="cannot be downloaded"):
        read(f"{address}/absent.pth", Reading(sha256=wrong))


@pytest.mark.parametrize("scheme", ["https", "http", "HTTPS"])
def test_an_address_without_a_hash_is_refused(scheme: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(f"{scheme}://example.org/net.pth")
    assert str(caught.value) == (
        "weights from an address need the SHA-256 of the file. "
        "Give it with --weights-sha256; the publisher of the file should state it."
    )


@pytest.mark.parametrize("given", ["", "abc", "g" * 64, "0" * 63, "0" * 65, "sha256:" + "0" * 64])
def test_a_hash_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match="needs 64 hexadecimal digits"):
        read("net.pth", Reading(sha256=given))


def test_a_local_file_is_held_to_its_hash_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(b"no checkpoint at all")
    with pytest.raises(InputFileError, match="It is damaged, or not the intended file"):
        read(str(path), Reading(sha256="0" * 64))


@pytest.mark.parametrize("spec", ["imagenet", "imagenet:v1", "digits", "random:3"])
@pytest.mark.parametrize(
    ("reading", "flag"),
    [
        (Reading(ema=True), "--ema"),
        (Reading(trust_pickle=True), "--trust-pickle"),
        (Reading(sha256="0" * 64), "--weights-sha256"),
    ],
)
def test_options_of_files_are_refused_without_one(spec: str, reading: Reading, flag: str) -> None:
    with pytest.raises(UsageError) as caught:
        reading.check(spec)
    assert str(caught.value) == f"{flag} is for checkpoint files. Omit it with {spec!r}."


@pytest.mark.parametrize(
    "url",
    [
        "https://x/..%2f..%2fetc%2fpasswd",
        "https://x/a\\..\\b",
        "https://x/",
        "https://x",
        "https://x/%00;rm",
        "https://x/" + "a" * 400 + ".pth",
    ],
)
def test_no_address_leads_out_of_the_cache(url: str) -> None:
    path = cached(url, "0" * 64)
    assert path.parent.name == "checkpoints"
    assert path.name.startswith("0" * 16 + "-")
    assert len(path.name) < 100
    assert "/" not in path.name


ONE, TWO = {"x.weight": torch.ones(2)}, {"x.weight": torch.zeros(2)}


@pytest.mark.parametrize(
    ("content", "reading"),
    [
        (ONE, Reading()),
        ({"state_dict": ONE}, Reading()),
        ({"state_dict": ONE, "state_dict_ema": TWO}, Reading(ema=True)),
        ({"state_dict": ONE, "state_dict_ema": TWO}, Reading()),
        ({"student": ONE, "teacher": TWO}, Reading(key="teacher")),
        ({"a": {"student": ONE, "teacher": TWO}}, Reading(key="student")),
        ({"layer1.0.conv1.weight": torch.ones(1), "ema.layer1.0.conv1.weight": torch.zeros(1)},
         Reading(key=".")),
    ],
)  # fmt: skip
def test_a_source_is_read_again_as_it_was(
    tmp_path: Path, content: object, reading: Reading
) -> None:
    torch.save(content, tmp_path / "net.pth")
    found = read(str(tmp_path / "net.pth"), reading)
    once_more = read(*again(found.source, found.sha256))
    assert once_more.source == found.source
    assert all(torch.equal(once_more.tensors[n], t) for n, t in found.tensors.items())


@pytest.mark.parametrize(
    "source", ["digits", "imagenet:v2", "random:3 (untrained)", "as a:b returns it"]
)
def test_what_is_no_file_is_named_again(source: str) -> None:
    assert again(source, "0" * 64) == (source.removesuffix(" (untrained)"), AS_IT_IS)


def test_an_address_is_held_to_its_hash_again() -> None:
    found = again("https://example.org/net.pth (model, averaged)", "0" * 64)
    expected = Reading(ema=True, key="model", sha256="0" * 64)
    assert found == ("https://example.org/net.pth", expected)
    assert again("https://example.org/net.pth", "1" * 64)[1] == Reading(sha256="1" * 64)
