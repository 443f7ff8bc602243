"""Every command in the README and in docs/ is executed, in order, as a reader would.

In this process, but for the server and `make`; latencies are timed for a moment only, reports have
no figures, and there are fewer digits.
"""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import in_process
import numpy as np
import pytest
import typer
from PIL import Image
from quick import few_digits, quicken
from web_servers import Command

from resnet_client.command import options
from resnet_serve.datasets.digits import Digits
from resnet_serve.runtimes import onnxruntime_cuda
from resnet_serve.triton.server import running, stop_detached

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(document: Path, language: str) -> list[str]:
    pattern = rf"^```{language}\n(.*?)^```"
    return re.findall(pattern, document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands(document: Path) -> list[str]:
    lines = "".join(blocks(document, "console")).splitlines()
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


def files(document: Path) -> list[tuple[str, str]]:
    """Blocks whose first line names a file: ```python networks.py"""
    pattern = r"^```\w+ (\S+)\n(.*?)^```"
    return re.findall(pattern, document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def with_commands() -> list[Path]:
    return [document for document in DOCUMENTS if commands(document)]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A reader's working directory, with the image the documents speak of.

    What is detached there is stopped while its state can still be found.
    """
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    exported = Digits(held_out=True).export(tmp_path / "digits", 1)
    exported[0].rename(tmp_path / "digit.png")
    yield tmp_path
    stop_detached(tmp_path / "model_repository")


def run(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """A process of its own."""
    environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    return subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, timeout=840, check=False
    )


def test_where_the_image_of_the_commands_is_from() -> None:
    """Who copies a command has the image, too."""
    image = ROOT / "examples" / "digit.png"
    with Image.open(image) as opened:
        assert np.array_equal(opened.convert("RGB"), Digits(held_out=True).image(0))
    using = [each for each in DOCUMENTS if "digit.png" in each.read_text(encoding="utf-8")]
    assert len(using) > 5
    for document in using:
        text = document.read_text(encoding="utf-8")
        assert "cp examples/digit.png ." in text or "clients.md#an-image-to-try" in text, document


@pytest.mark.triton
@pytest.mark.perf_analyzer
@pytest.mark.parametrize("document", with_commands(), ids=lambda path: path.name)
def test_every_command_works(
    document: Path,
    desk: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    quicken(monkeypatch, cores=None)
    few_digits(monkeypatch)
    started = list[Command]()
    for name, content in files(document):
        (desk / name).write_text(content, encoding="utf-8")
        # Another test of this process may have imported a module of the same name.
        monkeypatch.delitem(sys.modules, Path(name).stem, raising=False)
    for line in commands(document):
        program, *arguments = shlex.split(line)
        if arguments[-1] == "&":  # the one command that does not end
            assert (program, *arguments) == ("resnet-serve", "web", "&")
            started.append(Command(desk))
            request.addfinalizer(started[-1].stop)
            continue
        if program == "make":  # the suite itself runs inside it; its recipe must exist
            done = run(["make", "--directory", str(ROOT), "--dry-run", *arguments], desk)
        elif program == "curl":
            page = started[-1].page
            words = [each.replace("http://127.0.0.1:8080/", page) for each in arguments]
            done = run([program, "--silent", *words], desk)
        else:
            # The documents speak of the default ports; tests run beside each other, on free ones.
            if arguments[0] == "up":
                arguments += ["--port", "0"]
            if program == "resnet-classify":
                arguments += ["--url", served_at(desk)]
            if program == "resnet-serve" and arguments[0] == "up":
                done = run([sys.executable, "-m", in_process.MODULES[program], *arguments], desk)
            else:
                done = in_process.command(program, arguments, capsys, desk)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("document", "line"),
    [
        pytest.param(document, line, id=f"{document.name}: {line}")
        for document in DOCUMENTS
        for line in "".join(blocks(document, "sh")).splitlines()
    ],
)
def test_every_command_for_a_gpu_host_can_be_typed(document: Path, line: str) -> None:
    """They cannot run here; but their programs, options and files must exist."""
    program, *arguments = shlex.split(line)
    if program == "docker":
        stages = re.findall(r"--target (\S+)", line)
        text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
        assert all(f" AS {stage}\n" in text for stage in stages)
        if "build-plan" not in arguments:
            return
        program, arguments = "resnet-convert", arguments[arguments.index("build-plan") :]
    if line in onnxruntime_cuda.INSTALL.split(" && "):  # what the errors and the doctor say too
        return
    if program == "pip":
        extras = re.search(r"\.\[([\w,-]+)\]", line)
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        assert extras is not None
        assert set(extras[1].split(",")) <= set(project["optional-dependencies"])
        return
    if program == "resnet-classify":
        options.parser().parse_args(arguments)
        return
    group = typer.main.get_command(importlib.import_module(in_process.APPS[program]).app)
    with group.make_context(program, list(arguments)) as context:
        if context._protected_args or context.args:
            name, command, rest = group.resolve_command(
                context, [*context._protected_args, *context.args]
            )
            with command.make_context(name, rest, parent=context):
                pass


def served_at(folder: Path) -> str:
    found = running(folder / "model_repository")
    assert found is not None
    return found.grpc


@pytest.mark.triton
def test_the_readmes_python_runs(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "".join(blocks(ROOT / "README.md", "python"))
    assert "Classifier" in code
    quicken(monkeypatch, cores=None)
    few_digits(monkeypatch)
    monkeypatch.setenv("XDG_STATE_HOME", str(desk / "state"))
    monkeypatch.chdir(desk)
    (desk / "readme.py").write_text(code, encoding="utf-8")
    done = in_process.script(desk / "readme.py", [], capsys)
    assert done.returncode == 0, done.stderr
    assert "Prediction" in done.stdout


def test_the_readme_has_two_commands_for_a_fresh_machine() -> None:
    makes = [line for line in commands(ROOT / "README.md") if line.startswith("make")]
    assert makes == ["make demo", "make test"]


def test_the_documents_links_lead_somewhere() -> None:
    for document in DOCUMENTS:
        for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / link).exists(), f"{document.name}: {link}"


def test_ci_calls_make_test_and_nothing_else() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    work = [line for line in lines if line and not line.startswith(("#", "set "))]
    assert work == ["exec make test"]


def test_the_workflow_runs_targets_of_the_makefile_and_nothing_else() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    runs = re.findall(r"run: (.+)", workflow)
    assert [line.partition(" ")[0] for line in runs] == ["make"] * len(runs) != []
    for line in runs:
        assert re.search(rf"^{line.removeprefix('make ')}:", makefile, re.MULTILINE), line
