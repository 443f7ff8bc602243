"""The examples in deploy/: a ResNet-50 on two cores, as `resnet-serve manifests` writes it.

.venv/bin/python tests/support/example_manifests.py      writes them again
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from passports import converted

from resnet_serve import __version__
from resnet_serve.manifests import document, kserve, kubernetes, workload
from resnet_serve.manifests.workload import Workload
from resnet_serve.passport import TensorContractFacts, TimingFacts
from resnet_serve.triton.repository.versions import Deployed

DEPLOY = Path(__file__).parents[2] / "deploy"
SIZE_BYTES = 25_700_000  # INT8


def deployed(**changes: Any) -> Deployed:
    """Version 3 of `resnet50`, whose passport has these changes."""
    made = converted(name="resnet50", architecture="resnet50", **changes)
    contract = made.contract
    assert isinstance(contract, TensorContractFacts)
    timed = TimingFacts(batch_size=1, median_ms=40.0, p95_ms=42.0, images_per_s=25.0, rounds=9)
    made = replace(
        made,
        model=replace(made.model, size_bytes=SIZE_BYTES),
        latency=replace(made.latency, times={**made.latency.times, made.target: timed}),
    )
    return Deployed("resnet50", 3, Path("model_repository/resnet50/3"), made)


def on_cpus() -> Workload:
    """INT8 in ONNX Runtime, on two cores."""
    return workload.of(deployed())


def examples() -> dict[Path, str]:
    """The text of every example, by its path."""
    made = on_cpus()
    image = f"resnet-serve:{__version__}-triton{made.release.tag}"
    on_kubernetes = kubernetes.objects(
        made, image=image, claim="resnet50-models", replicas=2, most=6
    )
    storage = "pvc://resnet50-models/model_repository"
    on_kserve = kserve.objects(made, storage=storage, replicas=2, most=6, canary=10)
    return {
        DEPLOY / "kubernetes/resnet50.yaml": document.text(on_kubernetes),
        DEPLOY / "kserve/resnet50.yaml": document.text(on_kserve),
    }


if __name__ == "__main__":
    for path, text in examples().items():
        path.write_text(text, encoding="utf-8")
