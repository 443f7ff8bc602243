"""What is asked of a conversion: the options of `resnet-convert`, as one value."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_serve import host
from resnet_serve.architectures import find
from resnet_serve.errors import UsageError
from resnet_serve.runtimes import target
from resnet_serve.triton.config import Serving
from resnet_serve.triton.repository import check_name

INPUTS = ("uint8", "float32")


@dataclass(frozen=True)
class Request:
    """Everything that decides a conversion; the fields are the options of `resnet-convert`."""

    arch: str
    precision: str = "fp32"
    weights: str | None = None
    target: str = "auto"
    name: str | None = None
    repository: Path | str = Path("model_repository")
    calibration: str | None = None
    validation: str | None = None
    labels: Path | str | None = None
    input: str = "uint8"
    max_batch_size: int = 8
    instances: int = 1
    calibration_images: int = 512
    validation_images: int | None = None
    force: bool = False

    @property
    def model_name(self) -> str:
        return self.name or self.arch

    def check(self) -> None:
        """Refuse, before anything is read, what cannot work."""
        find(self.arch)
        target(self.target, self.precision)
        check_name(self.model_name)
        if self.input not in INPUTS:
            raise UsageError(f"unknown input {self.input!r}", remedy="Use uint8 or float32.")
        Serving.fitting(
            cores=host.cores(), max_batch_size=self.max_batch_size, instances=self.instances
        )
        for images in (self.calibration_images, self.validation_images):
            if images is not None and images < 1:
                raise UsageError(f"{images} images are none", remedy="Give 1 or more.")
        if self.precision == "int8" and self.calibration is None:
            raise UsageError(
                "INT8 needs calibration images: ranges taken from noise lose accuracy",
                remedy="Give --calibration a folder of images like those to be classified.",
            )

    def command(self) -> str:
        """The command line that makes the same conversion again."""
        words = ["resnet-convert"]
        for key, default in _DEFAULTS.items():
            value = getattr(self, key)
            if value is None or str(value) == str(default):
                continue
            flag = f"--{key.replace('_', '-')}"
            words += [flag] if value is True else [flag, str(value)]
        return shlex.join(words)


_DEFAULTS: dict[str, Any] = {
    "arch": None,
    **{name: spec.default for name, spec in Request.__dataclass_fields__.items() if name != "arch"},
}
