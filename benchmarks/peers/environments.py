"""A virtual environment per peer, in the user's cache: made once, used while its list is the same.

Nothing that a peer needs comes into the environment of this process.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Protocol

from resnet_serve.errors import HostError
from resnet_serve.user_cache import user_cache

STAMP = "requirements.txt"


class Installed(Protocol):
    """What has an environment: a server or a converter. Without requirements it is this one."""

    @property
    def home(self) -> str:
        """The name of its folder."""
        ...

    @property
    def title(self) -> str:
        """Its name in texts."""
        ...

    @property
    def requirements(self) -> tuple[str, ...]:
        """What pip installs."""
        ...


def folder() -> Path:
    """Where the environments are."""
    return user_cache() / "peers"


def python_of(peer: Installed) -> Path:
    """The Python of the peer's environment; ours is this one."""
    return folder() / peer.home / "bin" / "python" if peer.requirements else Path(sys.executable)


def ready(peer: Installed) -> bool:
    """Whether its environment was made from the list that it has now."""
    stamp = folder() / peer.home / STAMP
    wanted = "\n".join(peer.requirements)
    return not wanted or (stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted)


def make(peer: Installed, timeout_s: float = 900) -> float:
    """Make its environment unless it is there; seconds that it took.

    Raises `HostError` with pip's last words where it cannot be installed.
    """
    began = time.perf_counter()
    if not ready(peer):
        place = folder() / peer.home
        place.parent.mkdir(parents=True, exist_ok=True)
        _run([sys.executable, "-m", "venv", "--clear", str(place)], peer, timeout_s)
        pip = [str(python_of(peer)), "-m", "pip", "install", "--quiet", *peer.requirements]
        _run(pip, peer, timeout_s)
        (place / STAMP).write_text("\n".join(peer.requirements), encoding="utf-8")
    return time.perf_counter() - began


def size_mb(peer: Installed) -> float:
    """What its environment takes on the disk, in MB."""
    if not peer.requirements:
        return 0.0
    place = folder() / peer.home
    return sum(path.lstat().st_size for path in place.rglob("*") if path.is_file()) / 1e6


def _run(command: list[str], peer: Installed, timeout_s: float) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise HostError(f"{peer.title} was not installed in {timeout_s:.0f} s") from error
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).strip().splitlines()[-2:])
        raise HostError(f"{peer.title} cannot be installed: {said}")
