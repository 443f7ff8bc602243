"""Which operand is the shortcut: the result of a search in the whole graph, at a cost per block."""

from __future__ import annotations

import re
from collections import deque

import numpy as np
import onnx_ir as ir
import pytest
from quantized import Graphs, node, normal, residual, symmetric_residual

from resnet_convert.graph import shortcut as module
from resnet_convert.graph.shortcut import shortcut

WEIGHT = np.ones((3, 3, 1, 1), np.float32)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = Conv (x, w) y = Add (a, x)", 1),
        ("a = Conv (x, w) y = Add (x, a)", 0),
        ("a = Conv (x, w) b = Conv (a, w) c = Conv (x, w) y = Add (b, c)", 1),
        ("a = Conv (x, w) b = Conv (a, w) c = Conv (x, w) y = Add (c, b)", 0),
        ("a = Conv (x, w) b = Conv (x, w) y = Add (a, b)", 1),
        ("a = Conv (x, w) r = Relu (a) y = Add (x, r)", None),
        ("a = Conv (x, w) y = Add (a, a)", None),
        ("a = Conv (x, w) y = Add (a, w)", None),
        # The branches part behind a block that both have in common.
        (
            "s = Conv (x, w) t = Relu (s) a = Conv (t, w) b = Relu (a) c = Conv (b, w) "
            "p = AveragePool <kernel_shape = [1,1]> (t) d = Conv (p, w) y = Add (d, c)",
            0,
        ),
    ],
)
def test_which_operand_is_the_shortcut(graph: Graphs, text: str, expected: int | None) -> None:
    named = re.sub(r"y = Add", "[add] y = Add", text)
    model = graph(f"(float[N,3,4,4] x) => (float[N,3,4,4] y) {{ {named} }}", w=normal(3, 3, 1, 1))
    assert shortcut(node(model, "add")) == expected


def test_a_shortcut_is_the_same_behind_its_pair(graph: Graphs) -> None:
    exact, model = residual(graph), symmetric_residual(graph)
    for name in ("block_add", "down_add"):
        assert shortcut(node(model, name)) == shortcut(node(exact, name))


def projected(graph: Graphs, blocks: int) -> ir.Model:
    """Residual blocks with a projection each: option C."""
    lines = []
    for n in range(blocks):
        lines += [
            f"[conv{n}] c{n} = Conv (x{n}, w{n})",
            f"[project{n}] p{n} = Conv (x{n}, v{n})",
            f"[add{n}] x{n + 1} = Add (c{n}, p{n})",
        ]
    body = "\n".join(lines)
    weights = {f"{letter}{n}": WEIGHT for n in range(blocks) for letter in "wv"}
    text = f"(float[N,3,4,4] x0) => (float[N,3,4,4] x{blocks}) {{ {body} }}"
    return graph(text, **weights)


def test_the_cost_per_block_is_the_same_however_deep_the_network(
    graph: Graphs, monkeypatch: pytest.MonkeyPatch
) -> None:
    visited = [0]
    before_pair = module.before_pair

    def counted(value: ir.Value | None) -> ir.Value | None:
        visited[0] += 1
        return before_pair(value)

    def cost(blocks: int) -> int:
        adds = [node for node in projected(graph, blocks).graph if node.op_type == "Add"]
        visited[0] = 0
        assert [shortcut(add) for add in adds] == [1] * blocks
        return visited[0]

    monkeypatch.setattr(module, "before_pair", counted)
    assert cost(60) - cost(40) == cost(40) - cost(20) > 0


def by_the_whole_graph(add: ir.Node) -> int:
    """The rule as it is written: every way back to the image, and the shortest pair of them."""

    def back(start: ir.Value) -> dict[ir.Value, int]:
        found, waiting = {start: 0}, deque([start])
        while waiting:
            current = waiting.popleft()
            producer = current.producer()
            for value in producer.inputs if producer is not None else ():
                if value is not None and not value.is_initializer() and value not in found:
                    found[value] = found[current] + 1
                    waiting.append(value)
        return found

    first, second = (back(value) for value in add.inputs if value is not None)
    fewest = min(set(first) & set(second), key=lambda v: (first[v] + second[v], first[v]))
    return 0 if first[fewest] < second[fewest] else 1


@pytest.mark.parametrize("seed", range(30))
def test_the_result_is_that_of_the_whole_graph(seed: int, graph: Graphs) -> None:
    random = np.random.default_rng(seed)
    lines = ["t0 = Relu (x)"]
    for n in range(1, 16):
        near = max(0, n - 4)
        first, second = random.integers(near, n, 2)
        kind = random.choice(["Relu", "Neg", "Add"])
        lines.append(f"t{n} = {kind} (t{first}{f', t{second}' if kind == 'Add' else ''})")
    first, second = random.integers(5, 16, 2)
    lines += [f"a = Conv (t{first}, w)", f"b = Conv (t{second}, w)", "[add] y = Add (a, b)"]
    model = graph(f"(float[N,3,4,4] x) => (float[N,3,4,4] y) {{ {' '.join(lines)} }}", w=WEIGHT)
    add = next(node for node in model.graph if node.name == "add")
    assert shortcut(add) == by_the_whole_graph(add)
