"""Build options: what decides a plan besides the graph and the GPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resnet_serve.errors import UsageError
from resnet_serve.runtimes.profiles import Profile, covering
from resnet_serve.runtimes.tensorrt_flavours import Flavour

LEVELS = range(6)
DEFAULT_LEVEL = 3
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
    level: int = DEFAULT_LEVEL
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

    def check(self, flavour: Flavour) -> None:
        """Raise `UsageError` for an option that the builder of this flavour does not have."""
        if self.level != DEFAULT_LEVEL and not flavour.optimization_levels:
            raise UsageError(
                f"{flavour.title} has no optimization levels", remedy="Omit --optimization-level."
            )
        if self.hardware is not None and not flavour.hardware_levels:
            raise UsageError(
                f"{flavour.title} has no hardware compatibility levels: its plans are for the "
                "compute capabilities that they were built for",
                remedy="Omit --hardware-compat.",
            )
        if self.version_compatible and not flavour.version_compatible:
            raise UsageError(
                f"a plan of {flavour.title} loads in the version that built it alone",
                remedy="Omit --version-compatible.",
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
