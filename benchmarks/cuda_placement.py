"""Where ONNX Runtime's CUDA provider puts the nodes of our graphs, found out without a GPU.

    python benchmarks/cuda_placement.py

The real onnxruntime-gpu (256 MB, downloaded by pip for this run) assigns the nodes of a graph to
its providers by the kernels that it registers, and needs the CUDA libraries for that only to be
there: empty ones are compiled for it. Nothing is computed. One row per operator and type that
decides which precisions are offered, and per kind of network and precision.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recorded import record

from resnet_convert.graph.fold import fold
from resnet_convert.graph.half import halve
from resnet_convert.graph.model_file import serialize
from resnet_convert.graph.pixels import take_pixels
from resnet_convert.graph.trace import trace
from resnet_serve import weights
from resnet_serve.architectures import find, with_head
from resnet_serve.cuda import libraries

WHEEL = "onnxruntime-gpu==1.31.1"
PROVIDER = "onnxruntime/capi/libonnxruntime_providers_cuda.so"
NETWORKS = (
    ("resnet18", "pyramid"),
    ("resnet20", "classifier"),
    ("preact_resnet18", "features"),
)
OPERATORS = (
    ("Conv", 17, "float16", "y = Conv (x, w)"),
    ("Conv", 22, "bfloat16", "y = Conv (x, w)"),
    ("MaxPool", 17, "float16", "y = MaxPool <kernel_shape = [2, 2]> (x)"),
    ("MaxPool", 22, "float16", "y = MaxPool <kernel_shape = [2, 2]> (x)"),
    ("MaxPool", 22, "bfloat16", "y = MaxPool <kernel_shape = [2, 2]> (x)"),
    ("GlobalAveragePool", 17, "float16", "y = GlobalAveragePool (x)"),
    ("GlobalAveragePool", 22, "bfloat16", "y = GlobalAveragePool (x)"),
    ("ConvInteger", 17, "uint8", "y = ConvInteger (x, w)"),
)
# What the libraries must answer for a provider to be made; everything else returns 0.
ANSWERS = {
    "cudaGetDeviceCount": "int cudaGetDeviceCount(int *n) { *n = 1; return 0; }",
    "cudaGetDevice": "int cudaGetDevice(int *n) { *n = 0; return 0; }",
    "cudaDriverGetVersion": "int cudaDriverGetVersion(int *n) { *n = 13000; return 0; }",
    "cudaRuntimeGetVersion": "int cudaRuntimeGetVersion(int *n) { *n = 13000; return 0; }",
    "cudaMemGetInfo": "int cudaMemGetInfo(long *a, long *b) { *a = *b = 1L << 33; return 0; }",
    "cudaGetErrorString": 'const char *cudaGetErrorString(int e) { return "none"; }',
    "__cudaRegisterFatBinary": "static void *h; void **__cudaRegisterFatBinary() { return &h; }",
    **{
        name: f"int {name}(void **p) {{ *p = (void *)16; return 0; }}"
        for name in (
            *("cudaStreamCreate", "cudaStreamCreateWithFlags", "cudaEventCreate"),
            *("cudaEventCreateWithFlags", "cublasCreate_v2", "cublasLtCreate"),
        )
    },
    **{
        name: f"void *malloc(unsigned long); int {name}(void **p, unsigned long n) "
        "{ *p = malloc(n); return 0; }"
        for name in ("cudaMalloc", "cudaMallocHost", "cudaHostAlloc")
    },
}
PLACE = """
import json, sys
import onnxruntime
found = {}
for path in sys.argv[1:]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    try:
        session = onnxruntime.InferenceSession(
            path, options, providers=[("CUDAExecutionProvider", {})], enable_fallback=0)
        assert "CUDAExecutionProvider" in session.get_providers(), "no CUDA provider"
        found[path] = [[part.ep_name, node.op_type]
                       for part in session.get_provider_graph_assignment_info()
                       for node in part.get_nodes()]
    except Exception as error:
        found[path] = str(error).splitlines()[0][:160]
print(json.dumps(found))
"""


def main() -> None:
    """Place every operator and network, and write the results."""
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = dict([*operators(folder), *networks(folder)])
        placed = place(folder, models)
    rows = [{**about, **shown(placed[str(path)])} for path, about in models.items()]
    elsewhere = [row for row in rows if row["elsewhere"] and row["what"] == "network"]
    summary = {
        "what": f"the provider of each node, by the kernels of {WHEEL}; nothing was computed",
        "networks": sum(row["what"] == "network" for row in rows),
        "networks with a node elsewhere": len(elsewhere),
    }
    record("cuda-placement", rows, summary)


def operators(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """One model of each operator, with inputs for its image and its weights."""
    import onnx

    for index, (name, opset, kind, body) in enumerate(OPERATORS):
        result = "int32" if name == "ConvInteger" else kind
        inputs = f"{kind}[N,3,8,8] x" + (f", {kind}[4,3,3,3] w" if "w)" in body else "")
        text = f'<ir_version: 10, opset_import: ["": {opset}]>\nm ({inputs}) => '
        model = onnx.parser.parse_model(f"{text}({result}[N,C,H,W] y) {{ {body} }}")
        path = folder / f"operator-{index}.onnx"
        path.write_bytes(model.SerializeToString())
        yield path, {"what": "operator", "name": name, "type": kind, "opset": opset}


def networks(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Each network as it is deployed: folded, taking pixels, in FP32 and in FP16."""
    for arch, head in NETWORKS:
        loaded = weights.load("random", find(arch))
        height, width = loaded.preprocessing.crop
        network = with_head(loaded.network(), head)
        model = trace(network, (loaded.preprocessing.channels, height, width)).model
        fold(model)
        take_pixels(model, loaded.preprocessing)
        for precision in ("fp32", "fp16"):
            if precision == "fp16":
                halve(model, precision)
            path = folder / f"{arch}-{head}-{precision}.onnx"
            path.write_bytes(serialize(model))
            about = {"what": "network", "name": f"{arch} ({head})", "type": precision}
            yield path, {**about, "opset": model.graph.opset_imports[""]}


def place(folder: Path, models: dict[Path, dict[str, Any]]) -> dict[str, Any]:
    """Ask the real provider, in a process that finds it and the empty libraries."""
    site, empty = folder / "site", folder / "empty"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--target", site, WHEEL], check=True)
    empty.mkdir()
    for name in ("libcudart.so.13", "libcublas.so.13", "libcublasLt.so.13"):
        compile_empty(empty / name, symbols(site / PROVIDER, name))
    for name in libraries.needed(site / PROVIDER):
        if name.startswith(("libcu", "libcublas")) and not (empty / name).exists():
            compile_empty(empty / name, ["cuTensorMapEncodeTiled"], versioned=False)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(empty), "PYTHONPATH": str(site)}
    command = [sys.executable, "-c", PLACE, *map(str, models)]
    ended = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def symbols(binary: Path, library: str) -> list[str]:
    """The functions that a binary takes from one of its libraries."""
    command = ["nm", "--dynamic", "--undefined-only", str(binary)]
    listed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    names = (line.split()[-1] for line in listed.splitlines())
    return [name.partition("@")[0] for name in names if name.endswith(f"@{library}")]


def compile_empty(path: Path, names: list[str], *, versioned: bool = True) -> None:
    """A library of functions that do nothing."""
    source, versions = path.with_suffix(".c"), path.with_suffix(".map")
    source.write_text(
        "\n".join(ANSWERS.get(name, f"int {name}() {{ return 0; }}") for name in names)
    )
    versions.write_text(f"{path.name} {{ global: *; }};\n")
    command = [
        "cc",
        "-shared",
        "-fPIC",
        "-w",
        "-o",
        str(path),
        str(source),
        f"-Wl,-soname,{path.name}",
    ]
    subprocess.run(
        [*command, *([f"-Wl,--version-script={versions}"] if versioned else [])], check=True
    )


def shown(placed: Any) -> dict[str, Any]:
    """How many nodes are on CUDA, and which are elsewhere or why there is no session."""
    if isinstance(placed, str):
        return {"nodes": 0, "on_cuda": 0, "elsewhere": f"no session: {placed}"}
    elsewhere = sorted({f"{kind} on {name}" for name, kind in placed if "CUDA" not in name})
    on_cuda = sum("CUDA" in name for name, _ in placed)
    return {"nodes": len(placed), "on_cuda": on_cuda, "elsewhere": "; ".join(elsewhere)}


if __name__ == "__main__":
    main()
