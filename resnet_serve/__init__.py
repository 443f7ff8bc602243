"""resnet-serve: a trained ResNet goes in, a served classifier comes out.

from resnet_serve import Server
with Server("model_repository") as server:
    print(server.grpc)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resnet_serve.triton.server import Server

__version__ = "0.1.0"
__all__ = ["Server", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Server":
        from resnet_serve.triton.server import Server

        return Server
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
