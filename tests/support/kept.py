"""Folders that tests make once and keep in pytest's cache directory, such as downloaded wheels.

folder = kept(ROOT / ".pytest_cache" / "tensorrt-rtx", "1.7.1.116", install)
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from resnet_serve import durable

ROOT = Path(__file__).resolve().parents[2]
_TIMEOUT_S = 240


class NotAvailableError(Exception):
    """What tests need is not there: a failure, since skipped tests would prove nothing."""


def kept(cache: Path, name: str, make: Callable[[Path], None]) -> Path:
    """`cache/name`, renamed when it is complete, so that other test processes see all or none."""
    target = cache / name
    cache.mkdir(parents=True, exist_ok=True)
    with durable.locked(cache):
        if not target.is_dir():
            with tempfile.TemporaryDirectory(dir=cache) as aside:
                made = Path(aside) / name
                made.mkdir()
                make(made)
                made.rename(target)
    return target


def install(folder: Path, *wheels: str) -> None:
    """Let pip install these wheels alone into a folder; raises `NotAvailableError`."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
    pip += ["--disable-pip-version-check", "--no-input", "--target", str(folder)]
    named = "the wheel" if len(wheels) == 1 else "the wheels"
    output([*pip, *wheels], f"install {named} {' and '.join(wheels)} (with pip)")


def output(command: list[str], purpose: str, environment: dict[str, str] | None = None) -> str:
    """What a command prints; `NotAvailableError` with its last words if it fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=_TIMEOUT_S, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise NotAvailableError(f"cannot {purpose} within {_TIMEOUT_S} s") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines() or ["no reason given"]
        raise NotAvailableError(f"cannot {purpose}: {said[-1]}") from error
    return done.stdout
