"""Serving on GPUs: what every configuration keeps to, what is refused, and what the server says."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from gpu_classifiers import DIGITS, IMAGENET, SHA256, gpu_classifiers, on_gpus
from hypothesis import given
from hypothesis import strategies as st
from patience import PATIENCE_S

from resnet_serve.errors import UsageError
from resnet_serve.runtimes import TARGETS
from resnet_serve.runtimes.profiles import Profile
from resnet_serve.triton import config, installation, releases
from resnet_serve.triton.config import Serving
from resnet_serve.triton.gpu_serving import Accelerator, GpuServing

BOUNDS = st.lists(st.integers(1, 70), min_size=1, max_size=8, unique=True).map(sorted)


@st.composite
def profiles(draw: st.DrawFn) -> tuple[Profile, ...]:
    """Profiles without a gap: each begins where the one before it ended, or within it."""
    found, end = [], 0
    for maximum in draw(BOUNDS):
        minimum = draw(st.integers(1, end + 1))
        found.append(Profile(minimum, draw(st.integers(minimum, maximum)), maximum))
        end = maximum
    return tuple(found)


@given(profiles(), st.sampled_from(["uint8", "float32"]), st.booleans(), st.integers(1, 4))
def test_any_classifier_on_a_gpu_round_trips(
    found: tuple[Profile, ...], kind: str, accelerated: bool, instances: int
) -> None:
    largest = max(profile.maximum for profile in found)
    accelerator = Accelerator("fp16", SHA256) if accelerated else None
    message = config.classifier(
        "m",
        target=TARGETS["onnxruntime" if accelerated else "tensorrt"],
        input_kind=kind,
        preprocessing=IMAGENET,
        classes=10,
        serving=Serving(largest, 1, 1),
        gpu=GpuServing(found, instances, accelerator),
    )
    assert config.parse(config.to_text(message)) == message
    assert message.max_batch_size == largest
    assert message.HasField("dynamic_batching") == (largest > 1)
    (group,) = message.instance_group
    assert (group.kind, group.count) == (group.KIND_GPU, instances)
    tuned = sorted({batch for p in found for batch in (p.minimum, p.optimum, p.maximum)})
    assert [warmup.batch_size for warmup in message.model_warmup] == tuned
    assert not [key for key in message.parameters if "thread" in key], "a CPU's business"
    dims = list(message.input[0].dims)
    if accelerated:
        (taken,) = message.optimization.execution_accelerators.gpu_execution_accelerator
        for bound, name in (("min", "minimum"), ("opt", "optimum"), ("max", "maximum")):
            shapes = taken.parameters[f"trt_profile_{bound}_shapes"].split(",")
            expected = [[getattr(profile, name), *dims] for profile in found]
            assert [
                [int(size) for size in shape.removeprefix("image:").split("x")] for shape in shapes
            ] == expected
        assert "precision_mode" not in taken.parameters, "TensorRT 11 knows none"
        assert not group.profile
        return
    assert list(group.profile) == [str(i) for i in range(len(found))] * (len(found) > 1)
    specs = message.optimization.cuda.graph_spec
    captured = [spec.batch_size for spec in specs]
    assert captured == sorted(set(captured))
    assert {*tuned, 1, largest} <= set(captured)
    assert all(1 <= batch <= largest for batch in captured), "Triton refuses the others"
    assert len(captured) <= len(tuned) + largest.bit_length()
    assert all([*spec.input] == ["image"] for spec in specs)
    assert all(list(spec.input["image"].dim) == dims for spec in specs)


@pytest.mark.parametrize(
    ("precision", "tag", "mode"),
    [
        ("fp32", "26.05", "FP32"),
        ("fp16", "26.05", "FP16"),
        ("int8", "24.10", "INT8"),
        ("int8", "26.06", None),
        ("fp16", "26.09", None),
    ],
)
def test_only_a_tensorrt_10_is_told_the_precision(
    precision: str, tag: str, mode: str | None
) -> None:
    accelerator = Accelerator(precision, SHA256, release=releases.find(tag))
    parameters = accelerator.parameters([Profile(1, 1, 1)], "image", [1])
    assert parameters.get("precision_mode") == mode


def test_another_network_never_gets_the_cached_engine() -> None:
    """The provider's own cache key is a hash of names; a retrained network has the same ones."""
    prefixes = {
        Accelerator("fp16", digest * 64).parameters([Profile(1, 1, 1)], "image", [1])[
            "trt_engine_cache_prefix"
        ]
        for digest in "ab"
    }
    assert len(prefixes) == 2


def test_what_a_gpu_cannot_serve() -> None:
    def classifier(target: str, gpu: GpuServing | None, largest: int = 8) -> None:
        config.classifier(
            "m",
            target=TARGETS[target],
            input_kind="uint8",
            preprocessing=DIGITS,
            classes=10,
            serving=Serving(largest, 1, 1),
            gpu=gpu,
        )

    accelerated = on_gpus((1, 8, 8), accelerator=Accelerator("fp16", SHA256))
    plain = on_gpus((1, 8, 8))
    for refused in (
        lambda: classifier("tensorrt", None),
        lambda: classifier("tensorrt", accelerated),
        lambda: classifier("onnxruntime", plain),
        lambda: classifier("tensorrt", plain, largest=4),
        lambda: on_gpus((2, 4, 8)),
        lambda: on_gpus((1, 1, 2), (4, 4, 8)),
        on_gpus,
        lambda: on_gpus((1, 1, 1), instances=0),
        lambda: Accelerator("fp8", SHA256),
        lambda: Accelerator("fp16", SHA256, level=6),
        lambda: Accelerator("fp16", SHA256, workspace_mib=0),
    ):
        with pytest.raises(UsageError) as refusal:
            refused()
        assert "\n" not in str(refusal.value)


def refusal_of_the_server(message: Any, folder: Path, *, backends: bool) -> str:
    """What the real server says of the model on a host without a GPU, and without backends."""
    version = folder / "models" / message.name / "1"
    version.mkdir(parents=True)
    (version / message.default_model_filename).write_bytes(b"stands for the model")
    (version.parent / "config.pbtxt").write_text(config.to_text(message))
    (version.parent / "labels.txt").write_text("label\n")
    (folder / "backends").mkdir()
    server = installation.find()
    if backends:
        installation.build_backends(server, folder / "backends")
    ended = subprocess.run(
        [
            str(server.binary),
            f"--model-repository={folder / 'models'}",
            f"--backend-directory={folder / 'backends'}",
            "--disable-auto-complete-config",
            *("--allow-http=false", "--allow-grpc=false", "--allow-metrics=false"),
        ],
        env=server.environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return ended.stdout + ended.stderr


@pytest.mark.triton
@pytest.mark.parametrize("name", gpu_classifiers())
def test_the_real_server_looks_for_the_backend(name: str, tmp_path: Path) -> None:
    """`platform` alone leads to the backend directory `tensorrt`, native or ours."""
    said = refusal_of_the_server(gpu_classifiers()[name], tmp_path, backends=False)
    backend = "onnxruntime" if name.startswith("accelerator") else "tensorrt"
    assert f"unable to find backend library for backend '{backend}'" in said, said


@pytest.mark.triton
@pytest.mark.parametrize("name", gpu_classifiers())
def test_the_real_server_then_wants_nothing_but_a_gpu(name: str, tmp_path: Path) -> None:
    message = gpu_classifiers()[name]
    said = refusal_of_the_server(message, tmp_path, backends=True)
    assert f"of model {message.name} has kind KIND_GPU but no GPUs are available" in said, said
