"""Request: the options of a conversion, and what follows from them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args, get_type_hints

from resnet_convert.head import CLASSIFIER
from resnet_convert.quantization.budgets import Budgets
from resnet_convert.request.field_types import typed
from resnet_convert.request.options import AUTO, Options
from resnet_convert.request.options.engines import CUDA, TENSORRT
from resnet_convert.tensorrt import rtx_targets
from resnet_convert.tensorrt.build_options import BuildOptions
from resnet_serve import precisions
from resnet_serve.architectures import Architecture, find
from resnet_serve.architectures.custom_modules import name_of
from resnet_serve.checkpoints.reading import Reading
from resnet_serve.errors import UsageError
from resnet_serve.parity.gate import Budget
from resnet_serve.precisions import Precision
from resnet_serve.runtimes import TARGETS, Target, target
from resnet_serve.runtimes.profiles import Profile, covering
from resnet_serve.runtimes.tensorrt_flavours import FLAVOURS, Flavour
from resnet_serve.triton import config_patch
from resnet_serve.triton.config import Serving
from resnet_serve.triton.config_patch import ConfigPatch
from resnet_serve.weights import default_spec

DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {each.name: each.default for each in fields(Options)}
)


@dataclass(frozen=True)
class Request(Options):
    """Everything that decides a conversion; the fields are the options of `resnet-convert`.

    A precision that is not named is that of the target. A path is taken wherever a string can name
    a file or a folder; None is the default. Raises `UsageError` for a value of another type.
    """

    def __post_init__(self) -> None:
        hints = _hints()
        for each in fields(self):
            value = getattr(self, each.name)
            stored = each.default if value is None else typed(each.name, value, hints[each.name])
            if stored is not value:
                object.__setattr__(self, each.name, stored)
        object.__setattr__(self, "precision", self.precision or self._default_precision)

    @property
    def _default_precision(self) -> str:
        row = TARGETS.get(str(self.target))
        return "fp32" if row is None else row.default_precision

    @property
    def model_name(self) -> str:
        """The name it is served under."""
        return self.name or self.arch or name_of(self.module or "")

    @property
    def architecture(self) -> Architecture | None:
        """The row that is named; None for a --module, or to be inferred from the checkpoint."""
        return None if self.arch in (None, AUTO) else find(str(self.arch))

    @property
    def weights_spec(self) -> str:
        """What `--weights` means, given or not; raises `UsageError` where nothing is meant."""
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
        return Reading(
            ema=self.ema,
            trust_pickle=self.trust_pickle,
            sha256=self.weights_sha256,
            preprocessing=own,
            key=self.weights_key,
            classifier=self.classifies,
        )

    @property
    def classifies(self) -> bool:
        """Whether the outputs are logits; else features, which rank no classes."""
        return self.head == CLASSIFIER

    @property
    def precision_row(self) -> Precision:
        """The row of the precision; FP32's while autoselect has not decided."""
        return precisions.find("fp32" if self.precision == AUTO else self.precision)

    @property
    def row(self) -> Target:
        """The row of the target; before autoselect has decided, that of its first entrant."""
        open_choice = self.target in (None, AUTO)
        name = "onnxruntime" if self.accelerator and open_choice else self.target or AUTO
        return target(name, self.precision_row.name)

    @property
    def autoselects(self) -> bool:
        """Whether measuring decides: `--target auto`, or `--precision auto`."""
        return self.accelerator is None and AUTO in (self.target, self.precision)

    @property
    def for_tensorrt(self) -> bool:
        """Whether TensorRT will compile the graph: in our build, or in the server's."""
        return self.makes_plan or self.accelerator == TENSORRT

    @property
    def for_cuda(self) -> bool:
        """Whether ONNX Runtime's CUDA provider will run the graph."""
        return self.accelerator == CUDA

    @property
    def for_gpu(self) -> bool:
        """Whether it will be served on a GPU."""
        return self.for_tensorrt or self.for_cuda

    @property
    def makes_plan(self) -> bool:
        """Whether a TensorRT plan is what will be served."""
        return self.flavour is not None

    @property
    def flavour(self) -> Flavour | None:
        """What builds the plan; None where there is none to build."""
        return FLAVOURS.get(self.row.name)

    @property
    def built_for(self) -> tuple[str, ...]:
        """The compute capabilities that the plan is built for, where it is not for this GPU.

        Raises `UsageError` for GPUs that it cannot be built for; see `rtx_targets`.
        """
        flavour = self.flavour
        if flavour is None or not flavour.targets:
            return ()
        return rtx_targets.chosen(self.gpus, self.precision)

    @property
    def floating_type(self) -> str | None:
        """The type of the tensors that are not quantized: "fp16", "bf16"; None for FP32."""
        row = self.precision_row
        return row.typed_for_tensorrt if self.for_tensorrt else row.typed_for_cpu

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
        """Where the timing caches are kept; None for the user's cache."""
        return None if self.timing_cache is None else Path(self.timing_cache)

    @property
    def budgets(self) -> Budgets:
        """What INT8 may cost; layers are kept in higher precision until it holds."""
        share = None if self.budget_agreement is None else self.budget_agreement / 100
        return Budgets(self.budget_top1, share)

    @property
    def gate_budget(self) -> Budget:
        """What the gate allows: the precision's budget, with what the user allows."""
        asked = self.budgets
        return self.precision_row.budget.allowing(
            top1_points=asked.top1_points, agreement=asked.agreement
        )

    @property
    def budgeted(self) -> bool:
        """Whether a budget was given."""
        return self.budgets != Budgets()

    def serving(self, cores: int) -> Serving:
        """How Triton runs it: on a CPU the instances share the cores, on a GPU they do not."""
        if self.for_gpu:
            return Serving(covering(self.build_options.profiles), self.instances, cores)
        return Serving.fitting(
            cores=cores, max_batch_size=self.max_batch_size, instances=self.instances
        )

    def read_patch(self, cores: int) -> ConfigPatch | None:
        """The patch of the configuration, checked; raises `InputFileError`."""
        if self.config_patch is None:
            return None
        largest = self.serving(cores).max_batch_size
        return config_patch.read(self.config_patch, max_batch_size=largest, gpu=self.for_gpu)

    def command(self) -> str:
        """The command line that makes the same conversion again."""
        words = ["resnet-convert"]
        for key, default in DEFAULTS.items():
            value = None if key == "canary" else getattr(self, key)  # how it is served at first
            usual = self._default_precision if key == "precision" else default
            if value is None or str(value) == str(usual):
                continue
            if value is True:
                words.append(flag(key))
                continue
            for text in map(str, value if isinstance(value, tuple) else (value,)):
                words += [f"{flag(key)}={text}"] if text.startswith("-") else [flag(key), text]
        return shlex.join(words)

    def decided(self) -> Request:
        """The request without the options that its target and precision, once named, do not take.

        Those of autoselect, and those of quantization where nothing is quantized.
        """
        left_out: list[str] = [] if self.autoselects else ["optimize"]
        if self.precision != AUTO and not self.precision_row.quantized:
            left_out += ["calibration", "calibration_method", "calibration_images"]
        return replace(self, **{name: DEFAULTS[name] for name in left_out})


@cache
def _hints() -> Mapping[str, Any]:
    """The type of each field."""
    return get_type_hints(Options)


@cache
def flag(field: str) -> str:
    """The option of a field: "--budget-top1" for "budget_top1", unless it declares another."""
    declared = get_args(get_type_hints(Options, include_extras=True)[field])[1]
    names = (declared.default, *(declared.param_decls or ()))  # typer takes the first as default
    stated = (each for each in names if str(each).startswith("--"))
    return next(stated, f"--{field.replace('_', '-')}")
