"""The container's entry point checks what `up` checks, before tritonserver starts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import versioned
from certificates import expire, make

from resnet_serve.cli.servers import container
from resnet_serve.triton.repository import Repository
from resnet_serve.triton.supervision import foreground

Start = Callable[..., tuple[int, str]]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Start:
    """Runs the entry point without a server: its exit code, and what it says; 7 is the server's."""
    monkeypatch.setattr(foreground, "main", lambda: 7)

    def started(*options: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["container", "tritonserver", *map(str, options)])
        with pytest.raises(SystemExit) as ended:
            container.main()
        return int(str(ended.value.code)), capsys.readouterr().err

    return started


def test_it_runs_whatever_tritonserver_is_given(start: Start, tmp_path: Path) -> None:
    for options in (
        (),
        ("--model-repository=s3://bucket/models",),
        ("--model-repository", tmp_path / "none"),
        ("--grpc-use-ssl=0", "--grpc-server-cert=none", "--grpc-server-key=none"),
        ("--grpc-use-ssl=1",),
    ):
        assert start(*options) == (7, "")


def test_what_is_not_the_versions_own_is_said(start: Start, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "models")
    versioned.deploy(repository)
    option = f"--model-repository={repository.path}"
    assert start(option) == (7, "")
    with (repository.path / "net" / "config.pbtxt").open("a") as file:
        file.write("max_batch_size: 1\n")
    code, said = start(option)
    assert (code, said.count("\n")) == (7, 1)
    assert said.startswith("warning: net version 1: ")
    assert "config.pbtxt is not that of version 1; put it back: resnet-serve promote net 1" in said
    (repository.path / "net" / "1" / "passport.json").write_text("{}")
    code, said = start(option)
    assert (code, said.count("\n")) == (7, 1)
    assert "passport.json" in said
    (repository.path / "drafts").mkdir()
    (repository.path / "lost+found").mkdir()
    code, said = start(option)
    assert (code, said.count("\n")) == (7, 1), "nothing is said of what is not ours"


@pytest.mark.parametrize("used", ["--grpc-use-ssl=1", "--grpc-use-ssl-mutual=true"])
def test_a_certificate_that_no_client_accepts_is_refused(
    start: Start, tmp_path: Path, used: str
) -> None:
    make(tmp_path)
    files = [f"--grpc-server-key={tmp_path / 'server.key'}"]
    files += [f"--grpc-root-cert={tmp_path / 'authority.pem'}", used]
    assert start(*files, f"--grpc-server-cert={tmp_path / 'server.pem'}") == (7, "")
    expired = expire(tmp_path, "server")
    code, said = start(*files, f"--grpc-server-cert={expired}")
    assert (code, said.count("\n")) == (5, 1)
    assert f"{expired}: every client refuses it: certificate has expired" in said
    code, said = start(*files, f"--grpc-server-cert={tmp_path / 'server.key'}")
    assert code == 5
    assert "Give --grpc-server-cert and --grpc-server-key two PEM files" in said
