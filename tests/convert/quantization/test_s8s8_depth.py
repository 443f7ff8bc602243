"""Which operand is the shortcut: the same answer as over the whole graph, at a cost per block."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest

from resnet_convert.graph.shortcut import shortcut
from resnet_convert.quantization import s8s8
from resnet_convert.quantization.s8s8 import activations

Graphs = Callable[..., ir.Model]
WEIGHT = np.ones((3, 3, 1, 1), np.float32)


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


def test_placing_the_pairs_costs_the_same_per_block_however_deep(
    graph: Graphs, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = [0]
    origin = s8s8._origin

    def counted(value: ir.Value | None) -> ir.Value | None:
        looked[0] += 1
        return origin(value)

    def cost(blocks: int) -> int:
        model = projected(graph, blocks)
        looked[0] = 0
        assert len(activations(model)) == 2 * blocks
        return looked[0]

    monkeypatch.setattr(s8s8, "_origin", counted)
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
def test_the_answer_is_that_of_the_whole_graph(seed: int, graph: Graphs) -> None:
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
