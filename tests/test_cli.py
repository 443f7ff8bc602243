"""`resnet-serve` as a user meets it: up, down, list, and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from passports import engine
from patience import PATIENCE_S
from quick import quicken

from resnet_convert.ensembles import compose
from resnet_convert.pipeline import convert

pytestmark = pytest.mark.triton


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("served") / "models"
    with pytest.MonkeyPatch.context() as patch:
        quicken(patch, cores=None)
        convert(
            arch="resnet20",
            weights="digits",
            validation="digits",
            validation_images=16,
            name="digits",
            repository=path,
        )
    return path


def environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "XDG_STATE_HOME": str(folder / "state"),
        "COLUMNS": "160",
    }


def serve(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "resnet_serve.cli", *map(str, words)],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@pytest.fixture
def foreground(tmp_path: Path, repository: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "resnet_serve.cli", "up", "--port", "0", "--repository", repository],
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_serves_until_it_is_told_to_stop(
    foreground: subprocess.Popen[str], number: signal.Signals
) -> None:
    assert foreground.stdout is not None
    lines = [foreground.stdout.readline() for _ in range(4)]
    assert [line.split()[0] for line in lines] == ["gRPC", "HTTP", "Metrics", "Ctrl-C"]
    host, port = lines[0].split()[1].split(":")
    socket.create_connection((host, int(port)), timeout=PATIENCE_S).close()
    foreground.send_signal(number)
    out, err = foreground.communicate(timeout=PATIENCE_S)
    assert foreground.returncode == 0, err
    assert "stopped" in out
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((host, int(port)), timeout=PATIENCE_S)


def test_detach_list_and_down(tmp_path: Path, repository: Path) -> None:
    up = serve(tmp_path, "up", "--port", 0, "--detach", "--repository", repository)
    assert up.returncode == 0, up.stderr
    try:
        listed = serve(tmp_path, "list", "--json", "--repository", repository)
        rows = json.loads(listed.stdout)
        assert [(row["model"], row["version"], row["precision"]) for row in rows] == [
            ("digits", 1, "fp32")
        ]
        shown = serve(tmp_path, "list", "--repository", repository)
        assert "digits" in shown.stdout
        assert "Served at 127.0.0.1:" in shown.stdout
    finally:
        down = serve(tmp_path, "down", "--repository", repository)
    assert (down.returncode, down.stdout.strip()) == (0, "stopped")
    again = serve(tmp_path, "down", "--repository", repository)
    assert again.returncode == 0
    assert "no detached server" in again.stdout


def test_the_schema_of_a_preprocessing_is_the_published_one(tmp_path: Path) -> None:
    done = serve(tmp_path, "schema", "preprocessing")
    published = Path(__file__).parents[1] / "docs" / "preprocessing.schema.json"
    assert (done.returncode, done.stdout) == (0, published.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("words", "code", "fragment"),
    [
        (("up", "--repository", "nowhere"), 2, "no such model repository"),
        (("list", "--repository", "nowhere"), 5, "no model repository"),
        (("verify",), 2, "Use --host"),
        (("verify", "--host", "--repository", "nowhere"), 5, "no model repository"),
        (("schema", "postprocessing"), 2, "no schema of 'postprocessing'"),
        (("loadtest", "x", "--url", "127.0.0.1:9"), 4, "127.0.0.1:9"),
        (("loadtest", "x", "--concurrency", "4:1"), 2, "4:1"),
    ],
)
def test_refusals_are_one_line(
    tmp_path: Path, words: tuple[str, ...], code: int, fragment: str
) -> None:
    done = serve(tmp_path, *words)
    assert done.returncode == code, done.stderr
    problems = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(problems) == 1
    assert fragment in problems[0]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command", ["", "up", "down", "list", "verify", "loadtest", "doctor", "schema"]
)
def test_every_command_explains_itself(tmp_path: Path, command: str) -> None:
    done = serve(tmp_path, *([command] if command else []), "--help")
    assert done.returncode == 0
    assert "--help" in done.stdout


def waiting_for_its_plan(repository: Path, name: str = "gpu") -> None:
    """A version as `resnet-convert --prepare-only` leaves it, as far as the commands look at it."""
    source = next(repository.glob("digits/1/passport.json"))
    data = json.loads(source.read_text(encoding="utf-8"))
    version = repository / name / "1"
    version.mkdir(parents=True)
    data |= {"engine": engine().to_json(), "target": "tensorrt"}
    data["latency"]["speedup"] = None
    (version / "passport.json").write_text(json.dumps(data), encoding="utf-8")


def _timed(row: dict[str, Any]) -> bool:
    """Whether a speed-up was measured, and is stated or, on a busy host, is not."""
    return row["speedup"] is not None or row["speedup_not_stated"] is not None


def test_a_plan_that_is_not_built_is_said_before_the_server_starts(
    tmp_path: Path, repository: Path
) -> None:
    copy = tmp_path / "models"
    shutil.copytree(repository, copy)
    waiting_for_its_plan(copy)
    done = serve(tmp_path, "up", "--port", 0, "--repository", copy)
    assert done.returncode == 4, done.stderr
    assert "the plan of gpu version 1 is not built" in done.stderr
    assert f"resnet-convert build-plan {copy / 'gpu' / '1'}" in done.stderr
    listed = serve(tmp_path, "list", "--repository", copy)
    assert listed.returncode == 0
    assert "plan not built" in listed.stdout
    rows = json.loads(serve(tmp_path, "list", "--json", "--repository", copy).stdout)
    assert {row["model"]: (row["engine"], _timed(row)) for row in rows} == {
        "digits": (None, True),
        "gpu": ("plan not built", False),
    }
    verified = serve(tmp_path, "verify", "gpu", "--host", "--repository", copy)
    assert verified.returncode in (4, 5)
    assert "build-plan" in verified.stdout


def test_up_says_which_member_was_converted_again(repository: Path, tmp_path: Path) -> None:
    place = tmp_path / "models"
    shutil.copytree(repository, place)
    compose.ten_crop("digits", scales=(36,), repository=place)
    shutil.copytree(place / "digits" / "1", place / "digits" / "2")
    done = serve(tmp_path, "up", "--port", "0", "--repository", place)
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1
    assert (
        "digits_tencrop version 1: it was proved with digits version 1, which is at version 2. "
        "Compose it again with the present versions: resnet-convert ten-crop digits --scales 36 "
    ) in done.stderr
