"""Rollout: another version, or another model, on a server that runs, without a failed request.

| file | role |
|---|---|
| `rollout` | load beside, smoke test, switch, unload; back to the old version where that fails |
| `deployed` | the same for a version that was just deployed |
| `canary` | a share of the requests for a new version, begun and withdrawn |
| `beside` | the new version under names of its own, in a folder that the server reads too |
| `smoke` | the version's example images through the server, against the reference's outputs |
| `smoke_composed` | a composed model through the server, against its members |
| `admin` | load, unload and list models with the server's key |
"""

from resnet_serve.triton.rollout.canary import begin, withdraw
from resnet_serve.triton.rollout.deployed import bring, check_canary
from resnet_serve.triton.rollout.rollout import DRAIN_S, Say, remove, serve

__all__ = ["DRAIN_S", "Say", "begin", "bring", "check_canary", "remove", "serve", "withdraw"]
