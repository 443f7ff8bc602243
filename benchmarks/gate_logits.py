"""Record logits of good and of broken INT8 networks, for `gate_error_rates.py`.

python benchmarks/gate_logits.py --cifar10 ../shared/data/cifar10

The CIFAR-10 folder holds `resnet20-12fca82f.th` (akamaster/pytorch_resnet_cifar10) and the JPEG
images `test-jpeg.tar` and `calibration-jpeg.tar`; the digits come with the package. The results are
`benchmarks/results/gate_logits.npz`: the FP32 logits in half precision, and every network's
difference from them in 8 bits, so that the simulation runs without the images.
"""

from __future__ import annotations

import argparse
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from faults import LAYERS, Change, scaled
from networks import PREPROCESSING
from numpy.typing import NDArray
from recorded import RESULTS

from resnet_convert.folded import prepare
from resnet_convert.graph.model_file import serialize
from resnet_convert.parity.reference import Reference
from resnet_convert.quantization.calibrate import observe_histograms
from resnet_convert.quantization.dialects import U8S7, U8S8, Dialect
from resnet_convert.request import Request
from resnet_convert.stage_log import Silent, StageLog
from resnet_serve import host, weights
from resnet_serve.datasets import open_images, pixel_batches
from resnet_serve.datasets.selection import spread
from resnet_serve.runtimes import open_on_cpu
from resnet_serve.weights import class_names

FILE = RESULTS / "gate_logits.npz"


@dataclass(frozen=True)
class Recorded:
    """A set of images: FP32 logits [N,classes], labels [N], and the networks' logits by name.

    The names of good networks begin with "good", those of broken ones with "broken".
    """

    reference: NDArray[np.float32]
    labels: NDArray[np.int64]
    networks: dict[str, NDArray[np.float32]]

    def pack(self, name: str) -> dict[str, NDArray[np.generic]]:
        """The arrays of the file, under names that begin with `name`."""
        whole = self.reference.astype(np.float16)
        packed: dict[str, NDArray[np.generic]] = {
            f"{name}/reference": whole,
            f"{name}/labels": self.labels.astype(np.uint8),
        }
        for network, logits in self.networks.items():
            difference = logits - whole.astype(np.float32)
            step = max(float(np.abs(difference).max()) / 127, 1e-9)
            packed[f"{name}/{network}"] = np.rint(difference / step).astype(np.int8)
            packed[f"{name}/{network}/step"] = np.asarray(step, np.float32)
        return packed


def read() -> dict[str, Recorded]:
    """The recorded sets by name."""
    with np.load(FILE) as file:
        arrays = dict(file)
    found = {}
    for name in dict.fromkeys(key.split("/")[0] for key in arrays):
        reference = arrays[f"{name}/reference"].astype(np.float32)
        steps = [key for key in arrays if key.startswith(f"{name}/") and key.endswith("/step")]
        found[name] = Recorded(
            reference,
            arrays[f"{name}/labels"].astype(np.int64),
            {
                key.split("/")[1]: reference + arrays[key.removesuffix("/step")] * arrays[key]
                for key in steps
            },
        )
    return found


def record(request: Request) -> Recorded:
    """Convert in every way, and run all over the validation images."""
    labels = None if request.labels is None else class_names.resolve(request.labels)
    loaded = weights.load(
        request.weights_spec, request.architecture, labels=labels, reading=request.reading
    )
    calibration = open_images(str(request.calibration), None, split="calibration")
    calibration = spread(calibration, request.calibration_images)
    validation = open_images(str(request.validation), loaded.labels, split="validation")
    if validation.labels is None:
        raise ValueError("validation images with labels are needed")
    threads = host.cores()
    reference = Reference(loaded.network(), loaded, request.input, threads)
    folded = prepare(request, reference, StageLog(Silent())).model
    batches = list(pixel_batches(validation, loaded.preprocessing, 64))

    def run(data: bytes, target: str, precision: str = "int8") -> NDArray[np.float32]:
        """The logits [N,classes] of a model over the validation images."""
        with open_on_cpu(target, precision, data, threads) as model:
            return np.concatenate([model.run(batch) for batch in batches])

    seen = observe_histograms(
        folded, U8S7.activations(folded), reference.inputs(calibration), threads=threads
    )

    def quantized(dialect: Dialect, method: str, change: Change | None = None) -> bytes:
        """The INT8 model of a dialect and a calibration method, changed if told to."""
        model = folded.clone()
        dialect.quantize(model, seen.calibration(method, symmetric=False).ranges, "int8")
        if change is not None:
            change(model)
        return serialize(model)

    def networks() -> Iterator[tuple[str, NDArray[np.float32]]]:
        """The name and the logits of every network, good and broken."""
        for method in ("minmax", "mse"):
            for target in ("onnxruntime", "openvino"):
                yield f"good {target} {method}", run(quantized(U8S7, method), target)
        if not host.describe().fast_int8:
            data = quantized(U8S8, "minmax")
            yield "broken: 8-bit weights without VNNI", run(data, "onnxruntime")
        for layer in LAYERS:
            data = quantized(U8S7, "minmax", scaled(layer))
            yield f"broken: {layer} scale x4", run(data, "onnxruntime")

    expected = run(serialize(folded), "onnxruntime", "fp32")
    return Recorded(expected, validation.labels, dict(networks()))


def main() -> None:
    """Record what is there, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cifar10", type=Path, required=True)
    folder = parser.parse_args().cifar10
    digits = Request(arch="resnet20", precision="int8", calibration="digits", validation="digits")
    packed = record(digits).pack("digits")
    with tempfile.TemporaryDirectory() as place:
        for name in ("test-jpeg.tar", "calibration-jpeg.tar"):
            with tarfile.open(folder / name) as archive:
                archive.extractall(place, filter="data")
        own = Path(place) / "preprocessing.json"
        own.write_text(PREPROCESSING)
        request = Request(
            arch="resnet20",
            weights=str(folder / "resnet20-12fca82f.th"),
            labels="cifar10",
            preprocessing=own,
            precision="int8",
            calibration=f"{place}/calibration",
            validation=f"{place}/test",
        )
        packed |= record(request).pack("cifar10")
    np.savez_compressed(FILE, **packed)
    print(f"written to {FILE}")


if __name__ == "__main__":
    main()
