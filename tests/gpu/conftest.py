"""A GPU host, or a skip that says what is missing: `make test-gpu` runs this folder.

Each file imports only what its part of the host needs; what it lacks skips that file alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from gpu_report import GpuReport, NeedingModule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from resnet_convert import Conversion
    from resnet_convert.tensorrt.builder import BuildHost
    from resnet_serve.weights import Weights

MINUTES = 5.0
IMAGES = 256
FOLDER = Path(__file__).resolve().parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """Known where tests/gpu is named on the command line."""
    parser.addoption("--gpu-results", type=Path, help="folder of the CSV and JSON of this run")
    parser.addoption("--gpu-minutes", type=float, default=MINUTES, help="start no test later")


def pytest_configure(config: pytest.Config) -> None:
    """Report by part, and end in time, where tests of this folder alone were asked for."""
    minutes = config.getoption("--gpu-minutes", default=None)
    asked = [Path(argument.partition("::")[0]).resolve() for argument in config.args]
    if minutes is not None and all(path.is_relative_to(FOLDER) for path in asked):
        config.pluginmanager.register(GpuReport(minutes, config.getoption("--gpu-results")))


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module:
    """Skip a file whose needs are not installed, before it is imported."""
    made: pytest.Module = NeedingModule.from_parent(parent, path=module_path)
    return made


@pytest.fixture(scope="session")
def digits() -> Weights:
    """The trained network of the digits."""
    from resnet_serve import weights
    from resnet_serve.architectures import find

    return weights.load("digits", find("resnet20"))


@pytest.fixture(scope="session")
def planes(digits: Weights) -> NDArray[np.float32]:
    """Digits that it was not trained on, normalized, [N,3,32,32]."""
    import numpy as np

    from resnet_serve.datasets.digits import Digits

    images = Digits(held_out=True)
    shown = [digits.preprocessing.pixels(images.image(index)) for index in range(IMAGES)]
    return digits.preprocessing.normalize(np.stack(shown))


@pytest.fixture(scope="session")
def exact(digits: Weights, planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Their logits by PyTorch on the CPU."""
    from resnet_serve.runtimes import pytorch

    return pytorch.load(digits.network(), threads=4).run(planes)


@pytest.fixture(scope="session")
def cuda_provider() -> None:
    """Skips the test where ONNX Runtime's CUDA provider cannot run a model."""
    from resnet_serve.runtimes import onnxruntime_cuda

    missing = onnxruntime_cuda.missing()
    if missing is not None:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def build_host() -> Iterator[BuildHost]:
    """This host's GPU and TensorRT; skips the test where there is none."""
    from resnet_convert.tensorrt.builder import open_build_host

    with open_build_host() as (opened, missing):
        if opened is None:
            pytest.skip(f"no GPU host: {missing}")
        yield opened


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """128 synthetic images, to calibrate untrained networks with."""
    from resnet_serve.datasets.synthetic import SyntheticImages

    folder = tmp_path_factory.mktemp("photographs")
    images = SyntheticImages(128, side=256)
    for index in range(len(images)):
        images.image(index).save(folder / f"{index:03}.png")
    return folder


@pytest.fixture(scope="session")
def engines(
    build_host: BuildHost, photographs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], Conversion]:
    """`engines("resnet50", "int8")`: each plan built once, in one repository."""
    from resnet_convert import convert

    repository = tmp_path_factory.mktemp("gpu") / "models"
    made: dict[tuple[str, str], Conversion] = {}

    def engine(arch: str, precision: str) -> Conversion:
        if (arch, precision) not in made:
            options: dict[str, Any] = {"weights": "random", "calibration": str(photographs)}
            if arch == "resnet20":
                options = {"calibration": "digits", "validation": "digits"}
            made[arch, precision] = convert(
                arch=arch,
                precision=precision,
                target="tensorrt",
                name=f"{arch}_{precision}",
                repository=repository,
                batch=("1:8:16",),
                **options,
            )
        return made[arch, precision]

    return engine
