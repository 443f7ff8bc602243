"""What several test modules need: hypothesis' settings, one thread, small disks, not being root."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import this_run
from hypothesis import HealthCheck, settings

# PyTorch's idle threads sleep instead of spinning: on a busy machine spinning takes the cores from
# the threads that are waited for. Read once, when PyTorch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Where no bytecode is kept, as in many containers, each process would compile all of our modules.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Workers beside each other have a core each: threads that wait for each other would take from both.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell starts background jobs with Ctrl-C ignored, and the programs under test inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "resnet-serve",
    deadline=None,  # a loaded machine is not a failure
    max_examples=60,
    derandomize=True,  # the same examples in every run: what fails then is what was changed
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("resnet-serve")
# Looks for new ones, see CONTRIBUTING.md.
settings.register_profile(
    "search", settings.get_profile("resnet-serve"), derandomize=False, max_examples=2000
)

NOBODY = 65534
# Tests that use one of these convert whole networks, or run mypy over many files.
SLOW_FIXTURES = {
    *("small", "convert_digits", "conversions", "call", "start"),
    *("family", "narrow", "_folded_digits", "checked"),
}
# Minutes in one test, or waiting for servers: first, so that no worker has them left at the end.
FIRST = ("test_demo.py", "test_documents.py", "test_cifar10_gate.py", "test_deep.py")
SHOWN_FILES = 10
WORKERS = "PYTEST_XDIST_WORKER_COUNT"


def pytest_configure(config: pytest.Config) -> None:
    """A folder for all workers of this run, for what one of them has made (`this_run.py`)."""
    if this_run.FOLDER not in os.environ:
        folder = tempfile.mkdtemp(prefix="resnet-serve-tests-")
        os.environ[this_run.FOLDER] = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Each worker begins a folder elsewhere: what one has read and rewritten, the others load."""
    report = yield
    if isinstance(collector, pytest.Dir) and WORKERS in os.environ and report.result:
        number = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
        first = len(report.result) * number // int(os.environ[WORKERS])
        report.result = [*report.result[first:], *report.result[:first]]
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what uses a slow fixture, so that `make check` leaves it out; longest first."""
    if WORKERS in os.environ:
        items.sort(key=lambda item: item.path)  # the same order in each of them
    for item in items:
        if SLOW_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("slow")
    items.sort(key=lambda item: item.path.name not in FIRST)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Nothing of what is imported and collected becomes garbage: the collector does not look."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """What has been imported until now stays, and needs no look by the garbage collector; the rest
    is looked at after more allocations than usual, of which a traced network makes many.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The files that took longest, of all workers together, when the whole suite has run."""
    seconds: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.nodeid.partition("::")[0]] += report.duration
    if len(seconds) > SHOWN_FILES:
        terminalreporter.section(f"the {SHOWN_FILES} slowest of {len(seconds)} files, in seconds")
        for path, taken in seconds.most_common(SHOWN_FILES):
            terminalreporter.write_line(f"{taken:7.1f}  {path}")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: of small networks, threads that wait for each other take the time."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    yield from _mounted(tmp_path / "small", "size=64k")


@pytest.fixture
def read_only_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that is mounted read-only, which stops root too."""
    yield from _mounted(tmp_path / "read-only", "size=64k,ro")


def _mounted(place: Path, options: str) -> Iterator[Path]:
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"mounting is not allowed here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every user can reach and write to; pytest's own are its user's alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder


@pytest.fixture
def as_nobody() -> Callable[[], AbstractContextManager[None]]:
    """`with as_nobody():` gives up root, which no permission stops, for the block."""

    @contextlib.contextmanager
    def unprivileged() -> Iterator[None]:
        user = os.geteuid()
        if user == 0:
            os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(user)

    return unprivileged
