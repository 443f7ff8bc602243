"""What is asked of a conversion: the options of `resnet-convert`, as one value."""

from __future__ import annotations

import shlex
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from resnet_convert.head import CLASSIFIER, check_head
from resnet_convert.quantization.clipping import METHODS
from resnet_convert.quantization.mixed_precision import Budgets
from resnet_convert.tensorrt.engine import BuildOptions
from resnet_serve import host
from resnet_serve.architectures import Architecture, find
from resnet_serve.architectures.custom_modules import name_of
from resnet_serve.checkpoints.reading import Reading
from resnet_serve.errors import UsageError
from resnet_serve.runtimes import Target, target
from resnet_serve.runtimes.profiles import Profile, covering
from resnet_serve.triton import releases
from resnet_serve.triton.config import Serving
from resnet_serve.triton.repository import check_name
from resnet_serve.weights import default_spec

INFERRED = "auto"
INPUTS = ("uint8", "float32")
ACCELERATORS = ("tensorrt",)
AIMS = ("latency", "throughput")
# Options that mean nothing where no TensorRT engine is made.
_OF_ENGINES = (
    "batch",
    "triton",
    "workspace",
    "optimization_level",
    "hardware_compat",
    "version_compatible",
)


@dataclass(frozen=True)
class Request:
    """Everything that decides a conversion; the fields are the options of `resnet-convert`."""

    arch: str | None = None
    precision: str = "fp32"
    weights: str | None = None
    target: str | None = None
    name: str | None = None
    repository: Path | str = Path("model_repository")
    calibration: str | None = None
    validation: str | None = None
    labels: Path | str | None = None
    ema: bool = False
    trust_pickle: bool = False
    weights_sha256: str | None = None
    preprocessing: Path | str | None = None
    module: str | None = None
    head: str = CLASSIFIER
    input: str = "uint8"
    max_batch_size: int = 8
    instances: int = 1
    calibration_images: int = 512
    validation_images: int | None = None
    force: bool = False
    accelerator: str | None = None
    batch: tuple[str, ...] = ()
    prepare_only: bool = False
    triton: str | None = None
    workspace: int | None = None
    optimization_level: int = 3
    hardware_compat: str | None = None
    version_compatible: bool = False
    timing_cache: Path | str | None = None
    optimize: str = "latency"
    calibration_method: str = "minmax"
    budget_top1: float | None = None
    budget_agreement: float | None = None

    @property
    def model_name(self) -> str:
        return self.name or self.arch or name_of(self.module or "")

    @property
    def architecture(self) -> Architecture | None:
        """The row that is named; None for a --module, or to be inferred from the checkpoint."""
        return None if self.arch in (None, INFERRED) else find(str(self.arch))

    @property
    def weights_spec(self) -> str:
        """What `--weights` means, given or not."""
        if self.weights is not None:
            return self.weights
        if self.module is not None:
            return self.module
        if self.architecture is None:
            raise UsageError(
                "--arch auto infers the network from a checkpoint", remedy="Give --weights a file."
            )
        return default_spec(self.architecture)

    @property
    def reading(self) -> Reading:
        """How the checkpoint is read."""
        own = None if self.preprocessing is None else Path(self.preprocessing)
        return Reading(self.ema, self.trust_pickle, self.weights_sha256, own)

    @property
    def classifies(self) -> bool:
        """Whether it answers logits; else features, which decide nothing."""
        return self.head == CLASSIFIER

    @property
    def row(self) -> Target:
        """The target's row; before autoselect has decided, that of the first entrant."""
        open_choice = self.target in (None, "auto")
        name = "onnxruntime" if self.accelerator and open_choice else self.target or "auto"
        return target(name, "fp32" if self.precision == "auto" else self.precision)

    @property
    def autoselects(self) -> bool:
        """Whether measuring decides: `--target auto`, or `--precision auto`."""
        return self.accelerator is None and "auto" in (self.target, self.precision)

    @property
    def for_tensorrt(self) -> bool:
        """Whether TensorRT will compile the graph: in our build, or in the server's."""
        return self.row.name == "tensorrt" or self.accelerator == "tensorrt"

    @property
    def build_options(self) -> BuildOptions:
        """How the engine is built; one profile up to --max-batch-size unless --batch says more."""
        rows = [Profile.parse(text) for text in self.batch]
        default = Profile(1, self.max_batch_size, self.max_batch_size)
        return BuildOptions(
            profiles=tuple(rows) or (default,),
            workspace_mib=self.workspace,
            level=self.optimization_level,
            hardware=self.hardware_compat,
            version_compatible=self.version_compatible,
        )

    @property
    def timing_cache_directory(self) -> Path | None:
        """Where the timing caches are kept; None for this user's cache."""
        return None if self.timing_cache is None else Path(self.timing_cache)

    @property
    def budgets(self) -> Budgets:
        """What INT8 may cost; layers are kept in higher precision until it holds."""
        share = None if self.budget_agreement is None else self.budget_agreement / 100
        return Budgets(self.budget_top1, share)

    @property
    def budgeted(self) -> bool:
        return self.budgets != Budgets()

    def serving(self, cores: int) -> Serving:
        """How Triton runs it: on a CPU the instances share the cores, on a GPU they do not."""
        if self.for_tensorrt:
            return Serving(covering(self.build_options.profiles), self.instances, cores)
        return Serving.fitting(
            cores=cores, max_batch_size=self.max_batch_size, instances=self.instances
        )

    def check(self) -> None:
        """Refuse, before anything is read, what cannot work."""
        self._check_network()
        row = self.row
        check_name(self.model_name)
        if self.input not in INPUTS:
            raise UsageError(f"unknown input {self.input!r}", remedy="Use uint8 or float32.")
        if self.optimize not in AIMS:
            raise UsageError(f"unknown aim {self.optimize!r}", remedy=f"Use {' or '.join(AIMS)}.")
        check_head(
            self.head,
            without_classes={"--labels": self.labels is not None, "a budget": self.budgeted},
            not_yet={"TensorRT": self.for_tensorrt},
        )
        self._check_quantization()
        self._check_choice(row)
        self._check_accelerator(row)
        self.serving(host.cores())
        for images in (self.calibration_images, self.validation_images):
            if images is not None and images < 1:
                raise UsageError(f"{images} images are none", remedy="Give 1 or more.")
        if self.precision in ("int8", "fp8") and self.calibration is None:
            raise UsageError(
                f"{self.precision.upper()} needs calibration images: ranges taken from noise lose "
                "accuracy",
                remedy="Give --calibration a folder of images like those to be classified.",
            )

    def _check_network(self) -> None:
        if self.module is None and self.arch is None:
            raise UsageError(
                "no network is named", remedy="Give --arch (--help lists them), or --module."
            )
        if self.module is None:
            self.reading.check(self.weights_spec, inferring=self.architecture is None)
            return
        if self.arch is not None:
            raise UsageError(
                f"--arch {self.arch} and --module {self.module} name two networks",
                remedy="Leave out one of them.",
            )
        self.reading.check(self.weights or "random")

    def _check_quantization(self) -> None:
        method, quantized = self.calibration_method, self.precision in ("int8", "fp8", "auto")
        if method not in ("auto", *METHODS):
            raise UsageError(
                f"unknown calibration method {method!r}",
                remedy=f"Use auto, {', '.join(METHODS)}.",
            )
        if not quantized and (method != DEFAULTS["calibration_method"] or self.budgeted):
            raise UsageError(
                f"{self.precision} has no ranges to choose and no layers to keep",
                remedy="Use --calibration-method and the budgets with --precision int8.",
            )
        if self.precision == "fp8" and method == "auto":
            raise UsageError("auto tries INT8", remedy="Name a calibration method for FP8.")
        for name, value, largest in (
            ("budget-top1", self.budget_top1, 100.0),
            ("budget-agreement", self.budget_agreement, 100.0),
        ):
            if value is not None and not 0 <= value <= largest:
                raise UsageError(f"--{name} is 0 to {largest:g}, not {value:g}")
        if self.budget_top1 is not None and self.validation is None:
            raise UsageError(
                "--budget-top1 needs images whose classes are known",
                remedy="Give --validation a folder with one folder per class.",
            )

    def _check_choice(self, row: Target) -> None:
        if self.precision == "auto" and (row.gpu or self.accelerator is not None):
            raise UsageError(
                "--precision auto compares what a CPU can do",
                remedy="Name the precision of a GPU target.",
            )
        if self.optimize != DEFAULTS["optimize"] and not self.autoselects:
            raise UsageError(
                "--optimize says what --target auto is to aim at",
                remedy="Use it with --target auto or --precision auto.",
            )

    def _check_accelerator(self, row: Target) -> None:
        if self.accelerator is not None:
            if self.accelerator not in ACCELERATORS:
                raise UsageError(
                    f"unknown accelerator {self.accelerator!r}",
                    remedy=f"Use {', '.join(ACCELERATORS)}.",
                )
            if row.name != "onnxruntime":
                raise UsageError(
                    f"the target {row.name} takes no accelerator",
                    remedy="Use --accelerator with --target onnxruntime.",
                )
        if self.prepare_only and row.name != "tensorrt":
            raise UsageError(
                "--prepare-only leaves out the build of a TensorRT plan",
                remedy="Use it with --target tensorrt.",
            )
        if not self.for_tensorrt:
            for key in _OF_ENGINES:
                if getattr(self, key) != DEFAULTS[key]:
                    raise UsageError(
                        f"{_flag(key)} is for TensorRT engines",
                        remedy="Use it with --target tensorrt, or leave it out.",
                    )
            return
        if self.batch and self.max_batch_size != DEFAULTS["max_batch_size"]:
            raise UsageError(
                "--batch says what --max-batch-size says", remedy="Leave out one of them."
            )
        image = releases.CURRENT if self.triton is None else releases.find(self.triton)
        if self.accelerator and self.precision == "int8" and image.tensorrt_major < 11:
            raise UsageError(
                f"{image.tag} has TensorRT {image.tensorrt}, for which ONNX Runtime cannot say "
                "INT8 with the rest in FP16",
                remedy="Use --target tensorrt, or a container from 26.06 on.",
            )

    def command(self) -> str:
        """The command line that makes the same conversion again."""
        words = ["resnet-convert"]
        for key, default in DEFAULTS.items():
            value = getattr(self, key)
            if value is None or str(value) == str(default):
                continue
            if value is True:
                words.append(_flag(key))
                continue
            for text in value if isinstance(value, tuple) else (value,):
                words += [_flag(key), str(text)]
        return shlex.join(words)


def _flag(key: str) -> str:
    return f"--{key.replace('_', '-')}"


DEFAULTS: dict[str, Any] = {
    each.name: None if each.default is MISSING else each.default for each in fields(Request)
}
