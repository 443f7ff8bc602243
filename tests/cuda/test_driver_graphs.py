"""CUDA graphs over the driver's C functions: a library that stands for libcuda notes the calls.

The stand-in is compiled C, so that what ctypes passes (64-bit handles above all) is really passed.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from resnet_serve.cuda.driver_graphs import DriverGraphs
from resnet_serve.errors import HostError

STREAM = 0x7F12_3456_789A  # above 32 bits
GRAPH, EXECUTABLE = 0x7F00_0000_0010, 0x7F00_0000_0020
SOURCE = """
#include <stdio.h>
#include <string.h>
#define LOG "%(log)s"
static int note(const char *name, void *a, unsigned long long b) {
    FILE *f = fopen(LOG, "a");
    fprintf(f, "%%s %%llx %%llx\\n", name, (unsigned long long)a, b);
    fclose(f);
    return strcmp(name, "%(fails)s") ? 0 : 900;
}
int cuStreamBeginCapture_v2(void *s, int mode) { return note("begin", s, mode); }
int cuStreamEndCapture(void *s, void **g) { *g = (void *)%(graph)#xULL; return note("end", s, 0); }
int cuGraphInstantiateWithFlags(void **e, void *g, unsigned long long flags) {
    *e = (void *)%(executable)#xULL; return note("instantiate", g, flags); }
int cuGraphDestroy(void *g) { return note("destroy graph", g, 0); }
int cuGraphExecDestroy(void *e) { return note("destroy executable", e, 0); }
int cuGetErrorString(int status, const char **text) { *text = "capture not permitted"; return 0; }
"""
LAUNCH = 'int cuGraphLaunch(void *e, void *s) { return note("launch", e, (unsigned long long)s); }'


@pytest.fixture
def driver(tmp_path: Path) -> Callable[..., tuple[DriverGraphs, Callable[[], list[str]]]]:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("needs a C compiler")
    log = tmp_path / "calls"

    def make(fails: str = "", rest: str = LAUNCH) -> tuple[DriverGraphs, Callable[[], list[str]]]:
        source, library = tmp_path / "driver.c", tmp_path / "libdriver.so"
        words = {"log": log, "fails": fails, "graph": GRAPH, "executable": EXECUTABLE}
        source.write_text(SOURCE % words + rest)
        subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
        return DriverGraphs(str(library)), lambda: log.read_text().splitlines()

    return make


def test_captured_launched_and_destroyed(driver) -> None:
    graphs, calls = driver()
    graph = graphs.capture(STREAM, lambda: None)
    assert graph == EXECUTABLE
    graphs.launch(graph, STREAM)
    graphs.destroy(graph)
    thread_local = 1
    assert calls() == [
        f"begin {STREAM:x} {thread_local}",
        f"end {STREAM:x} 0",
        f"instantiate {GRAPH:x} 0",
        f"destroy graph {GRAPH:x} 0",
        f"launch {EXECUTABLE:x} {STREAM:x}",
        f"destroy executable {EXECUTABLE:x} 0",
    ]


def test_work_that_fails_ends_the_capture(driver) -> None:
    graphs, calls = driver()

    def fail() -> None:
        raise HostError("TensorRT did not run the engine")

    with pytest.raises(HostError, match="did not run"):
        graphs.capture(STREAM, fail)
    assert [line.rsplit(" ", 2)[0] for line in calls()] == ["begin", "end", "destroy graph"]


@pytest.mark.parametrize(
    ("fails", "call"),
    [
        ("begin", "cuStreamBeginCapture_v2"),
        ("end", "cuStreamEndCapture"),
        ("instantiate", "cuGraphInstantiateWithFlags"),
        ("destroy graph", "cuGraphDestroy"),
        ("launch", "cuGraphLaunch"),
        ("destroy executable", "cuGraphExecDestroy"),
    ],
)
def test_every_result_is_checked(fails: str, call: str, driver) -> None:
    graphs, calls = driver(fails)
    with pytest.raises(HostError, match=f"^{call} failed: capture not permitted$"):
        graph = graphs.capture(STREAM, lambda: None)
        graphs.launch(graph, STREAM)
        graphs.destroy(graph)
    if fails == "instantiate":
        assert calls()[-1].startswith("destroy graph")


def test_an_old_driver_is_told_from_a_new_one(driver) -> None:
    with pytest.raises(HostError, match="has no cuGraphLaunch") as refusal:
        driver(rest="")
    assert "Update the driver" in str(refusal.value)
