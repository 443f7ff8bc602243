"""The peers, one file each, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from peers.peer import Peer
from peers.servers.bentoml import BentoML
from peers.servers.litserve import LitServe
from peers.servers.mlserver import MLServer
from peers.servers.ours import ResnetServe, ResnetServeHttp
from peers.servers.pytriton import PyTriton
from peers.servers.ray import RayServe
from peers.servers.torchserve import TorchServe, TorchServePyTorch

PEERS: Mapping[str, Peer] = MappingProxyType(
    {
        peer.name: peer
        for peer in (
            ResnetServe(),
            ResnetServeHttp(),
            PyTriton(),
            LitServe(),
            BentoML(),
            MLServer(),
            RayServe(),
            TorchServe(),
            TorchServePyTorch(),
        )
    }
)
# By protocol: what a peer is compared with.
OURS: Mapping[str, str] = MappingProxyType(
    {each.protocol: each.name for each in (ResnetServe, ResnetServeHttp)}
)
# What the comparison lacks, and why.
MISSING: Mapping[str, str] = MappingProxyType(
    {
        "OpenVINO Model Server": "published as a container image and as archives, in no package "
        "index; it would be the strongest of them, one C++ process.",
    }
)
