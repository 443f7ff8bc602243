"""How a version is served: instances, threads, batches, queue delay; and its config.pbtxt then.

The model file, its runtime and its precision are those of the version. What is written is what the
converter writes for these numbers; everything else in the configuration stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from resnet_serve.passport import ConvertedPassport, TensorContractFacts
from resnet_serve.passport.facts import Facts
from resnet_serve.runtimes import TARGETS
from resnet_serve.triton import config, queue_bound
from resnet_serve.triton.backends.elastic import ONE_PER_CORE_BELOW

_BATCHES = (1, 2)  # a runtime may have parameters for batches alone


@dataclass(frozen=True, kw_only=True)
class Configuration(Facts):
    """`instances` × `threads` of one version, batches up to `max_batch_size`.

    A batch that is not full waits `delay_ms` for further requests. Fewer images than
    `one_per_core_below` run one per thread of their instance, more as a batch.
    """

    version: int
    instances: int
    threads: int
    max_batch_size: int
    delay_ms: float = 0.0
    one_per_core_below: int = 0

    @classmethod
    def deployed(cls, version: int, contract: TensorContractFacts, made: Any) -> Configuration:
        """How a version is served now; `made` is its configuration."""
        return cls(
            version=version,
            instances=contract.instances,
            threads=contract.threads,
            max_batch_size=made.max_batch_size,
            delay_ms=made.dynamic_batching.max_queue_delay_microseconds / 1000,
            one_per_core_below=int(made.parameters[ONE_PER_CORE_BELOW].string_value or 0)
            if ONE_PER_CORE_BELOW in made.parameters
            else 0,
        ).canonical()

    def canonical(self) -> Configuration:
        """The same without what makes no difference.

        Without batches there is no delay, and one thread divides no batch.
        """
        merges = self.max_batch_size > 1
        return replace(
            self,
            delay_ms=self.delay_ms if merges else 0.0,
            one_per_core_below=self.one_per_core_below if merges and self.threads > 1 else 0,
        )

    def __str__(self) -> str:
        instances = f"{self.instances} instance{'s' if self.instances > 1 else ''}"
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        batches = (
            f"batches up to {self.max_batch_size}" if self.max_batch_size > 1 else "no batches"
        )
        delay = f", {self.delay_ms:g} ms queue delay" if self.delay_ms else ""
        return f"{instances} × {threads}, {batches}{self._divided()}{delay}"

    def _divided(self) -> str:
        if not self.one_per_core_below:
            return ""
        if self.one_per_core_below > self.max_batch_size:
            return " divided among the threads"
        return f" divided among the threads below {self.one_per_core_below}"


def written(own: Any, passport: ConvertedPassport, wanted: Configuration) -> Any:
    """The classifier's configuration `own`, changed to what is wanted; its queue stays bounded."""
    made = config.parse(config.to_text(own))
    made.max_batch_size = wanted.max_batch_size
    made.instance_group[0].count = wanted.instances
    runtime = TARGETS[passport.target].cpu_runtime
    for largest in (*_BATCHES, wanted.max_batch_size):
        parameters = runtime.triton_parameters(
            instances=wanted.instances,
            threads=wanted.threads,
            max_batch_size=largest,
            precision=passport.precision,
        )
        for key in parameters:
            made.parameters.pop(key, None)
    made.parameters.pop(ONE_PER_CORE_BELOW, None)
    if wanted.one_per_core_below:
        parameters[ONE_PER_CORE_BELOW] = str(wanted.one_per_core_below)
    for key, value in parameters.items():
        made.parameters[key].string_value = value
    bounded = made.dynamic_batching.HasField("default_queue_policy")
    if wanted.max_batch_size == 1 and not bounded:
        made.ClearField("dynamic_batching")
    else:
        made.dynamic_batching.SetInParent()
        made.dynamic_batching.ClearField("preferred_batch_size")
        made.dynamic_batching.max_queue_delay_microseconds = round(1000 * wanted.delay_ms)
    _warm_up(made, wanted)
    return made


def around(own: Any, wanted: Configuration) -> Any:
    """The configuration of the decoder or the image ensemble, for the same batches."""
    made = config.parse(config.to_text(own))
    made.max_batch_size = wanted.max_batch_size
    return made


def unbounded(own: Any) -> Any:
    """The same without a bound of the queue: perf_analyzer ends at the first rejected request."""
    made = config.parse(config.to_text(own))
    queue_bound.clear(made)
    if made.max_batch_size <= 1:
        made.ClearField("dynamic_batching")
    return made


def _warm_up(made: Any, wanted: Configuration) -> None:
    if not made.model_warmup:
        return
    inputs = type(made.model_warmup[0])()
    inputs.CopyFrom(made.model_warmup[0])
    del made.model_warmup[:]
    for batch_size in sorted({1, wanted.max_batch_size}):
        warmup = made.model_warmup.add()
        warmup.CopyFrom(inputs)
        warmup.name, warmup.batch_size = f"batch {batch_size}", batch_size
        warmup.count = wanted.instances
