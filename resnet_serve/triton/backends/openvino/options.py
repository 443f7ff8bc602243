"""Options of the `openvino` backend in a configuration: OpenVINO's properties, and the model file.

Names, values and refusals are the native backend's (2026-08, triton-inference-server/
openvino_backend, `ModelState::ParseParameters` and `ParseParameterHelper` of openvino.cc). Two
differences are described in docs/openvino.md: instances of the native backend share one compiled
model with its streams and threads, and here each has its own, with its share of them; and layers
that are not INT8 compute in FP32 unless HINT_BF16 is set, where in the native backend the CPU
decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_serve.triton.backends.contract import ContractError

DEFAULT_MODEL_FILE = "model.xml"
_HINTS = {
    "latency": "LATENCY",
    "throughput": "THROUGHPUT",
    "cumulative_throughput": "CUMULATIVE_THROUGHPUT",
}


@dataclass(frozen=True)
class Options:
    """Options of the compiled model; `streams` is a number, "AUTO" or "NUMA"."""

    device: str = "CPU"
    inference_threads: int | None = None
    compilation_threads: int | None = None
    bf16: bool = False
    streams: int | str | None = None
    hint: str | None = None
    auto_batching: bool = True
    padding: bool = False
    reshape: bool = False

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Options:
        """Read `parameters`; unknown ones are ignored.

        Raises `ContractError` for a bad value.
        """
        values = {
            key: str(value["string_value"])
            for key, value in (config.get("parameters") or {}).items()
            if value.get("string_value")
        }
        if "CPU_EXTENSION_PATH" in values:
            raise ContractError(
                f"model '{config['name']}': CPU_EXTENSION_PATH needs the native openvino backend; "
                "this one loads no libraries for a model"
            )
        return cls(
            device=values.get("TARGET_DEVICE", "CPU").upper(),
            inference_threads=_number(values, "INFERENCE_NUM_THREADS"),
            compilation_threads=_number(values, "COMPILATION_NUM_THREADS"),
            bf16=_bf16(values),
            streams=_streams(values),
            hint=_hint(values),
            auto_batching=not _yes(values, "SKIP_OV_DYNAMIC_BATCHSIZE"),
            padding=_yes(values, "ENABLE_BATCH_PADDING"),
            reshape=_yes(values, "RESHAPE_IO_LAYERS"),
        )

    def properties(self, *, instances: int, cores: int) -> dict[str, Any]:
        """OpenVINO's properties for one of `instances` that share `cores`.

        An instance runs one request at a time: one stream, with the threads of one stream.
        """
        properties: dict[str, Any] = {}
        if self.hint is not None:
            properties["PERFORMANCE_HINT"] = self.hint
        if self.compilation_threads is not None:
            properties["COMPILATION_NUM_THREADS"] = self.compilation_threads
        if self.bf16:
            properties["INFERENCE_PRECISION_HINT"] = "bf16"
        if self.streams is not None:
            properties["NUM_STREAMS"] = 1 if isinstance(self.streams, int) else self.streams
        parts = max(instances, self.streams if isinstance(self.streams, int) else 1)
        if self.inference_threads or parts > 1:
            threads = self.inference_threads or cores
            properties["INFERENCE_NUM_THREADS"] = max(1, threads // parts)
        if self.device == "CPU":
            properties.setdefault("INFERENCE_PRECISION_HINT", "f32")
            # Instances are processes: with pinning, they would all use the same cores.
            properties["ENABLE_CPU_PINNING"] = False
        return properties

    def single_cores(self, properties: Mapping[str, Any]) -> dict[str, Any]:
        """What to change in an instance's properties so that each thread runs an image of its own.

        Empty where the instance has one thread, or not a number of its own.
        """
        threads = properties.get("INFERENCE_NUM_THREADS", 0)
        return {"NUM_STREAMS": threads} if self.device == "CPU" and threads > 1 else {}


def instances(config: Mapping[str, Any]) -> int:
    """How many instances of the model the server runs."""
    return max(1, sum(int(group.get("count", 1)) for group in config.get("instance_group") or []))


def model_file(config: Mapping[str, Any], version_directory: Path) -> Path:
    """`default_model_filename`, else `model.xml`: any format that OpenVINO reads.

    Raises `ContractError` where there is none.
    """
    path = version_directory / (config.get("default_model_filename") or DEFAULT_MODEL_FILE)
    if not path.exists():
        raise ContractError(f"unable to find '{path}' for model '{config['name']}'")
    return path


def refuse_kind(config: Mapping[str, Any], kind: str) -> None:
    """Raise `ContractError` for an instance kind other than "CPU"; TARGET_DEVICE is the device."""
    if kind != "CPU":
        raise ContractError(
            f"unable to load model '{config['name']}', Triton OpenVINO backend supports only "
            "Kind CPU and AUTO"
        )


def _yes(values: Mapping[str, str], key: str) -> bool:
    """As in the native backend, anything but YES is no."""
    return values.get(key, "").lower() == "yes"


def _number(values: Mapping[str, str], key: str) -> int | None:
    text = values.get(key)
    if text is None:
        return None
    if not _is_number(text):
        raise _expected(key, "a non-negative number", text)
    return int(text)


def _bf16(values: Mapping[str, str]) -> bool:
    text = values.get("HINT_BF16")
    if text is not None and text.lower() != "yes":
        raise _expected("HINT_BF16", "YES", text)
    return text is not None


def _streams(values: Mapping[str, str]) -> int | str | None:
    text = values.get("NUM_STREAMS")
    if text is None or text.upper() in ("AUTO", "NUMA"):
        return text and text.upper()
    if not _is_number(text):
        raise _expected("NUM_STREAMS", "either AUTO/NUMA/<int_value>", text)
    return int(text)


def _hint(values: Mapping[str, str]) -> str | None:
    text = values.get("PERFORMANCE_HINT")
    if text is None:
        return None
    if text.lower() not in _HINTS:
        raise _expected("PERFORMANCE_HINT", "LATENCY/THROUGHPUT/CUMULATIVE_THROUGHPUT", text)
    return _HINTS[text.lower()]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) < 2**31


def _expected(key: str, what: str, text: str) -> ContractError:
    return ContractError(f"expected the parameter '{key}' to be {what}, got {text.lower()}")
