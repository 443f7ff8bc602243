"""The constants of a graph."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest

from resnet_convert.graph.initializers import array_of, assign, initializer, own_initializer, remove
from resnet_serve.errors import ConversionError


@pytest.fixture
def model(graph: Callable[..., ir.Model]) -> ir.Model:
    return graph(
        """(float[N,2] x) => (float[N,2] y) {
            [first] a = Add (x, mine)
            [second] b = Mul (a, ours)
            [third] y = Add (b, ours)
        }""",
        mine=np.array([1, 2], np.float32),
        ours=np.array([3, 4], np.float32),
    )


def node(model: ir.Model, name: str) -> ir.Node:
    return next(n for n in model.graph if n.name == name)


def test_an_initializer_of_ones_own(model: ir.Model) -> None:
    value = own_initializer(node(model, "first"), 1)
    assert value.name == "mine"
    np.testing.assert_array_equal(array_of(value), [1, 2])


def test_a_shared_one_is_refused_with_all_its_readers(model: ir.Model) -> None:
    with pytest.raises(ConversionError, match="'ours' is shared by second, third"):
        own_initializer(node(model, "second"), 1)


def test_what_is_no_constant_is_refused(model: ir.Model) -> None:
    with pytest.raises(ConversionError, match=r"first \(Add\): input 0 is not a constant"):
        own_initializer(node(model, "first"), 0)
    with pytest.raises(ConversionError, match="'x' is not a constant"):
        array_of(model.graph.inputs[0])


def test_assigning_changes_type_and_shape(model: ir.Model) -> None:
    value = model.graph.initializers["mine"]
    assign(value, np.zeros((3, 1), np.float16))
    assert (value.dtype, value.shape.numpy()) == (ir.DataType.FLOAT16, (3, 1))
    assert value.const_value.name == "mine"


def test_assigning_keeps_a_copy(model: ir.Model) -> None:
    """An array that changes later, or a view with strides, must not reach the file."""
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    value = model.graph.initializers["mine"]
    assign(value, array.T)
    array[:] = 0
    np.testing.assert_array_equal(array_of(value), [[0, 3], [1, 4], [2, 5]])


def test_a_new_initializer_never_replaces_another(model: ir.Model) -> None:
    made = initializer(model.graph, "mine", np.array([9], np.float32))
    assert made.name != "mine"
    np.testing.assert_array_equal(array_of(model.graph.initializers["mine"]), [1, 2])
    np.testing.assert_array_equal(array_of(model.graph.initializers[made.name]), [9])


def test_removing_a_node_takes_only_its_own_constants(model: ir.Model) -> None:
    third = node(model, "third")
    third.outputs[0].replace_all_uses_with(third.inputs[0], replace_graph_outputs=True)
    remove(model.graph, third)
    assert set(model.graph.initializers) == {"mine", "ours"}
    second = node(model, "second")
    second.outputs[0].replace_all_uses_with(second.inputs[0], replace_graph_outputs=True)
    remove(model.graph, second)
    assert set(model.graph.initializers) == {"mine"}
