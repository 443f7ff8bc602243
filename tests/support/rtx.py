"""The real TensorRT-RTX: its two wheels, and a judge that asks its parser and builder.

The wheels carry NVIDIA's libraries (147 MB to download, 301 MB installed) and are never copied into
the project: pip installs them once into pytest's cache directory. Every process that loads them is
a child of the tests, because a graph can end it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from kept import ROOT, install, kept

from resnet_convert.tensorrt.judging.judge import Judge
from resnet_convert.tensorrt.judging.verdict import Verdict

BINDINGS = "1.7.1.116"
# The versions belong together: 0.5.0 bundles the libraries of 1.7.1.
WHEELS = (
    "onnxruntime-ep-nv-tensorrt-rtx-cu13==0.5.0",
    f"tensorrt-rtx-cu13-bindings=={BINDINGS}",
)
CACHE = ROOT / ".pytest_cache" / "tensorrt-rtx"
OURS = (ROOT, ROOT / "convert", ROOT / "clients" / "python")


@cache
def wheels() -> Path:
    """The folder with both wheels; pip installs them where it is missing."""
    name = f"{BINDINGS}-{sys.implementation.cache_tag}"
    return kept(CACHE, name, lambda folder: install(folder, *WHEELS))


def environment() -> dict[str, str]:
    """The environment of a child process that can import this tree and TensorRT-RTX."""
    paths = [str(wheels()), *map(str, OURS)]
    given = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*paths, *([given] if given else [])])}


def command(program: str, *words: object, folder: Path) -> tuple[int, str, str]:
    """One of our commands in a process that has the library: its code, stdout and stderr."""
    done = subprocess.run(
        [sys.executable, "-m", program, *map(str, words)],
        cwd=folder,
        env={**environment(), "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def libraries() -> tuple[Path, Path]:
    """The shared libraries, in the order in which they are loaded."""
    folder = wheels() / "onnxruntime_ep_nv_tensorrt_rtx"
    return (folder / "libtensorrt_rtx.so.1.7.1", folder / "libtensorrt_onnxparser_rtx.so.1.7.1")


@cache
def judge() -> Judge:
    """The one judge of this test process; its child ends with the process."""
    return Judge(environment(), longest_s=300)


@dataclass(frozen=True)
class Built:
    """One layer of the builder's list: its kind, types in and out, and the ONNX nodes in it."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[str, ...]


_LAYER = re.compile(
    r"^Name: (?P<name>.*?), LayerType: (?P<kind>\w+), Inputs: \[(?P<inputs>.*?)\], "
    r"Constants: \[.*?\], Outputs: \[(?P<outputs>.*?)\], TacticName: .*, Metadata: (?P<nodes>.*)$",
    re.MULTILINE,
)
_KINDS = ("correlation", "gemm", "runtime_fusion")  # that multiply by weights


def layers(verdict: Verdict) -> list[Built]:
    """The layers as the builder lists them in its log; read here apart from the product's code."""
    return [
        Built(
            found["name"],
            found["kind"],
            tuple(re.findall(r"Datatype: (\w+)", found["inputs"])),
            tuple(re.findall(r"Datatype: (\w+)", found["outputs"])),
            tuple(re.findall(r"\[ONNX Layer: ([^\]]+)\]", found["nodes"])),
        )
        for found in _LAYER.finditer(verdict.layers)
    ]


def computed(verdict: Verdict, node: str) -> Built | None:
    """The layer that multiplies for a Conv or Gemm of this name."""
    return next(
        (each for each in layers(verdict) if each.kind in _KINDS and node in each.nodes), None
    )
