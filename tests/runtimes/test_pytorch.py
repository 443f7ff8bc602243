"""The reference runtime is the network itself."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from resnet_serve.runtimes import pytorch


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.Dropout(0.9),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


def images(count: int = 2) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 3, 8, 8)).astype(np.float32)


@pytest.mark.parametrize("channels_last", [False, True])
def test_it_answers_what_the_network_answers(network: nn.Module, channels_last: bool) -> None:
    with torch.no_grad():
        expected = network.eval()(torch.from_numpy(images())).numpy()
    with pytorch.load(network.train(), threads=1, channels_last=channels_last) as model:
        answer = model.run(images())
        assert model.describe()["channels_last"] is channels_last
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, expected, atol=1e-6)


def test_it_keeps_no_gradients_and_no_statistics(network: nn.Module) -> None:
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    model = pytorch.load(network.train(), threads=1)
    for _ in range(2):
        model.run(images())
    assert all(torch.equal(before[n], t) for n, t in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_channels_last_leaves_the_callers_network_as_it_is(network: nn.Module) -> None:
    contiguous = pytorch.load(network, threads=1)
    pytorch.load(network, threads=1, channels_last=True).run(images())
    strides = [parameter.stride() for parameter in network.parameters()]
    assert strides == [torch.empty(p.shape).stride() for p in network.parameters()]
    assert contiguous.describe()["channels_last"] is False


def test_threads_are_set_for_every_run(network: nn.Module) -> None:
    one, two = (pytorch.load(network, threads=count) for count in (1, 2))
    two.run(images())
    assert torch.get_num_threads() == 2
    one.run(images())
    assert torch.get_num_threads() == 1
    assert one.describe() == {
        "runtime": "pytorch",
        "version": torch.__version__,
        "threads": 1,
        "channels_last": False,
        "device": "cpu",
    }


def test_modules_of_others_and_hooks_are_not_known(network: nn.Module) -> None:
    class Remembering(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.seen = images
            return images

    known = pytorch.only_known_modules
    assert known(network)
    assert not known(nn.Sequential(network, Remembering()))
    assert not known(torch.fx.symbolic_trace(network))  # whose code may have views
    network[0].register_forward_hook(lambda *_: None)
    assert not known(network)
