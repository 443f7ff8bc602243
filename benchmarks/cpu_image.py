"""Whether the container for CPUs builds, serves, is healthy, and drains: as `make image-test`.

    make image-test
    python benchmarks/cpu_image.py --base python:3.11-slim-bookworm

buildah builds the `cpu` stage of the Dockerfile without an engine, isolated by chroot; its
processes are in no namespaces of their own. Without --base, the base is a minimal Debian 12 that
debootstrap installs, with this host's certificate authorities. A network trained on the digits is
converted here, and served there as user 1000 from read-only volumes. Needs root, and Debian's
`buildah` and `debootstrap`. Results go to benchmarks/results/ with the date and the hardware.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recorded import record

from resnet_client import Classifier, ClientError
from resnet_convert import convert
from resnet_serve.datasets.synthetic import SyntheticImages
from resnet_serve.triton.supervision.health.stubs import children

ROOT = Path(__file__).parent.parent
DEBIAN = "bookworm"
PACKAGES = "python3,python3-venv,libpython3.11,ca-certificates"
AUTHORITIES = "etc/ssl/certs/ca-certificates.crt"
IMAGE = "localhost/resnet-serve-cpu"
IN_FLIGHT = 6  # fewer than the queue's bound
READY_S = 120


def main() -> int:
    """Build, serve, ask, drain; 0 where all of it held."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--base", help="the image with Python, by default a minimal Debian")
    parser.add_argument("--port", type=int, default=18000)
    options = parser.parse_args()
    missing = [name for name in ("buildah", "debootstrap") if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        print(f"needs root, and: apt install {' '.join(missing)}".rstrip(": "), file=sys.stderr)
        return 4
    os.environ |= {"STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}
    with tempfile.TemporaryDirectory() as folder:
        base = options.base or debian(Path(folder) / "debian")
        began = time.monotonic()
        buildah("bud", "--format", "docker", "--target", "cpu",
                "--build-arg", f"PYTHON_IMAGE={base}", "--tag", IMAGE, str(ROOT))  # fmt: skip
        row: dict[str, object] = {"base": base, "build_s": round(time.monotonic() - began, 1)}
        row |= served(converted(Path(folder)), options.port)
    for name, value in row.items():
        print(f"{name:24}{value}")
    record("cpu-image", [row], {"what": "the `cpu` stage of the Dockerfile, built and served"})
    return 0 if held(row) else 1


def held(row: dict[str, object]) -> bool:
    """Whether it did what it should."""
    wanted = {
        "user": 1000,
        "health": 0,
        "verify": 0,
        "answered_while_ending": IN_FLIGHT,
        "exit_code": 0,
        "health_when_down": 1,
    }
    return all(row[key] == value for key, value in wanted.items())


def buildah(*words: str) -> str:
    """The output of a command; its own errors go to this one's."""
    return subprocess.run(
        ["buildah", *words],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.strip()


def debian(folder: Path) -> str:
    """A base image with Debian's Python."""
    subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", DEBIAN, str(folder)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    # A network may have an authority of its own, which pip's bundle does not know.
    shutil.copy(Path("/") / AUTHORITIES, folder / AUTHORITIES)
    name = f"localhost/debian-{DEBIAN}-python"
    container = buildah("from", "scratch")
    try:
        buildah("copy", "--quiet", container, str(folder), "/")
        path = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        buildah("config", "--env", f"PIP_CERT=/{AUTHORITIES}", "--env", f"PATH={path}", container)
        buildah("commit", "--quiet", container, name)
    finally:
        buildah("rm", container)
    return name


def converted(folder: Path) -> Path:
    """A repository with a network that was trained on the digits, and has its labels."""
    repository = folder / "model_repository"
    convert(arch="resnet20", weights="digits", precision="fp32", target="onnxruntime",
            validation="digits", name="digits", repository=repository)  # fmt: skip
    folder.chmod(0o755)
    return repository


def served(repository: Path, port: int) -> dict[str, object]:
    """What the container did with the repository, from its start to its end."""
    container = buildah("from", IMAGE)
    try:
        config = json.loads(buildah("inspect", container))["Docker"]["config"]
        health = ["buildah", "run", container, "--", *config["Healthcheck"]["Test"][1:]]
        with running(container, config, repository, port) as (process, ready_s, pid):
            row: dict[str, object] = {
                "ready_s": round(ready_s, 1),
                "user": Path(f"/proc/{pid}").stat().st_uid,
                "health": subprocess.run(health, check=False).returncode,
                "verify": verified(repository, f"127.0.0.1:{port + 1}"),
            }
            began = time.monotonic()
            row["answered_while_ending"] = in_flight_at(pid, f"127.0.0.1:{port + 1}")
            row["exit_code"] = process.wait(60)
            row["end_s"] = round(time.monotonic() - began, 1)
        row["health_when_down"] = subprocess.run(health, check=False).returncode
        return row
    finally:
        buildah("rm", container)


@contextmanager
def running(
    container: str, config: dict[str, Any], repository: Path, port: int
) -> Iterator[tuple[subprocess.Popen[bytes], float, int]]:
    """The container's own command; how long it took to be ready, and the process of its entry."""
    images = repository.with_name(f"{repository.name}.images")
    command = ["buildah", "run"]
    command += ["--volume", f"{repository}:/models:ro", "--volume", f"{images}:/models.images:ro"]
    command += [container, "--", *config["Entrypoint"], *config["Cmd"], "--port", str(port)]
    began = time.monotonic()
    process = subprocess.Popen(command)
    try:
        with Classifier(f"127.0.0.1:{port + 1}", "digits", decode="server") as classifier:
            classifier.wait_ready(timeout_s=READY_S)
        yield process, time.monotonic() - began, entry(process.pid)
    finally:
        if process.poll() is None:
            os.kill(entry(process.pid), signal.SIGTERM)
            process.wait(60)


def entry(parent: int) -> int:
    """The process that would be the first in a container with its own process namespace."""
    while True:
        if Path(f"/proc/{parent}/cmdline").read_bytes().startswith(b"/opt/resnet-serve/bin/"):
            return parent
        (parent,) = children(parent)


def verified(repository: Path, url: str) -> int:
    """The exit code of `verify`, of images from their files to their labels."""
    command = [sys.executable, "-m", "resnet_serve.cli", "verify", "digits"]
    command += ["--repository", str(repository), "--images", "digits", "--url", url]
    return subprocess.run(command, check=False).returncode


def in_flight_at(pid: int, url: str) -> int:
    """How many large images are answered that were sent before the container had to end."""
    file = io.BytesIO()
    SyntheticImages(1, seed=0).image(0).resize((3000, 3000)).save(file, "jpeg")
    with Classifier(url, "digits", decode="server") as classifier:
        classifier.classify(file.getvalue())

        def answered(_: int) -> bool:
            try:
                return bool(classifier.classify(file.getvalue()))
            except ClientError as error:
                print(error, file=sys.stderr)
                return False

        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            sent = [pool.submit(answered, number) for number in range(IN_FLIGHT)]
            time.sleep(0.5)
            os.kill(pid, signal.SIGTERM)
            return sum(each.result() for each in sent)


if __name__ == "__main__":
    raise SystemExit(main())
