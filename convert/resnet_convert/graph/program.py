"""Program: what torch.export records of a network, as far as the writer needs to know it.

Calls are named by their ATen schema. Calls that no row of `operators.ROWS` writes are replaced by
PyTorch's own decompositions of them, where it has any; all other calls stay as they are.
"""

from __future__ import annotations

import importlib
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr
from typing import TYPE_CHECKING, Any, TextIO

from resnet_convert.graph.operators import ROWS
from resnet_serve.errors import ConversionError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import torch
    from torch import nn
else:
    torch = optional("torch", extra="convert")

# Their result may be a view of their argument's memory: overwriting one overwrites the other.
_VIEWS = frozenset(
    {
        *(f"aten::{name}" for name in ("slice", "select", "split", "chunk", "unbind", "narrow")),
        *(f"aten::{name}" for name in ("split_with_sizes", "flatten", "unflatten", "view")),
        *(f"aten::{name}" for name in ("reshape", "squeeze", "unsqueeze", "permute", "transpose")),
        *(f"aten::{name}" for name in ("expand", "expand_as", "adaptive_avg_pool2d", "dropout")),
        *(f"aten::{name}" for name in ("contiguous", "detach", "alias", "to", "type_as")),
        "python::getitem",
    }
)
# The tracer's name for the module of an operator that belongs to none, such as x.size(0).
_NO_MODULE = "_empty_nn_module_stack_from_metadata_hook"
_NO_STACKS = "do_not_emit_stack_traces"  # of torch.fx.config


def exported(network: nn.Module, size: tuple[int, int, int]) -> torch.export.ExportedProgram:
    """Record a network in evaluation mode over [batch, *size], with an open batch size.

    Raises `ConversionError` for a network that `torch.export` cannot trace.
    """
    # The tracer would make a batch of 1 a constant; any other size stays symbolic.
    example = torch.zeros(2, *size)
    try:
        with _without_stacks(), _quiet_until_traced():
            program = torch.export.export(
                network.eval(), (example,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},)
            )
            return _decomposed(program)
    except Exception as error:  # the tracer raises dozens of private classes
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConversionError(
            f"PyTorch cannot trace it ({reason})",
            where=f"trace: {type(network).__name__}",
            remedy="forward() must not branch on the values of tensors.",
        ) from error


@contextmanager
def _without_stacks() -> Iterator[None]:
    """Let the tracer record no Python stack for each call: nothing here reads them, and they take a
    fifth of its time.
    """
    config = importlib.import_module("torch.fx.config")
    # PyTorch before this option does without it.
    before = getattr(config, _NO_STACKS, False)
    setattr(config, _NO_STACKS, True)
    try:
        yield
    finally:
        setattr(config, _NO_STACKS, before)


@contextmanager
def _quiet_until_traced() -> Iterator[None]:
    """Show what this thread writes to stderr only after a success: of a network that cannot be
    traced PyTorch prints the whole graph, and the error says what matters.
    """
    shown = sys.stderr
    held = _Held(shown)
    with ExitStack() as stack:
        stack.enter_context(redirect_stderr(held))
        for handler in _handlers():
            if handler.stream is shown:
                handler.setStream(held)
                stack.callback(handler.setStream, shown)
        yield
    shown.write("".join(held.text))


class _Held:
    """A stream that holds back what the thread that made it writes, and passes on the rest."""

    def __init__(self, stream: TextIO) -> None:
        self.text: list[str] = []
        self._stream, self._thread = stream, threading.get_ident()

    def write(self, text: str) -> int:
        """Keep or write it; returns its length."""
        if threading.get_ident() != self._thread:
            return self._stream.write(text)
        self.text.append(text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _handlers() -> list[logging.StreamHandler[Any]]:
    """Those of PyTorch's loggers that write to a stream."""
    loggers = logging.root.manager.loggerDict.copy()
    return [
        handler
        for name, logger in loggers.items()
        if name.partition(".")[0] == "torch" and isinstance(logger, logging.Logger)
        for handler in logger.handlers
        if isinstance(handler, logging.StreamHandler)
    ]


def _decomposed(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """The program with the calls that have no row written in others, where that leaves none.

    Unchanged otherwise: then the writer refuses the call that the network makes.
    """
    if not _unwritable(program):
        return program
    table = torch.export.default_decompositions()
    for overload in list(table):
        if overload._schema.name in ROWS:  # type: ignore[attr-defined]
            del table[overload]
    found: torch.export.ExportedProgram = program.run_decompositions(table)
    stateless = not found.graph_signature.buffers_to_mutate
    return found if stateless and not _unwritable(found) else program


def _unwritable(program: torch.export.ExportedProgram) -> list[Any]:
    """The ATen calls without a row whose results depend on the image and are read, and those that
    overwrite a constant.
    """
    constants = set(parameters(program))
    found = []
    for node in program.graph.nodes:
        if node.op != "call_function" or not hasattr(node.target, "_schema"):
            continue
        if is_constant(node, constants):
            constants.add(node.name)
            if schema_name(node).endswith("_"):
                found.append(node)
        elif node.users and aten_name(node) not in ROWS:
            found.append(node)
    return found


def parameters(program: torch.export.ExportedProgram) -> dict[str, str]:
    """Parameters, buffers and other constants: from the name of their node to that in PyTorch."""
    signature = program.graph_signature
    return {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }


def is_constant(node: Any, constants: Any) -> bool:
    """Whether a call depends on constants only, so that it can be computed once."""
    if not hasattr(node.target, "_schema"):
        return bool(node.all_input_nodes) and all(
            each.name in constants for each in node.all_input_nodes
        )
    if torch.Tag.nondeterministic_seeded in node.target.tags:
        return False
    return all(each.name in constants for each in node.all_input_nodes)


def schema_name(node: torch.fx.Node) -> str:
    """`aten::conv2d`; an in-place operator ends in an underscore."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:  # arithmetic on sizes, or one of several results
        return f"python::{getattr(node.target, '__name__', node.target)}"
    return str(schema.name)


def aten_name(node: torch.fx.Node) -> str:
    """`aten::relu`, whether it is in place or not."""
    return schema_name(node).removesuffix("_")


def sharing_memory(node: Any) -> list[Any]:
    """The nodes that may share memory with this one: the tensor it views, and all its views."""
    while schema_name(node) in _VIEWS:
        node = node.args[0]
    names = [node]
    for name in names:  # grows as views of views are found
        names += [user for user in name.users if schema_name(user) in _VIEWS]
    return names


def module_name(node: torch.fx.Node, operator: str) -> str:
    """`layer1.0.conv1` for a layer's own operator, `layer1.0.add` for one written in forward()."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    if not stack or stack[-1][0] == _NO_MODULE:
        return operator
    path, kind = stack[-1]
    if "torch.nn.modules" in str(kind):
        return str(path)
    return f"{path}.{operator}" if path else operator
