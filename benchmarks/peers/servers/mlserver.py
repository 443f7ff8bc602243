"""MLServer: Seldon's server of the Open Inference Protocol, with worker processes."""

from __future__ import annotations

from collections.abc import Sequence

from peers.load import Grpc, Load, bytes_request, tensor_request
from peers.peer import GRPC, NETWORK, TENSOR, Peer


class MLServer(Peer):
    """See the module."""

    protocol = GRPC
    name, title, service, ports = "mlserver", "MLServer", "with_mlserver.py", 3
    requirements = (*NETWORK, "mlserver==1.7.1", "uvloop==0.21.0")
    better = (
        "Runtimes for scikit-learn, XGBoost, MLflow and Hugging Face that need no code, and the "
        "server of Seldon Core and KServe."
    )
    note = "gRPC."

    def load(self, port: int, workload: str, samples: Sequence[bytes]) -> Load:
        """One model takes both."""
        made = tensor_request if workload == TENSOR else bytes_request
        return Grpc(port + 1, [made("resnet50", sample) for sample in samples])
