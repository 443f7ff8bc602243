"""What is looked at before a server starts on a repository: by `up`, and in the container.

Nothing is loaded: these are the versions that Triton could not load, and files that it would load
although they are not the version's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from resnet_serve import composed, listing
from resnet_serve.errors import HostError
from resnet_serve.triton.repository import versions
from resnet_serve.triton.repository.versions import Deployed
from resnet_serve.verification import files


def unloadable(found: Sequence[Deployed], repository: Path) -> Iterator[HostError]:
    """An error for what Triton could not load.

    A plan is still to be built, or members of a composed model have newer versions.
    """
    unbuilt = listing.unbuilt(found)
    if unbuilt:
        more = f" (and of {len(unbuilt) - 1} more models)" if len(unbuilt) > 1 else ""
        yield HostError(
            f"the plan of {unbuilt[0].name} version {unbuilt[0].version} is not built{more}",
            where=repository,
            remedy=f"On the GPU host: resnet-convert build-plan {unbuilt[0].path}",
        )
    for wrong in composed.outdated(found):
        yield HostError(
            wrong.reason,
            where=f"{wrong.deployed.name} version {wrong.deployed.version}",
            remedy=f"Compose it again with the present versions: {wrong.command}",
        )


def unproved(found: Sequence[Deployed]) -> Iterator[str]:
    """A line for each file that Triton would load and that is not known to be the version's own."""
    served = versions.served(found).values()
    yield from files.earlier(served)
    yield from files.edited(served)
