"""`resnet-convert lint`: our rules, then the real parser and builder, and the exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import onnx_ir as ir
import pytest
import rtx
from broken_graphs import BROKEN
from quantized import Graphs, symmetric_residual

from resnet_convert.graph.half import halve

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def file(graph: Graphs, tmp_path: Path) -> Callable[[str], Path]:
    """`file(breach)`: the INT8 network of the lint's tests, with a breach or none ("")."""

    def write(breach: str = "") -> Path:
        model = symmetric_residual(graph)
        halve(model)
        if breach:
            BROKEN[breach][2](model)
        path = tmp_path / "model.onnx"
        ir.save(model, path)
        return path

    return write


@pytest.fixture
def with_rtx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", rtx.environment()["PYTHONPATH"])


@pytest.fixture
def without_rtx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", ":".join(map(str, rtx.OURS)))


@pytest.mark.usefixtures("with_rtx")
def test_a_good_file_passes_both(call: Call, file: Callable[..., Path]) -> None:
    code, out, err = call("lint", file(), "--for", "rtx-5090, NVIDIA A10, 8.6")
    assert (code, err) == (0, "")
    assert "our rules for TensorRT: all 16 kept" in out
    assert f"TensorRT-RTX {rtx.BINDINGS}" in out
    assert "for compute capability 8.6, 12.0: built" in out
    assert "6 of 6 convolutions INT8" in out


@pytest.mark.usefixtures("with_rtx")
@pytest.mark.parametrize(
    ("breach", "rule", "said"),
    [
        ("scale of shape [1]", "T3", ["block_conv1: fp16, not int8", "5 of 6 convolutions INT8"]),
        ("dilated pool", "T12", ["the parser refuses", "block_relu (MaxPool): "]),
        ("computed scale", "T3", ["crashed (signal 11, SIGSEGV)"]),
        ("computed zero point", "T1", ["the builder refuses", "Quantized constant"]),
        ("infinite scale", "T3", ["built"]),
    ],
)
def test_a_breach_is_said_by_both(
    call: Call, file: Callable[..., Path], breach: str, rule: str, said: list[str]
) -> None:
    code, out, err = call("lint", file(breach))
    assert code == 5
    assert f"rule {rule} is broken at block_" in err
    for text in said:
        assert text in out
    assert "Traceback" not in err


@pytest.mark.usefixtures("with_rtx")
def test_json_has_both(call: Call, file: Callable[..., Path]) -> None:
    code, out, _ = call("lint", file("scale of shape [1]"), "--json")
    found = json.loads(out)
    assert code == 5
    assert not found["passed"]
    assert {(v["rule"], v["layer"]) for v in found["violations"]} == {("T3", "block_conv1")}
    library = found["tensorrt_rtx"]
    assert (library["version"], library["outcome"]) == (rtx.BINDINGS, "built")
    assert library["layers"]["convolutions"]["block_conv1"] == {"asked": "int8", "found": "fp16"}
    assert found["not_asked"] is None


@pytest.mark.usefixtures("without_rtx")
def test_without_the_library_our_rules_are_checked_and_it_is_said(
    call: Call, file: Callable[..., Path]
) -> None:
    code, out, err = call("lint", file())
    assert code == 0
    assert "all 16 kept" in out
    assert "the real parser and builder were not asked: TensorRT-RTX is not installed" in err
    code, _, err = call("lint", file(), "--for", "rtx")
    assert code == 4
    assert "resnet-serve[tensorrt-rtx]" in err


def test_an_unknown_gpu_and_another_file_are_refused(
    call: Call, file: Callable[..., Path], tmp_path: Path
) -> None:
    for gpu, said in (("9.0", "9.0"), ("l4,h100", "h100 (9.0)"), ("rtx-9999", "'rtx-9999'")):
        code, _, err = call("lint", file(), "--for", gpu)
        assert code == 2
        assert said in err
    other = tmp_path / "other.onnx"
    other.write_text("text")
    code, _, err = call("lint", other)
    assert code == 5
    assert "is not an ONNX model" in err
