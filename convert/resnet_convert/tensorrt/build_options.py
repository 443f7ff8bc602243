"""Build options: what decides a plan besides the graph and the GPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resnet_serve.errors import UsageError
from resnet_serve.runtimes.profiles import Profile, covering

LEVELS = range(6)
HARDWARE = ("ampere+", "same")  # any Ampere or newer; any GPU of the same compute capability


@dataclass(frozen=True)
class BuildOptions:
    """The options of one build.

    `profiles` are the batch sizes that the plan is tuned for. `workspace_mib` is the GPU memory
    that a layer may use while the plan is built and run, None for all of it. `level` is TensorRT's
    optimization level. `hardware` is one of `HARDWARE`, None for the GPU that builds it. A
    `version_compatible` plan loads in later TensorRT versions of the same major too.

    Raises `UsageError` for a value out of its range.
    """

    profiles: tuple[Profile, ...]
    workspace_mib: int | None = None
    level: int = 3
    hardware: str | None = None
    version_compatible: bool = False

    def __post_init__(self) -> None:
        covering(self.profiles)
        if self.workspace_mib is not None and self.workspace_mib < 1:
            raise UsageError(
                f"a workspace of {self.workspace_mib} MiB is too small", remedy="Give at least 1."
            )
        if self.level not in LEVELS:
            raise UsageError(
                f"the optimization level is {LEVELS[0]} to {LEVELS[-1]}, not {self.level}"
            )
        if self.hardware is not None and self.hardware not in HARDWARE:
            raise UsageError(
                f"unknown hardware compatibility {self.hardware!r}",
                remedy=f"Use {' or '.join(HARDWARE)}.",
            )

    def to_json(self) -> dict[str, object]:
        """As the passport holds them; `from_json` reads it."""
        return {
            "profiles": [str(profile) for profile in self.profiles],
            "workspace_mib": self.workspace_mib,
            "level": self.level,
            "hardware_compatibility": self.hardware,
            "version_compatible": self.version_compatible,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> BuildOptions:
        """The options that `to_json` wrote; `UsageError` for values out of their range."""
        return cls(
            profiles=tuple(Profile.parse(text) for text in data["profiles"]),
            workspace_mib=data["workspace_mib"],
            level=data["level"],
            hardware=data["hardware_compatibility"],
            version_compatible=data["version_compatible"],
        )
