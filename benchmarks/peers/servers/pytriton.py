"""PyTriton: the real Triton, and Python functions in the process that started it."""

from __future__ import annotations

import sysconfig
from collections.abc import Sequence

from peers.load import Grpc, Load, bytes_request, tensor_request
from peers.peer import GRPC, NETWORK, TENSOR, Peer, Place


class PyTriton(Peer):
    """See the module."""

    protocol = GRPC
    name, title, service, ports = "pytriton", "PyTriton", "with_pytriton.py", 3
    requirements = (*NETWORK, "nvidia-pytriton==0.7.0")
    better = (
        "Triton's protocols, batching and metrics for any Python function, in a notebook too: "
        "no repository, no configuration file."
    )
    note = "gRPC. Workers are threads of one process."

    def environment(self, place: Place) -> dict[str, str]:
        """Its proxies run in the Python that Triton finds: this one."""
        return {**place.environment(), "LD_LIBRARY_PATH": sysconfig.get_config_var("LIBDIR")}

    def load(self, port: int, workload: str, samples: Sequence[bytes]) -> Load:
        """One model for each workload."""
        made = tensor_request if workload == TENSOR else bytes_request
        return Grpc(port + 1, [made(workload, sample) for sample in samples])
