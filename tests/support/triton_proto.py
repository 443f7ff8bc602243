"""Triton's protocol as .proto files, written from the descriptors in tritonclient.

    python tests/support/triton_proto.py clients/node/proto

The Node client has them from here, so that both clients speak the same protocol.
"""

from __future__ import annotations

import sys
from pathlib import Path

from google.protobuf import descriptor_pb2
from tritonclient.grpc import model_config_pb2, service_pb2

LICENCE = """\
// The protocol of NVIDIA Triton Inference Server, without comments, from tritonclient.
// Copyright (c) 2018-2025, NVIDIA CORPORATION & AFFILIATES. All rights reserved.
// SPDX-License-Identifier: BSD-3-Clause (see LICENSE in this folder)
"""
FILES = {
    "model_config.proto": model_config_pb2.DESCRIPTOR,
    "grpc_service.proto": service_pb2.DESCRIPTOR,
}
_F = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    value: name.removeprefix("TYPE_").lower()
    for name, value in _F.Type.items()
    if name not in ("TYPE_MESSAGE", "TYPE_ENUM", "TYPE_GROUP")
}


def written(name: str) -> str:
    """One file of the protocol."""
    file = descriptor_pb2.FileDescriptorProto()
    FILES[name].CopyToProto(file)
    lines = [LICENCE, 'syntax = "proto3";', f"package {file.package};", ""]
    lines += [f'import "{each}";' for each in file.dependency]
    for enum in file.enum_type:
        lines += _enum(enum, "")
    for message in file.message_type:
        lines += _message(message, "")
    for service in file.service:
        lines.append(f"service {service.name} {{")
        for rpc in service.method:
            taken = ("stream " if rpc.client_streaming else "") + rpc.input_type
            given = ("stream " if rpc.server_streaming else "") + rpc.output_type
            lines.append(f"  rpc {rpc.name}({taken}) returns ({given}) {{}}")
        lines.append("}")
    return "\n".join(lines) + "\n"


def _enum(enum: descriptor_pb2.EnumDescriptorProto, indent: str) -> list[str]:
    values = [f"{indent}  {value.name} = {value.number};" for value in enum.value]
    return [f"{indent}enum {enum.name} {{", *values, f"{indent}}}"]


def _message(message: descriptor_pb2.DescriptorProto, indent: str) -> list[str]:
    lines = [f"{indent}message {message.name} {{"]
    inner = f"{indent}  "
    maps = {each.name: each for each in message.nested_type if each.options.map_entry}
    for enum in message.enum_type:
        lines += _enum(enum, inner)
    for nested in message.nested_type:
        if nested.name not in maps:
            lines += _message(nested, inner)
    for field in message.field:
        if not field.HasField("oneof_index"):
            lines.append(inner + _field(field, maps))
    for index, oneof in enumerate(message.oneof_decl):
        lines.append(f"{inner}oneof {oneof.name} {{")
        lines += [
            f"{inner}  {_field(field, maps)}"
            for field in message.field
            if field.HasField("oneof_index") and field.oneof_index == index
        ]
        lines.append(f"{inner}}}")
    return [*lines, f"{indent}}}"]


def _field(
    field: descriptor_pb2.FieldDescriptorProto, maps: dict[str, descriptor_pb2.DescriptorProto]
) -> str:
    entry = maps.get(field.type_name.rpartition(".")[2])
    if entry is not None:
        key, value = entry.field
        return f"map<{_kind(key)}, {_kind(value)}> {field.name} = {field.number};"
    many = "repeated " if field.label == _F.LABEL_REPEATED else ""
    return f"{many}{_kind(field)} {field.name} = {field.number};"


def _kind(field: descriptor_pb2.FieldDescriptorProto) -> str:
    return _SCALARS.get(field.type) or field.type_name


if __name__ == "__main__":
    for each in FILES:
        Path(sys.argv[1], each).write_text(written(each), encoding="utf-8")
