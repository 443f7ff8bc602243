"""Soak: whether the memory of a server grows with its requests, and with changes of its version.

    python benchmarks/soak.py --requests 3000 --rounds 10

Mixed requests go to a tiny model: image files and pixels, single and in batches, large images, and
files that are no images. Then its version changes back and forth. The memory is the proportional
set size (PSS) of tritonserver and of its backend processes, from /proc/PID/smaps_rollup, sampled
every --every requests and after each change. The slope is of least squares over the later three
quarters, ± two standard errors; samples that follow each other are not independent, so that the
true error is somewhat larger. Results go to benchmarks/results/ with the date and the hardware.
"""

from __future__ import annotations

import argparse
import collections
import io
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from chaos_clients import MODEL, WAYS
from PIL import Image
from recorded import in_words, record

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))

import versioned

from resnet_client import Classifier, ClientError
from resnet_serve import Server
from resnet_serve.parity import pressure
from resnet_serve.triton import rollout
from resnet_serve.triton.repository import Repository, changes
from resnet_serve.triton.supervision.health.stubs import children, stub_of

Row: TypeAlias = dict[str, object]
WARMED = 0.25  # of the samples, before the slope is taken
LARGE = (1600, 1200)
UNLOADED_S = 60.0  # longest wait for the processes of unloaded models; a sample counts the rest
REQUESTS, CHANGES = "requests", "changes of the version"


def pss_mib(pid: int) -> float:
    """The proportional set size of a process in MiB; 0 for one that has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0.0
    line = next(line for line in text.splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) / 1024


def sample(phase: str, done: int, server_pid: int) -> Row:
    """The memory now, of the server and of all its backend processes."""
    stubs = stubs_of(server_pid)
    return {
        "phase": phase,
        "done": done,
        "server_mib": round(pss_mib(server_pid), 2),
        "stubs_mib": round(sum(map(pss_mib, stubs)), 2),
        "stubs": len(stubs),
    }


def stubs_of(server_pid: int) -> list[int]:
    """The backend processes of a server."""
    return [pid for pid in children(server_pid) if stub_of(pid) is not None]


def slope(done: Sequence[float], mib: Sequence[float]) -> tuple[float, float]:
    """Least squares: MiB per unit of `done`, and twice its standard error.

    Raises `ValueError` for fewer than four samples.
    """
    if len(done) < 4:
        raise ValueError(f"{len(done)} samples give no slope with an error")
    fitted, covariance = np.polyfit(done, mib, 1, cov=True)
    return float(fitted[0]), 2 * float(np.sqrt(covariance[0, 0]))


class Mixed:
    """Requests of every kind to one server, in random order; counts what became of them."""

    def __init__(self, url: str, seed: int) -> None:
        self.outcomes: collections.Counter[str] = collections.Counter()
        self._choose = random.Random(seed)  # noqa: S311 - which request
        self._files, self._pixels = (Classifier(url, MODEL, decode=way) for way in WAYS)
        self._small = [versioned.image(level) for level in versioned.COLOURS]
        self._large = photograph(seed)
        self._kinds: dict[Callable[[], object], int] = {
            self._one_file: 4,
            self._one_of_pixels: 4,
            self._batch_of_files: 2,
            self._batch_of_pixels: 2,
            self._no_image: 1,
            self._large_file: 1,
        }

    def send(self) -> None:
        """One request."""
        (kind,) = self._choose.choices(list(self._kinds), list(self._kinds.values()))
        try:
            kind()
        except ClientError as error:
            self.outcomes[type(error).__name__] += 1
        else:
            self.outcomes["answered"] += 1

    def close(self) -> None:
        """Close the connections."""
        self._files.close()
        self._pixels.close()

    def _one_file(self) -> object:
        return self._files.classify(self._choose.choice(self._small))

    def _one_of_pixels(self) -> object:
        return self._pixels.classify(self._choose.choice(self._small))

    def _batch_of_files(self) -> object:
        return list(self._files.classify_many(self._choose.choices(self._small, k=4)))

    def _batch_of_pixels(self) -> object:
        return list(self._pixels.classify_many(self._choose.choices(self._small, k=4)))

    def _no_image(self) -> object:
        return self._files.classify(self._small[0][: self._choose.randrange(1, 60)])

    def _large_file(self) -> object:
        return self._files.classify(self._large)


def photograph(seed: int) -> bytes:
    """A JPEG of noise of `LARGE`."""
    noise = np.random.default_rng(seed).integers(0, 256, (LARGE[1], LARGE[0], 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "JPEG")
    return file.getvalue()


def change_version(server: Server, repository: Repository) -> None:
    """Serve the other version; returns when what was loaded for it is unloaded."""
    served = next(each.version for each in repository.deployed() if each.served)
    change = changes.promote(repository.deployed(), MODEL, 3 - served)
    pid = server.status.server_pid
    before, until = len(stubs_of(pid)), time.monotonic() + UNLOADED_S
    rollout.serve(server, repository, change, lambda _: None, drain_s=0)
    while len(stubs_of(pid)) > before and time.monotonic() < until:
        time.sleep(0.1)  # Triton ends the processes of what it unloads by and by


def soak(folder: Path, wanted: int, every: int, rounds: int, seed: int) -> tuple[list[Row], object]:
    """The samples of both phases, and what became of the requests."""
    repository = Repository(folder / "models")
    versioned.deploy(repository)
    versioned.deploy(repository, serve=False)
    rows = []
    with Server(repository.path, port=0) as server:
        mixed = Mixed(server.grpc, seed)
        for done in range(1, wanted + 1):
            mixed.send()
            if done % every == 0:
                rows.append(sample(REQUESTS, done, server.status.server_pid))
        for done in range(1, rounds + 1):
            change_version(server, repository)
            mixed.send()
            rows.append(sample(CHANGES, done, server.status.server_pid))
            print(in_words(rows[-1]), flush=True)
        mixed.close()
    return rows, dict(mixed.outcomes)


def slopes(rows: Sequence[Row]) -> dict[str, object]:
    """Of each phase: how many, and the slope of the server and of its backend processes."""
    found: dict[str, object] = {}
    for phase in (REQUESTS, CHANGES):
        of = [each for each in rows if each["phase"] == phase]
        later = of[round(WARMED * len(of)) :]
        done = [float(str(each["done"])) for each in later]
        about: dict[str, object] = {"done": of[-1]["done"] if of else 0}
        for part in ("server_mib", "stubs_mib"):
            if len(later) < 4:
                continue
            mib = [float(str(each[part])) for each in later]
            per, error = slope(done, mib)
            about[part] = {
                "first": mib[0],
                "last": mib[-1],
                "per_1000": round(1000 * per, 3),
                "two_standard_errors": round(1000 * error, 3),
            }
        found[phase] = about
    return found


def main() -> None:
    """Serve, send, change, and print the slopes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=25000)
    parser.add_argument("--every", type=int, default=50, help="requests between two samples")
    parser.add_argument("--rounds", type=int, default=100, help="changes of the version")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    pressed = pressure.lately()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        rows, outcomes = soak(
            Path(folder), chosen.requests, chosen.every, chosen.rounds, chosen.seed
        )
    facts = {
        "what": "memory (PSS) of server and backend processes over mixed requests, and over "
        "changes of the version; pages that other servers of the host share count less",
        "tasks_waited_for_a_cpu_before": pressed,
        "outcomes": outcomes,
        "mib": slopes(rows),
    }
    for name, value in facts.items():
        print(f"{name:30} {value}")
    record("soak", rows, facts)


if __name__ == "__main__":
    main()
