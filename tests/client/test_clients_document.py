"""docs/clients.md: every block, against the real server, with the program it needs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from node_client import install
from patience import PATIENCE_S
from served_digits import Pictures
from source_tree import ROOT

from resnet_serve.triton.server import Server

pytestmark = pytest.mark.triton

TEXT = (ROOT / "docs/clients.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^## (\w[\w -]*)$|^```(\w+)[^\n]*\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def sections() -> list[tuple[str, str, str]]:
    """Every block: its section, its language, and its text."""
    found, section = [], ""
    for heading, language, code in BLOCKS:
        section = heading or section
        if language:
            found.append((section, language, code))
    return found


@pytest.fixture
def desk(server: Server, pictures: Pictures, tmp_path: Path) -> Path:
    """A reader's folder, with the image and the protocol that the page speaks of."""
    shutil.copy(pictures.paths[0], tmp_path / "digit.png")
    (tmp_path / "clients").symlink_to(ROOT / "clients")
    commands = tmp_path / "commands"
    commands.mkdir()
    classify = commands / "resnet-classify"
    classify.write_text(f'#!/bin/sh\nexec {sys.executable} -m resnet_client.cli "$@"\n')
    classify.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    ("section", "language", "code"),
    [pytest.param(*each, id=f"{each[0]}-{number}") for number, each in enumerate(sections())],
)
def test_a_block_works(
    server: Server,
    pictures: Pictures,
    desk: Path,
    pytestconfig: pytest.Config,
    section: str,
    language: str,
    code: str,
) -> None:
    """The page speaks of the default ports and of a model `digits`."""
    code = code.replace("127.0.0.1:8000", server.http).replace("127.0.0.1:8001", server.grpc)
    code = code.replace("digits_image", "resnet20_image").replace('"digits"', '"resnet20"')
    code = code.replace("--model digits", "--model resnet20")
    code = code.replace('running("models").endpoints.key', repr(server.endpoints.key))
    program = {"bash": "bash", "js": "node", "java": "java", "go": "go"}.get(language)
    program = "grpcurl" if section == "grpcurl" else program
    if program is not None and shutil.which(program) is None:
        pytest.skip(f"no {program} here")
    folder = desk
    if language == "bash":
        words = ["bash", "-euo", "pipefail", "-c", code]
    elif language == "python":
        words = [sys.executable, "-c", code]
    elif language == "js":
        folder = install(pytestconfig)
        shutil.copy(desk / "digit.png", folder)
        (folder / "page.js").write_text(code)
        words = ["node", "page.js"]
    else:
        name = {"java": "Classify.java", "go": "classify.go"}[language]
        (desk / name).write_text(code)
        words = ["java", name] if language == "java" else ["go", "run", name]
    done = subprocess.run(
        words,
        cwd=folder,
        env={**os.environ, "PATH": f"{desk / 'commands'}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    label = pictures.labels[0]
    if "logits.bin" in code:
        answer = (desk / "logits.bin").read_bytes()
        logits = np.frombuffer(answer[-40:], np.float32)
        assert str(int(logits.argmax())) == label
    else:
        assert re.search(rf"(:{label}\b|\b{label}:|['\" ]{label}\b)", done.stdout), done.stdout
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr  # shared memory that is not used
    if "--resume" in code:
        assert len((desk / "results.jsonl").read_text().splitlines()) == 1


def test_the_page_has_every_client() -> None:
    assert [section for section, *_ in dict.fromkeys(sections())] == [
        "Python",
        "Python",
        "Python",
        "resnet-classify",
        "curl",
        "curl",
        "grpcurl",
        "tritonclient",
        "Node",
        "Java and Go",
        "Java and Go",
    ]
