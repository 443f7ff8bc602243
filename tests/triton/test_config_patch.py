"""A patch of config.pbtxt: what it may set, what it is merged to, and what is refused and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnet_serve.errors import InputFileError
from resnet_serve.triton import config, config_patch
from resnet_serve.triton.config_patch import ConfigPatch

OWN = """
name: "net" backend: "onnxruntime" max_batch_size: 8
dynamic_batching { default_queue_policy { max_queue_size: 40 timeout_action: REJECT } }
instance_group { kind: KIND_CPU count: 2 }
"""
PATCH = """
dynamic_batching {
  preferred_batch_size: [4, 8] priority_levels: 2 default_priority_level: 2
  default_queue_policy { max_queue_size: 5 }
  priority_queue_policy { key: 1 value { max_queue_size: 7 } }
}
instance_group { name: "mine" rate_limiter { resources { name: "R1" count: 4 } priority: 2 } }
optimization { priority: PRIORITY_MAX eager_batching: true }
response_cache { enable: true }
"""


def read(folder: Path, text: str, *, gpu: bool = False) -> ConfigPatch:
    path = folder / "patch.pbtxt"
    path.write_text(text)
    return config_patch.read(path, max_batch_size=8, gpu=gpu)


def test_it_is_merged_as_protobuf_merges(tmp_path: Path) -> None:
    own = config.parse(OWN)
    made = read(tmp_path, PATCH).merged(own)
    assert own == config.parse(OWN), "what is given stays as it is"
    assert made.dynamic_batching.default_queue_policy.max_queue_size == 5
    assert made.dynamic_batching.default_queue_policy.timeout_action == 0  # REJECT, which stays
    assert list(made.dynamic_batching.preferred_batch_size) == [4, 8]
    (group,) = made.instance_group
    assert (group.count, group.name, group.rate_limiter.resources[0].count) == (2, "mine", 4)
    assert made.response_cache.enable
    assert (made.name, made.backend, made.max_batch_size) == ("net", "onnxruntime", 8)


def test_gpus_are_named_for_a_model_on_gpus(tmp_path: Path) -> None:
    text = "instance_group { gpus: [0, 1] }"
    own = config.parse(OWN.replace("KIND_CPU", "KIND_GPU"))
    assert list(read(tmp_path, text, gpu=True).merged(own).instance_group[0].gpus) == [0, 1]
    with pytest.raises(InputFileError, match="names GPUs, and the model runs on a CPU"):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name: "other"', "sets name, .*--name"),
        ('backend: "python"', "sets backend, .*--target"),
        ('platform: "tensorrt_plan"', "sets platform, .*--target"),
        ("max_batch_size: 4", "sets max_batch_size, .*--max-batch-size"),
        ('input { name: "image" dims: 3 }', "sets input, .*--input"),
        ('output { name: "logits" label_filename: "x" }', "sets output, .*--head"),
        ('parameters { key: "a" value { string_value: "b" } }', "sets parameters, .*may set dyn"),
        ('default_model_filename: "x.onnx"', "sets default_model_filename, .*may set dynamic"),
        ("version_policy { all {} }", "sets version_policy"),
        ("ensemble_scheduling { }", "sets ensemble_scheduling"),
        ("sequence_batching { }", "sets sequence_batching"),
        ("instance_group { count: 3 }", r"sets instance_group\.count, .*--instances"),
        ("instance_group { kind: KIND_GPU }", r"sets instance_group\.kind"),
        ('instance_group { profile: "1" }', r"sets instance_group\.profile, .*--batch"),
        ("optimization { cuda { graphs: true } }", r"sets optimization\.cuda"),
        (
            "optimization { execution_accelerators { } }",
            r"sets optimization\.execution_accelerators, .*--accelerator",
        ),
        ("dynamic_batching { preferred_batch_size: 9 }", "prefers batches of 9, .*1 to 8.*-size 9"),
        ("dynamic_batching { priority_levels: 2 }", "2 priority levels, .*default level 0"),
        (
            "dynamic_batching { priority_queue_policy { key: 3 value { } } }",
            "a queue policy of level 3",
        ),
        ('instance_group { name: "a" } instance_group { name: "b" }', "has 2 instance groups"),
        ("colour: 3", "is no part of a config.pbtxt"),
        ("dynamic_batching {", "is no part of a config.pbtxt"),
    ],
)
def test_what_breaks_the_proof_or_the_load_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputFileError, match=said) as refused:
        read(tmp_path, text)
    assert "\n" not in str(refused.value)
    assert refused.value.where == str(tmp_path / "patch.pbtxt")


def test_every_field_of_a_configuration_is_allowed_or_refused(tmp_path: Path) -> None:
    """A field that a later Triton adds is refused until somebody has thought about it."""
    for field in config.parse("").DESCRIPTOR.fields:
        made = config.parse("")
        value = getattr(made, field.name)
        if field.is_repeated and field.message_type is None:
            value.append("x")
        elif field.message_type is None:
            setattr(made, field.name, "x" if isinstance(value, str) else 3)
        elif not field.is_repeated:
            value.SetInParent()
        elif not field.message_type.GetOptions().map_entry:
            value.add()
        else:
            value["x"]
        text = config.to_text(made)
        if field.name in config_patch.ALLOWED:
            assert read(tmp_path, text).text == text
        else:
            with pytest.raises(InputFileError, match=f"sets {field.name}, "):
                read(tmp_path, text)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for name, said in (("none", "cannot be read"), ("bytes", "is no part")):
        with pytest.raises(InputFileError, match=said):
            config_patch.read(tmp_path / name, max_batch_size=8, gpu=False)


def test_what_a_server_has_in_its_fields(tmp_path: Path) -> None:
    patch, own = read(tmp_path, PATCH), config.parse(OWN)
    ours = patch.fields(patch.merged(own))
    assert ours["dynamic_batching.preferred_batch_size"] == [4, 8]
    assert ours["dynamic_batching.priority_queue_policy[1].max_queue_size"] == 7
    assert ours["instance_group[0].rate_limiter.resources[0].count"] == 4
    theirs = patch.fields(own)
    assert set(theirs) == set(ours)
    assert {path for path in ours if ours[path] == theirs[path]} == set()
