"""The device interface on a real GPU, through each binding that is installed; without TensorRT."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import numpy as np
import pytest

from resnet_serve.cuda import Device, Stream
from resnet_serve.cuda.nvidia_smi import gpus
from resnet_serve.errors import HostError

pytestmark = pytest.mark.gpu

MIB = 1 << 20
BINDINGS = {"cuda-python": "cuda.bindings.runtime", "pycuda": "pycuda.driver"}


@pytest.fixture(params=BINDINGS)
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    """GPU 0 through one of the bindings."""
    if not gpus():
        pytest.skip("this host has no GPU")
    if not _installed(request.param):
        pytest.skip(f"{request.param} is not installed")
    opened = _open(request.param)
    yield opened
    opened.close()


@pytest.fixture
def stream(device: Device) -> Iterator[Stream]:
    with device.current():
        yield device.stream()


def _installed(binding: str) -> bool:
    try:
        return importlib.util.find_spec(BINDINGS[binding]) is not None
    except ImportError:  # its parent package is missing
        return False


def _open(binding: str, index: int = 0) -> Device:
    if binding == "pycuda":
        from resnet_serve.cuda.with_pycuda import PyCudaDevice

        return PyCudaDevice.open(index, "libcuda.so.1")
    from resnet_serve.cuda.with_cuda_python import CudaPythonDevice

    return CudaPythonDevice.open(index)


def test_it_describes_the_gpu_as_nvidia_smi_does(device: Device) -> None:
    found, listed = device.describe(), gpus()[0]
    assert found.name == listed.name
    assert found.compute_capability == listed.compute_capability
    # nvidia-smi counts memory that the driver keeps for itself too.
    assert found.memory_gib == pytest.approx(listed.memory_gib, rel=0.05)


@pytest.mark.parametrize("shape", [(1,), (3, 5, 7), (8, 224, 224, 3)])
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32"])
def test_what_is_copied_in_is_copied_out(
    device: Device, stream: Stream, shape: tuple[int, ...], dtype: str
) -> None:
    sent, received = device.pinned(shape, dtype), device.pinned(shape, dtype)
    sent[...] = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    memory = device.allocate(sent.nbytes)
    device.copy_in(memory, sent, stream)
    device.copy_out(received, memory, stream)
    device.synchronise(stream)
    np.testing.assert_array_equal(received, sent)


def test_events_time_the_work_between_them(device: Device, stream: Stream) -> None:
    array = device.pinned((256 * MIB,), "uint8")
    memory = device.allocate(array.nbytes)
    before, between, after = device.event(), device.event(), device.event()
    device.record(before, stream)
    device.copy_in(memory, array[:MIB], stream)
    device.record(between, stream)
    device.copy_in(memory, array, stream)
    device.record(after, stream)
    device.synchronise(stream)
    small, large = device.elapsed_ms(before, between), device.elapsed_ms(between, after)
    assert 0 < small < large


def test_a_captured_graph_runs_only_when_launched(device: Device, stream: Stream) -> None:
    source, target = device.pinned((MIB,), "uint8"), device.pinned((MIB,), "uint8")
    memory = device.allocate(MIB)
    source[...], target[...] = 7, 0

    def enqueue() -> None:
        device.copy_in(memory, source, stream)
        device.copy_out(target, memory, stream)

    graph = device.capture(stream, enqueue)
    device.synchronise(stream)
    assert not target.any()
    for value in (7, 9):  # a graph reads the memory again at each launch
        source[...] = value
        device.launch(graph, stream)
        device.synchronise(stream)
        assert (target == value).all()


def test_a_stream_can_be_used_after_a_capture_that_failed(device: Device, stream: Stream) -> None:
    def fails() -> None:
        raise ValueError("while capturing")

    with pytest.raises(ValueError, match="while capturing"):
        device.capture(stream, fails)
    test_a_captured_graph_runs_only_when_launched(device, stream)


def test_memory_that_the_gpu_does_not_have_is_refused_in_words(
    device: Device, stream: Stream
) -> None:
    with pytest.raises(HostError, match="GPU memory ran out") as refused:
        device.allocate(1 << 50)
    assert "nvidia-smi" in str(refused.value.remedy)
    test_what_is_copied_in_is_copied_out(device, stream, (16,), "uint8")


def test_closing_gives_the_memory_back(device: Device) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch has no CUDA")
    with device.current():
        device.allocate(MIB).close()
        free, _ = torch.cuda.mem_get_info(0)
        device.allocate(512 * MIB)
        device.stream()
        assert free - torch.cuda.mem_get_info(0)[0] >= 512 * MIB
        device.close()
        assert free - torch.cuda.mem_get_info(0)[0] < 64 * MIB


def test_it_works_in_the_context_that_pytorch_uses(device: Device, stream: Stream) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch has no CUDA")
    theirs = torch.arange(1024, dtype=torch.float32, device="cuda:0")
    torch.cuda.synchronize()
    ours = device.pinned((1024,), "float32")
    borrowed = device.allocate(4)
    borrowed.close()
    borrowed.handle = theirs.data_ptr()
    borrowed.native = theirs.data_ptr()
    device.copy_out(ours, borrowed, stream)
    device.synchronise(stream)
    np.testing.assert_array_equal(ours, np.arange(1024, dtype=np.float32))


def test_a_gpu_that_is_not_there_is_refused() -> None:
    if not gpus():
        pytest.skip("this host has no GPU")
    for binding in filter(_installed, BINDINGS):
        with pytest.raises(HostError, match="no GPU 99"):
            _open(binding, 99)
