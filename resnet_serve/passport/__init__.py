"""The passport of a deployed version: what it is, what it was made from, and what was proved of it.

Plain JSON beside the model, `<version>/passport.json`, typed here:

| file | what |
|---|---|
| `document` | `Passport` and its two kinds, read and written |
| `contents` | weights, model, contract with clients, calibration, members |
| `proof` | parity, gate, latency |
| `engine` | the TensorRT engine and the states it can be in |
| `provider` | ONNX Runtime's CUDA provider, and whether it ever ran |
| `facts` | how a dataclass is read from JSON and written again |

    found = passport.read(version / passport.FILE_NAME)
    found.parity.decisions, found.gate.passed, found.engine_state
"""

from resnet_serve.passport.contents import (
    AverageFacts,
    CalibrationFacts,
    CheckpointFacts,
    ContractFacts,
    CropFacts,
    FoldFacts,
    MemberFacts,
    ModelFacts,
    OnnxFacts,
    StageFacts,
    TensorContractFacts,
    TraceFacts,
    WeightsFacts,
)
from resnet_serve.passport.document import (
    FILE_NAME,
    FORMAT,
    ComposedPassport,
    ConvertedPassport,
    Passport,
    read,
    versions,
)
from resnet_serve.passport.engine import BuiltEngineFacts, EngineFacts, EngineState
from resnet_serve.passport.facts import MalformedFactsError, encode
from resnet_serve.passport.proof import (
    GateFacts,
    LatencyFacts,
    ParityFacts,
    RemeasuredFacts,
    SpeedFacts,
    TimingFacts,
    TunedFacts,
    WaitingFacts,
)
from resnet_serve.passport.provider import CudaFacts, ProviderState

__all__ = [
    "FILE_NAME",
    "FORMAT",
    "AverageFacts",
    "BuiltEngineFacts",
    "CalibrationFacts",
    "CheckpointFacts",
    "ComposedPassport",
    "ContractFacts",
    "ConvertedPassport",
    "CropFacts",
    "CudaFacts",
    "EngineFacts",
    "EngineState",
    "FoldFacts",
    "GateFacts",
    "LatencyFacts",
    "MalformedFactsError",
    "MemberFacts",
    "ModelFacts",
    "OnnxFacts",
    "ParityFacts",
    "Passport",
    "ProviderState",
    "RemeasuredFacts",
    "SpeedFacts",
    "StageFacts",
    "TensorContractFacts",
    "TimingFacts",
    "TraceFacts",
    "TunedFacts",
    "WaitingFacts",
    "WeightsFacts",
    "encode",
    "read",
    "versions",
]
