"""`resnet-classify`: what it prints where, and the code it ends with."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import image_files
import pytest
from patience import PATIENCE_S
from PIL import Image
from scripted_triton import Reluctant, start
from served_digits import Pictures

from resnet_client.cli import main
from resnet_serve.triton.server import Server

COMMAND = [sys.executable, "-m", "resnet_client.cli"]
VERBOSITY = "GRPC_VERBOSITY"


def run(
    *arguments: str | Path, stdin: bytes = b"", environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """The command in a process of its own."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        check=False,
        timeout=PATIENCE_S,
        env={**os.environ, **(environment or {})},
    )


@pytest.mark.triton
def test_text_is_a_block_per_image(
    url: str, pictures: Pictures, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [str(path) for path in pictures.paths[:2]]
    assert main([*paths, "--url", url, "--model", "resnet20", "--top", "3"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    lines = printed.out.splitlines()
    assert [lines[0], lines[4]] == paths
    assert len(lines) == 8
    for line in (*lines[1:4], *lines[5:]):
        label, percent = line.split()
        assert label.isdigit()
        assert 0 <= float(percent.removesuffix("%")) <= 100


@pytest.mark.triton
@pytest.mark.parametrize("decode", ["client", "server"])
def test_json_is_a_line_per_image(
    url: str, pictures: Pictures, capsys: pytest.CaptureFixture[str], decode: str
) -> None:
    folder = pictures.folder / "7"
    assert (
        main([str(folder), "--url", url, "--model", "resnet20", "--json", "--decode", decode]) == 0
    )
    printed = capsys.readouterr()
    found = [json.loads(line) for line in printed.out.splitlines()]
    assert [each["image"] for each in found] == [str(path) for path in sorted(folder.iterdir())]
    assert {each["model"] for each in found} == {"resnet20"}
    right = [each["predictions"][0]["label"] == "7" for each in found]
    assert sum(right) >= 0.9 * len(found)
    assert set(found[0]["predictions"][0]) == {"label", "index", "probability", "logit"}
    assert len(found[0]["predictions"]) == 5


@pytest.mark.triton
@pytest.mark.parametrize("decode", ["client", "server"])
def test_bad_images_among_good_ones(
    url: str,
    pictures: Pictures,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    decode: str,
) -> None:
    bad = image_files.write(tmp_path, image_files.bad())
    good = [str(path) for path in pictures.paths[:3]]
    images = [good[0], *map(str, bad.values()), *good[1:]]
    options = ["--url", url, "--model", "resnet20", "--decode", decode, "--top", "1"]
    assert main([*images, *options]) == 5
    printed = capsys.readouterr()
    assert printed.out.splitlines()[::2] == good
    *lines, last = printed.err.splitlines()
    for line, (reason, path) in zip(lines, bad.items(), strict=True):
        assert line.startswith(f"error: {path}: ")
        assert reason in line
    assert last == "note: 4 of 7 images could not be classified"

    assert main([*images, *options, "--json"]) == 5
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["image"] for each in found] == images
    assert [("error" in each, "predictions" in each) for each in found] == [
        (image not in good, image in good) for image in images
    ]


@pytest.mark.triton
def test_stdin_and_folders(url: str, pictures: Pictures, tmp_path: Path) -> None:
    data = pictures.paths[0].read_bytes()
    image_files.write(tmp_path / "a/b", {"one": data})
    (tmp_path / "a/notes.txt").write_text("not an image")
    image_files.write(tmp_path / "a/.hidden", {"two": data})
    (tmp_path / "empty").mkdir()
    done = run(
        "-", tmp_path / "a", tmp_path / "empty", "--url", url, "--model", "resnet20", stdin=data
    )
    assert done.returncode == 5
    assert [line for line in done.stdout.decode().splitlines() if line[0] != " "] == [
        "stdin",
        str(tmp_path / "a/b/0.png"),
    ]
    assert done.stderr.decode().splitlines() == [
        f"error: {tmp_path / 'empty'}: contains no images",
        "note: skipped 1 files without the suffix of an image",
    ]
    broken = run("-", "--url", url, "--model", "resnet20", stdin=b"")
    assert broken.returncode == 5
    assert broken.stderr.decode() == "error: stdin: the image is empty (0 bytes)\n"


@pytest.mark.triton
def test_which_model_is_asked(
    server: Server,
    pictures: Pictures,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = str(pictures.paths[0])
    monkeypatch.delenv("RESNET_MODEL", raising=False)
    assert main([image, "--url", server.grpc]) == 2
    assert capsys.readouterr().err == (
        f"error: the server at {server.grpc} serves means, resnet20. "
        "Name one with --model or RESNET_MODEL.\n"
    )
    monkeypatch.setenv("RESNET_MODEL", "means")
    assert main([image, "--url", server.grpc, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "means"
    assert main([image, "--url", server.grpc, "--json", "--model", "resnet20"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "resnet20"
    assert main([image, "--url", server.grpc, "--model", "resnet21"]) == 2
    assert "It serves resnet20, " in capsys.readouterr().err


@pytest.mark.triton
def test_a_reader_that_leaves_is_no_error(url: str, pictures: Pictures) -> None:
    process = subprocess.Popen(
        [*COMMAND, str(pictures.folder), "--url", url, "--model", "resnet20"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(PATIENCE_S) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


def test_nothing_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        for options in ([], ["--model", "resnet50"]):
            arguments = [str(tmp_path / "any.png"), "--url", address, "--timeout", "0.5"]
            assert main([*arguments, *options]) == 4
            note, error = capsys.readouterr().err.splitlines()
            assert note == f"note: no server answers at {address}; trying again for up to 0.5 s"
            assert error == (
                f"error: no server answers at {address}. Start it with: resnet-serve up"
            )


def test_ctrl_c_does_not_wait_for_the_server(tmp_path: Path) -> None:
    image_files.write(tmp_path, {"one": image_files.saved(image_files.photograph(), "PNG")})
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = subprocess.Popen(
            [*COMMAND, str(tmp_path), "--url", f"127.0.0.1:{silent.getsockname()[1]}"],
            stderr=subprocess.PIPE,
        )
        silent.settimeout(PATIENCE_S)
        connection, _ = silent.accept()
        with connection:
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert said == b"error: interrupted\n"


@pytest.mark.parametrize("verbosity", [None, "INFO"])
def test_a_handshake_that_fails_is_said_once_unless_grpc_is_to_speak_too(
    tmp_path: Path, verbosity: str | None
) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    environment = {name: text for name, text in os.environ.items() if name != VERBOSITY}
    server = start(Reluctant())
    done = subprocess.run(
        [*COMMAND, str(tmp_path / "a.png"), "--url", server.url, "--model", "net", "--tls"],
        env=environment | ({} if verbosity is None else {VERBOSITY: verbosity}),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    server.stop()
    assert done.returncode == 4
    *others, said = done.stderr.splitlines()
    assert "does not speak TLS" in said
    assert bool(others) is (verbosity is not None)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "there is nothing to classify"),
        (["a.png", "--top", "0"], "'0' is not a whole number above 0"),
        (["a.png", "--timeout", "nan"], "'nan' is not a number of seconds above 0"),
        (["a.png", "--timeout", "inf"], "'inf' is not a number of seconds"),
        (["a.png", "--decode", "gpu"], "invalid choice: 'gpu'"),
        (["a.png", "--url", "http://localhost:8000"], "is not an address. Give host:port"),
        (["-", "-"], "can be given once"),
    ],
)
def test_usage_is_explained(
    arguments: list[str],
    reason: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    printed = capsys.readouterr()
    assert reason in printed.err
    assert printed.out == ""


def test_help_names_every_option() -> None:
    done = run("--help")
    assert done.returncode == 0
    for option in ("--url", "--model", "--top", "--decode", "--json", "--timeout", "RESNET_MODEL"):
        assert option in done.stdout.decode()


def test_only_a_folder_without_images_needs_no_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), "--url", "127.0.0.1:1"]) == 5
    assert capsys.readouterr().err == f"error: {tmp_path}: contains no images\n"


def test_the_client_needs_little() -> None:
    """Of resnet-serve it imports four parts, of others its three packages."""
    code = (
        "import sys, resnet_client.command.program\n"
        "packages = ('resnet_serve', 'resnet_convert')\n"
        "ours = sorted({'.'.join(name.split('.')[:2]) for name in sys.modules\n"
        "               if name.startswith(packages)})\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'typer', 'rich', 'pydantic'}\n"
        "heavy = sorted(heavy & set(sys.modules))\n"
        "print(ours, heavy)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == (
        "['resnet_serve', 'resnet_serve.activation', 'resnet_serve.errors', "
        "'resnet_serve.host', 'resnet_serve.preprocessing'] []"
    )


def test_importing_the_package_imports_nothing_heavy() -> None:
    """Programs import it at their top, and their commands may need it or not."""
    code = (
        "import sys, resnet_client\n"
        "heavy = {'numpy', 'PIL', 'grpc', 'tritonclient', 'google', 'asyncio', 'concurrent'}\n"
        "print(sorted(heavy & set(sys.modules)), sorted(\n"
        "    name for name in sys.modules if name.startswith('resnet')))\n"
        "print(all(hasattr(resnet_client, name) for name in resnet_client.__all__))\n"
        "print(set(resnet_client.__all__) <= set(dir(resnet_client)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[] ['resnet_client']", "True", "True"]
