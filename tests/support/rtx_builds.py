"""Builds with the real TensorRT-RTX through `engine.build`, in a child process.

    outcomes = built([Job(model), Job(model, options={"workspace_mib": 1})])

Run as a program it reads the jobs from stdin, builds them one after another, and writes what came
of each; `--interrupted` builds one slowly, says so, and waits for Ctrl-C.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from resnet_convert.tensorrt.build_options import BuildOptions
from resnet_convert.tensorrt.engine import Engine, build
from resnet_serve.errors import ResnetServeError
from resnet_serve.runtimes.profiles import Profile
from resnet_serve.runtimes.tensorrt_flavours import TENSORRT_RTX
from resnet_serve.runtimes.tensorrt_log import Log

INTERRUPTED = "--interrupted"


@dataclass(frozen=True)
class Job:
    """One build. `flavour` changes fields of the row; `beside` keeps another builder alive."""

    model: bytes
    targets: tuple[str, ...] = ("8.6", "8.9", "12.0")
    profiles: tuple[str, ...] = ("1:4:8",)
    options: dict[str, Any] = field(default_factory=dict)
    flavour: dict[str, Any] = field(default_factory=dict)
    beside: bool = False


@dataclass(frozen=True)
class Outcome:
    """The plan's facts, or the error; `progress` as reported, `warnings` those of Python."""

    plan: bytes = b""
    version: str = ""
    built_for: str = ""
    layers: str = ""
    timing_cache_sha256: str | None = None
    error: str = ""
    kind: str = ""
    exit_code: int = 0
    progress: tuple[tuple[int, int], ...] = ()
    warnings: tuple[str, ...] = ()


def built(jobs: Sequence[Job]) -> list[Outcome]:
    """What became of the jobs, in one child process; called by tests."""
    from rtx import environment

    done = subprocess.run(
        [sys.executable, __file__],
        input=pickle.dumps(list(jobs)),
        capture_output=True,
        env=environment(),
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    outcomes: list[Outcome] = pickle.loads(done.stdout)
    return outcomes


def started(job: Job) -> subprocess.Popen[str]:
    """A child that builds the job slowly and prints a line at its first progress."""
    from rtx import environment

    child = subprocess.Popen(
        [sys.executable, __file__, INTERRUPTED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert child.stdin is not None
    child.stdin.write(pickle.dumps(job).hex() + "\n")
    child.stdin.flush()
    return child


def _build(job: Job, progress: Any) -> Engine:
    options = BuildOptions(tuple(map(Profile.parse, job.profiles)), **job.options)
    flavour = replace(TENSORRT_RTX, **job.flavour)
    return build(job.model, options, job.targets, flavour=flavour, progress=progress)


def _outcome(job: Job) -> Outcome:
    steps: list[tuple[int, int]] = []
    kept = [TENSORRT_RTX.library().Builder(Log(TENSORRT_RTX).logger)] if job.beside else []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            made = _build(job, lambda done, total: steps.append((done, total)))
        except ResnetServeError as error:
            kind = type(error).__name__
            return Outcome(error=str(error), kind=kind, exit_code=error.exit_code)
        finally:
            del kept
    return Outcome(
        plan=made.plan,
        version=made.version,
        built_for=made.built_for,
        layers=made.layers,
        timing_cache_sha256=made.timing_cache_sha256,
        progress=tuple(steps),
        warnings=tuple(str(each.message) for each in caught),
    )


def _interrupted() -> None:
    job = pickle.loads(bytes.fromhex(sys.stdin.readline()))

    def slowly(done: int, total: int) -> None:
        print(f"{done} of {total}", flush=True)
        time.sleep(0.2)

    try:
        _build(job, slowly)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    else:
        print("built", flush=True)


if __name__ == "__main__":
    if INTERRUPTED in sys.argv:
        _interrupted()
    else:
        found = [_outcome(job) for job in pickle.load(sys.stdin.buffer)]
        # Classes of this module as the parent knows them, not of __main__.
        import rtx_builds

        pickle.dump([rtx_builds.Outcome(**vars(each)) for each in found], sys.stdout.buffer)
