"""What is known of an exported program, and which of its calls are decomposed."""

from __future__ import annotations

import importlib
import logging
import sys
import threading

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from traced import holds, on

from resnet_convert.graph.operators import ROWS
from resnet_convert.graph.program import aten_name, exported, is_constant, parameters
from resnet_serve.errors import ConversionError

SIZE = (4, 9, 8)


def operators(network: nn.Module) -> list[str]:
    program = exported(network, SIZE)
    return [aten_name(node) for node in program.graph.nodes if node.op == "call_function"]


def test_a_network_whose_calls_have_rows_stays_as_it_is() -> None:
    found = operators(on(lambda x: functional.gelu(x, approximate="tanh").mean((2, 3))))
    assert found == ["aten::gelu", "aten::mean"]


def test_a_call_without_a_row_is_written_in_others() -> None:
    def body(x: Tensor) -> Tensor:
        return functional.silu(torch.addcmul(x, x, x.relu(), value=0.5))

    found = operators(on(body))
    assert "aten::addcmul" not in ROWS
    assert "aten::addcmul" not in found
    assert "aten::silu" in found, "it has a row and is not decomposed"
    holds(on(body))


def test_what_has_no_decomposition_keeps_its_own_name() -> None:
    assert "aten::softshrink" in operators(on(nn.Softshrink()))


def test_a_mask_that_forward_fills_in_is_a_constant() -> None:
    def body(x: Tensor) -> Tensor:
        mask = torch.ones(9, 8)
        mask[2:4] = 0
        return x * mask

    holds(on(body))


def test_of_a_network_that_cannot_be_traced_only_the_error_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def branching(x: Tensor) -> Tensor:
        print("from forward", file=sys.stderr)
        other = threading.Thread(target=lambda: print("from a thread", file=sys.stderr))
        other.start()
        other.join()
        return x + 1 if x.sum() > 0 else x

    handler = logging.StreamHandler(sys.stderr)
    logger = logging.getLogger("torch.fx.experimental.symbolic_shapes")
    monkeypatch.setattr(logger, "handlers", [*logger.handlers, handler])
    with pytest.raises(ConversionError, match="data-dependent"):
        exported(on(branching), SIZE)
    assert set(capsys.readouterr().err.splitlines()) == {"from a thread"}
    assert handler.stream is sys.stderr


def test_what_a_network_says_while_it_is_traced_is_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def body(x: Tensor) -> Tensor:
        print("from forward", file=sys.stderr)
        return x.relu()

    exported(on(body), SIZE)
    assert "from forward" in capsys.readouterr().err


def test_no_call_has_its_python_stack() -> None:
    """Which takes a fifth of the time, and is not read; other tracing in this process has it."""
    config = importlib.import_module("torch.fx.config")
    before = config.do_not_emit_stack_traces
    nodes = exported(on(torch.relu), SIZE).graph.nodes
    assert not [node.name for node in nodes if "stack_trace" in node.meta]
    with pytest.raises(ConversionError):
        exported(on(lambda x: x if x.sum() > 0 else -x), SIZE)
    assert config.do_not_emit_stack_traces is before is False


def test_calls_on_constants_are_told_from_calls_on_images() -> None:
    program = exported(on(lambda x, layer: x * layer.weight.exp(), nn.PReLU()), SIZE)
    constants = set(parameters(program))
    computed = {
        aten_name(node): is_constant(node, constants)
        for node in program.graph.nodes
        if node.op == "call_function"
    }
    assert computed["aten::exp"]
    assert not computed["aten::mul"]


def test_a_network_that_cannot_be_traced_is_named() -> None:
    with pytest.raises(ConversionError, match="must not branch") as refusal:
        exported(on(lambda x: x if x.sum() > 0 else -x), SIZE)
    assert refusal.value.where == "trace: Network"
