"""The demo's engine for RTX GPUs: TensorRT-RTX is downloaded once, and builds it here."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

from resnet_serve.user_cache import user_cache


def packages(say: Callable[[str], None]) -> Path | None:
    """The folder with TensorRT-RTX, downloaded once; None, and `say` why, where it cannot be.

    It is an extra of its own, under NVIDIA's licence, and kept out of this environment.
    """
    folder = user_cache() / f"tensorrt-rtx-{sys.implementation.cache_tag}"
    if folder.is_dir():
        return folder
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        say("skipped: TensorRT-RTX has packages for Linux on x86-64 only")
        return None
    project = Path(__file__).parents[1] / "pyproject.toml"
    extras = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    say(f"downloading TensorRT-RTX, 147 MB, once, to {folder}")
    aside = folder.with_suffix(".part")
    shutil.rmtree(aside, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(aside)]
    done = subprocess.run([*pip, *extras["tensorrt-rtx"]], check=False)
    if done.returncode != 0:
        say("skipped: TensorRT-RTX could not be downloaded")
        return None
    aside.rename(folder)
    return folder


def build(
    command: Callable[[str, Mapping[str, str]], None], say: Callable[[str], None], repository: Path
) -> None:
    """Build a real engine on this machine into `repository`, and say what it is and is not."""
    environment = dict(os.environ)
    if find_spec("tensorrt_rtx_bindings") is None:
        folder = packages(say)
        if folder is None:
            return
        known = [environment[name] for name in ("PYTHONPATH",) if environment.get(name)]
        environment["PYTHONPATH"] = os.pathsep.join([str(folder), *known])
    command(
        "resnet-convert --arch resnet20 --weights digits --target tensorrt-rtx --for rtx-4090,l4 "
        f"--validation digits --validation-images 100 --name digits_rtx --repository {repository}",
        environment,
    )
    say(
        "A real engine, made by NVIDIA's parser and builder on this machine. It has not run: that "
        "takes one of its GPUs, and nothing is known of its speed."
    )
