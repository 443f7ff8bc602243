"""A whole passport of a conversion that never was, to be changed field by field."""

from __future__ import annotations

from typing import Any

from resnet_serve.cuda.device import Gpu
from resnet_serve.host import Host
from resnet_serve.parity.accuracy import Decisions
from resnet_serve.parity.latency import Ratio
from resnet_serve.parity.numerics import Numerics
from resnet_serve.parity.verdict import Check
from resnet_serve.passport import (
    AverageFacts,
    BuiltEngineFacts,
    CheckpointFacts,
    ComposedPassport,
    ContractFacts,
    ConvertedPassport,
    CropFacts,
    EngineFacts,
    EngineState,
    FoldFacts,
    GateFacts,
    LatencyFacts,
    MemberFacts,
    OnnxFacts,
    ParityFacts,
    SpeedFacts,
    StageFacts,
    TensorContractFacts,
    TimingFacts,
    TraceFacts,
    WeightsFacts,
)
from resnet_serve.preprocessing import Preprocessing

HOST = Host("a processor", 2, ("AVX2", "AVX512-VNNI"), 8.0, "Linux 6.1", "3.12.0")
PREPROCESSING = Preprocessing(resize=36, crop=(32, 32))
NUMERICS = {1: Numerics(8, 0.5, 0.25, 0.999, 41.5, 3), 8: Numerics(16, 0.5, 0.25, 0.998, 41.0, 3)}
DECISIONS = Decisions(16, 0.9375, 1.0, (5,), True, 93.75, 87.5, -6.25, (-28.5, 14.0), 0, 1, 1.0)


def converted(**changes: Any) -> ConvertedPassport:
    """The passport of a small INT8 network for ONNX Runtime."""
    facts: dict[str, Any] = {
        "name": "net",
        "architecture": "resnet20",
        "module": None,
        "parameters": 272_474,
        "head": "classifier",
        "outputs": {"logits": (10,)},
        "classes": 10,
        "precision": "int8",
        "target": "onnxruntime",
        "command": "resnet-convert --arch resnet20 --weights digits",
        "host": HOST,
        "weights": CheckpointFacts(
            trained=True, source="digits", sha256="0" * 64, trusted_pickle=False, training={}
        ),
        "model": OnnxFacts(
            file="model.onnx", sha256="1" * 64, size_bytes=300_000, opset=17, ir_version=8
        ),
        "engine": None,
        "contract": TensorContractFacts(
            input="uint8", preprocessing=PREPROCESSING, max_batch_size=8, instances=1, threads=2
        ),
        "calibration": None,
        "trace": TraceFacts(numerics=NUMERICS),
        "fold": FoldFacts(folded=21, total=21, kept=(), max_weight_change=4.5, numerics=NUMERICS),
        "parity": ParityFacts(
            runtime="onnxruntime",
            of="logits",
            images="digits",
            images_sha256="2" * 64,
            numerics=NUMERICS,
            decisions=DECISIONS,
            layers=({"name": "conv1", "sqnr_db": 45.0},),
        ),
        "latency": LatencyFacts(
            speedup=Ratio(2.0, 1.9, 2.1),
            times={
                name: TimingFacts(
                    batch_size=1, median_ms=ms, p95_ms=ms, images_per_s=1000 / ms, rounds=9
                )
                for name, ms in {"pytorch": 2.0, "onnxruntime": 1.0}.items()
            },
            reference_on="CPU",
            share_of_integer_peak=None,
        ),
        "autoselect": None,
        "calibration_search": None,
        "mixed_precision": None,
        "compiled_operators": {"Conv": 21},
        "gate": GateFacts(
            passed=True, checks=(Check("cosine", "0.998", "≥ 0.98", passed=True),), overridden=False
        ),
        "warnings": (),
        "stages": (StageFacts(name="trace", seconds=1.5, summary="21 convolutions"),),
    }
    return ConvertedPassport(**{**facts, **changes})


def engine(**changes: Any) -> EngineFacts:
    """An engine whose plan is still to be built."""
    facts: dict[str, Any] = {
        "state": EngineState.NOT_BUILT,
        "triton": "26.09",
        "profiles": ("1:4:8",),
        "workspace_mib": None,
        "level": 3,
        "hardware_compatibility": None,
        "version_compatible": False,
    }
    return EngineFacts(**{**facts, **changes})


def plan(**changes: Any) -> BuiltEngineFacts:
    """An engine that was built on an H100 with TensorRT 11.3.0.99."""
    facts = dict(vars(engine(state=EngineState.BUILT)))
    facts |= {
        "tensorrt": "11.3.0.99",
        "gpu": Gpu("NVIDIA H100 80GB HBM3", "9.0", "615.61", 79.6),
        "plan_sha256": "4" * 64,
        "plan_bytes": 17,
        "build_s": 12.5,
        "timing_cache_sha256": None,
        "timing_cache_reused": False,
        "inspection": {"layers": 21},
        "latency": {
            1: TimingFacts(batch_size=1, median_ms=0.5, p95_ms=0.6, images_per_s=2000, rounds=9)
        },
    }
    return BuiltEngineFacts(**{**facts, **changes})


def composed(**changes: Any) -> ComposedPassport:
    """The passport of a ten-crop model of the network of `converted`."""
    member = MemberFacts(
        name="net",
        version=3,
        sha256="1" * 64,
        architecture="resnet20",
        precision="int8",
        target="onnxruntime",
        weights_sha256="0" * 64,
        preprocessing=PREPROCESSING,
    )
    whole = converted()
    facts: dict[str, Any] = {
        "name": "crops",
        "kind": "ten-crop",
        "rule": "mean of the softmax probabilities of all crops",
        "members": (member,),
        "crops": CropFacts(scales=(36, 40), per_scale=10),
        "weights": WeightsFacts(trained=True),
        "model": AverageFacts(
            name="crops_average", file="model.onnx", sha256="3" * 64, opset=17, ir_version=8
        ),
        "contract": ContractFacts(max_batch_size=8),
        "latency": SpeedFacts(speedup=None),
    }
    shared = ("architecture", "parameters", "classes", "precision", "target", "command", "host")
    for name in (*shared, "engine", "parity", "gate", "warnings"):
        facts[name] = getattr(whole, name)
    return ComposedPassport(**{**facts, **changes})
