"""What a passport keeps of ONNX Runtime's CUDA provider: its options, and whether it ever ran."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from resnet_serve.cuda.device import Gpu
from resnet_serve.passport.facts import Facts


class ProviderState(StrEnum):
    """What computed the numbers of the parity gate."""

    RAN = "ran on the GPU"
    EMULATED = "never run on a GPU: its types were emulated on a CPU"


@dataclass(frozen=True, kw_only=True)
class CudaFacts(Facts):
    """The provider by its own option names; `gpu` is the one that the gate's numbers are from."""

    state: ProviderState
    options: Mapping[str, str]
    gpu: Gpu | None = None
