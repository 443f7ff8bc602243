"""A patch of config.pbtxt: what a platform sets, merged into the configuration of a classifier.

    dynamic_batching { priority_levels: 2  default_priority_level: 2 }
    instance_group { rate_limiter { resources { name: "R1" count: 4 } } }
    response_cache { enable: true }

Protobuf merges it: a field replaces, a list is appended to, and the instance groups are merged in
their order. How requests are scheduled is the platform's. What decides the outputs, or what was
measured with them, is not: those fields are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from resnet_serve.errors import InputFileError

# The fields that a patch may set; None for all of a message.
ALLOWED: Mapping[str, frozenset[str] | None] = MappingProxyType(
    {
        "dynamic_batching": None,
        "response_cache": None,
        "instance_group": frozenset({"name", "gpus", "rate_limiter", "host_policy"}),
        "optimization": frozenset(
            {
                *("priority", "input_pinned_memory", "output_pinned_memory"),
                *("gather_kernel_buffer_threshold", "eager_batching"),
            }
        ),
    }
)
# The options that set what a patch may not.
_OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "name": "--name",
        "backend": "--target",
        "platform": "--target",
        "max_batch_size": "--max-batch-size",
        "input": "--input",
        "output": "--head",
        "instance_group.count": "--instances",
        "instance_group.kind": "--target",
        "instance_group.profile": "--batch",
        "optimization.execution_accelerators": "--accelerator",
    }
)


@dataclass(frozen=True)
class ConfigPatch:
    """The text of a patch that may be merged, as protobuf writes it."""

    text: str

    def merged(self, config: Any) -> Any:
        """A configuration with the patch; it must be one that `read` checked the patch for."""
        made, patch = model_config_pb2.ModelConfig(), _parsed(self.text)
        made.CopyFrom(config)
        groups = list(patch.instance_group)
        patch.ClearField("instance_group")
        made.MergeFrom(patch)
        for own, group in zip(made.instance_group, groups, strict=False):
            own.MergeFrom(group)
        return made

    def fields(self, config: Any) -> dict[str, Any]:
        """What a configuration has in the fields that the patch sets, by path."""
        return dict(_leaves(_parsed(self.text), config, ""))


def read(path: Path | str, *, max_batch_size: int, gpu: bool) -> ConfigPatch:
    """The patch in a file, for a model with one instance group, on a CPU or on GPUs.

    Raises `InputFileError` for a file that holds none, for a field that it may not set, and for
    values with which Triton would not load the model.
    """
    try:
        patch = _parsed(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputFileError(f"cannot be read ({reason})", where=path) from error
    except (text_format.ParseError, ValueError) as error:
        raise InputFileError(
            f"is no part of a config.pbtxt ({error})",
            where=path,
            remedy="It has the fields of Triton's model configuration, as text.",
        ) from error
    for field, value in patch.ListFields():
        _check_field(field.name, path)
        allowed = ALLOWED[field.name]
        for message in value if field.name == "instance_group" else (value,):
            for inner, _ in message.ListFields():
                if allowed is not None and inner.name not in allowed:
                    _refuse(f"{field.name}.{inner.name}", path)
    _check_values(patch, max_batch_size, gpu, path)
    return ConfigPatch(text_format.MessageToString(patch))


def _parsed(text: str) -> Any:
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def _check_field(name: str, path: Path | str) -> None:
    if name not in ALLOWED:
        _refuse(name, path)


def _refuse(field: str, path: Path | str) -> None:
    option = _OPTIONS.get(field)
    raise InputFileError(
        f"sets {field}, with which nothing was proved",
        where=path,
        remedy=f"Use {option} instead."
        if option
        else f"Leave it out: a patch may set {', '.join(ALLOWED)}.",
    )


def _check_values(patch: Any, max_batch_size: int, gpu: bool, path: Path | str) -> None:
    batching = patch.dynamic_batching
    levels = batching.priority_levels
    wrong, larger = "", ""
    for size in batching.preferred_batch_size:
        if not 1 <= size <= max_batch_size:
            wrong = f"prefers batches of {size}, and was proved with 1 to {max_batch_size}"
            larger = f" Or convert with --max-batch-size {size}." if size > max_batch_size else ""
    if levels and not 1 <= batching.default_priority_level <= levels:
        wrong = (
            f"has {levels} priority levels, and the default level {batching.default_priority_level}"
        )
    for level in batching.priority_queue_policy:
        if not 1 <= level <= levels:
            wrong = f"has a queue policy of level {level}, and {levels} priority levels"
    if len(patch.instance_group) > 1:
        wrong = f"has {len(patch.instance_group)} instance groups, and the model has one"
    if not gpu and any(group.gpus for group in patch.instance_group):
        wrong = "names GPUs, and the model runs on a CPU"
    if wrong:
        raise InputFileError(
            wrong, where=path, remedy=f"Triton would not load the model with it.{larger}"
        )


def _leaves(patch: Any, config: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """For every value that is set in a message, the one at its place in another message."""
    for field, value in patch.ListFields():
        path, there = f"{prefix}{field.name}", getattr(config, field.name)
        if field.message_type is None:
            yield path, list(there) if hasattr(value, "append") else there
        elif field.message_type.GetOptions().map_entry:
            for key, each in value.items():
                yield from _leaves(each, there[key], f"{path}[{key}].")
        elif not hasattr(value, "ListFields"):  # a list of messages
            for index, each in enumerate(value):
                other = there[index] if index < len(there) else type(each)()
                yield from _leaves(each, other, f"{path}[{index}].")
        else:
            yield from _leaves(value, there, f"{path}.")
