"""The passport of a deployed version: what it is, what it was made from, and what was proved of it.

Plain JSON beside the model, `<version>/passport.json`: hashes, versions, the contract with
clients, the numbers of the gate, and the command that makes the same file again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from resnet_serve.errors import InputFileError

FILE_NAME = "passport.json"
FORMAT = 1
_PACKAGES = (
    "torch", "onnx", "onnx-ir", "onnxruntime", "openvino", "tensorrt-cu13", "tensorrt-cu12",
    "numpy", "pillow", "resnet-serve",
)  # fmt: skip


@dataclass(frozen=True)
class Passport:
    """A thin, typed view of the JSON; unknown fields of newer versions are kept."""

    data: Mapping[str, Any]

    @property
    def architecture(self) -> str:
        return str(self.data["architecture"])

    @property
    def precision(self) -> str:
        return str(self.data["precision"])

    @property
    def target(self) -> str:
        return str(self.data["target"])

    @property
    def trained(self) -> bool:
        return bool(self.data["weights"]["trained"])

    @property
    def engine(self) -> Mapping[str, Any] | None:
        """What is known of the TensorRT engine; None for a model without one."""
        found: Mapping[str, Any] | None = self.data.get("engine")
        return found

    @property
    def engine_state(self) -> str | None:
        """ "built", "plan not built", "built by the server", or None without an engine."""
        return None if self.engine is None else str(self.engine["state"])

    @property
    def overridden(self) -> bool:
        """Whether the gate refused this version and it was deployed with --force."""
        return bool(self.data["gate"].get("overridden", False))

    @property
    def created(self) -> datetime:
        """When, with a time zone: UTC, unless it says another."""
        moment = datetime.fromisoformat(self.data["created"])
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def to_json(self) -> str:
        return json.dumps(json_values(self.data), indent=2, sort_keys=True, allow_nan=False) + "\n"


def create(**facts: Any) -> Passport:
    """A passport of now, with the versions of everything that had a hand in it."""
    return Passport(
        {
            "format": FORMAT,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": versions(),
            **facts,
        }
    )


def read(path: Path) -> Passport:
    """Read `passport.json`; raises `InputFileError` when it is not one."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        passport = Passport(data)
        _ = (passport.architecture, passport.precision, passport.trained, passport.created)
        _ = (passport.target, passport.overridden, passport.engine_state)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InputFileError(f"not a passport ({error!r})", where=path) from error
    return passport


def versions() -> dict[str, str]:
    """The installed versions of the packages that shape a conversion."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def json_values(value: Any) -> Any:
    """JSON has no infinity and no NaN; they become null."""
    if isinstance(value, Mapping):
        return {key: json_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_values(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
