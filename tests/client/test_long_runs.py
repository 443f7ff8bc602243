"""`resnet-classify` over many images: a server that restarts, a run that is killed and goes on."""

from __future__ import annotations

import collections
import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE_S, until
from ports import three_ports
from served_digits import Pictures, only

from resnet_serve.triton.server import Server

pytestmark = [pytest.mark.triton, pytest.mark.slow]

COMMAND = [sys.executable, "-m", "resnet_client.cli"]
IMAGES = 800


@pytest.fixture(scope="module")
def many(pictures: Pictures, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of links to the digits, and one file that is no image."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(IMAGES - 1):
        (folder / f"{number:05}.png").symlink_to(pictures.paths[number % len(pictures.paths)])
    (folder / "00400a.png").write_bytes(b"no image")
    return folder


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def start(server: Server, *arguments: str | Path) -> subprocess.Popen[str]:
    options = ["--url", server.grpc, "--model", "resnet20", "--timeout", str(PATIENCE_S)]
    words = [*COMMAND, *map(str, arguments), *options]
    return subprocess.Popen(words, stderr=subprocess.PIPE, text=True)


def check(rows: list[dict[str, object]], folder: Path) -> None:
    """One row for each image, in order; only the one that is no image failed."""
    assert [row["image"] for row in rows] == sorted(str(path) for path in folder.iterdir())
    failed = [row["image"] for row in rows if row.get("error")]
    assert failed == [str(folder / "00400a.png")]


def test_a_server_that_is_killed_and_restarted_costs_no_image(
    converted: Path, many: Path, tmp_path: Path
) -> None:
    repository = only(converted, tmp_path / "models", "resnet20")
    port, output = three_ports(), tmp_path / "results.jsonl"
    with Server(repository, port=port) as server:
        process = start(server, many, "--json", "--output", output)
        assert until(lambda: lines(output) > 20)
        server.stop()
        there = lines(output)
    with Server(repository, port=port):
        _, said = process.communicate(timeout=PATIENCE_S)
    assert there < IMAGES
    assert process.returncode == 5, said
    check([json.loads(line) for line in output.read_text().splitlines()], many)
    assert "trying again for up to 180 s" in said
    assert said.endswith(f"note: 1 of {IMAGES} images could not be classified\n")


@pytest.mark.parametrize("form", ["--json", "--csv"])
def test_a_killed_run_goes_on_from_its_file(
    server: Server, many: Path, tmp_path: Path, form: str
) -> None:
    output = tmp_path / "results"
    process = start(server, many, form, "--output", output)
    assert until(lambda: lines(output) > 20)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=PATIENCE_S)
    there = lines(output)
    assert there < IMAGES
    with output.open("ab") as file:
        file.write(b'{"image": "half' if form == "--json" else b"half,a")
    again = start(server, many, form, "--output", output)
    assert "exists already. Go on from it with --resume" in again.communicate(timeout=PATIENCE_S)[1]
    assert again.returncode == 2
    for _ in range(2):  # the second time there is nothing left
        resumed = start(server, many, form, "--output", output, "--resume")
        _, said = resumed.communicate(timeout=PATIENCE_S)
        assert resumed.returncode == 5
        text = output.read_text()
        rows = (
            [json.loads(line) for line in text.splitlines()]
            if form == "--json"
            else list(csv.DictReader(text.splitlines()))
        )
        check(rows, many)
        assert f"1 of {IMAGES} images could not be classified" in said
    assert f"has {IMAGES} of {IMAGES} images" in said


def test_an_image_named_twice_has_two_rows(
    server: Server, pictures: Pictures, tmp_path: Path
) -> None:
    output, path = tmp_path / "results", str(pictures.paths[0])
    for names in ([path, path], [path, path, path]):
        process = start(server, *names, "--json", "--output", output, "--resume")
        process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
        rows = [json.loads(line)["image"] for line in output.read_text().splitlines()]
        assert collections.Counter(rows) == {path: len(names)}


def test_an_interrupted_run_says_how_it_goes_on(server: Server, many: Path, tmp_path: Path) -> None:
    output = tmp_path / "results"
    process = start(server, many, "--json", "--output", output)
    assert until(lambda: lines(output) > 20)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    note, error = said.splitlines()[-2:]
    assert error == "error: interrupted"
    assert note == (
        f"note: {output}: has {lines(output)} of {IMAGES} images; --resume goes on from it"
    )
