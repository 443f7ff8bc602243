"""Ray Serve: an HTTP proxy, a router, and replicas that are actors of Ray."""

from __future__ import annotations

from collections.abc import Sequence

from peers.load import Http, Load, raw_requests
from peers.peer import NETWORK, Peer, Place


class RayServe(Peer):
    """See the module."""

    name, title, service = "ray", "Ray Serve", "with_ray.py"
    requirements = (*NETWORK, "ray[serve]==2.60.0")
    better = (
        "Many machines: replicas on a cluster, autoscaling, fractions of a GPU, and applications "
        "of several models in Python."
    )
    note = "HTTP. `max_ongoing_requests` 64: the default of 5 limits one replica."

    def environment(self, place: Place) -> dict[str, str]:
        """No reports to its vendor."""
        return {**place.environment(), "RAY_USAGE_STATS_ENABLED": "0"}

    def load(self, port: int, workload: str, samples: Sequence[bytes]) -> Load:
        """Bodies as they are."""
        return Http(port, raw_requests("/predict", workload, samples))
